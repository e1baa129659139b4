//! A source on the network, seen from the root side: orders go out, candidates, contents and what is wrong come back.

use std::cell::{Cell, RefCell};
use std::process::Stdio;

use super::helper::{Helper, lied};
use super::intake;
use super::patch_words;
use super::words::{self, Kind};
use crate::error::{Error, Result};
use crate::release::Manifest;
use crate::source::{BundleRef, Chunked, Judge, Line, Making, Memory, Offer, Source, Span, Tally, Unpacked, Verdict, Wanted};
use crate::world::Clock;

/// Most candidates of one question.
const SHOWN_MAX: usize = 64;

/// The source.
pub struct Remote<'a> {
    name: String,
    line: Line,
    clock: &'a dyn Clock,
    /// The process, while it is at rest: one for all that a command asks, so that connections are used again.
    helper: RefCell<Option<Helper<'a>>>,
    /// What all of them asked.
    tally: Cell<Tally>,
}

impl<'a> Remote<'a> {
    /// A source over this line. Asks nobody yet.
    ///
    /// # Errors
    /// The process cannot be started, or cannot use what it is given.
    pub fn open(line: Line, clock: &'a dyn Clock) -> Result<Self> {
        let (helper, name) = speak(&line, clock)?;
        Ok(Remote { name, line, clock, helper: RefCell::new(Some(helper)), tally: Cell::default() })
    }

    /// Does something with the process. After a failure nobody knows what it is at: the next one gets a new one.
    fn with<T>(&self, work: impl FnOnce(&mut Helper<'a>) -> Result<T>) -> Result<T> {
        let rested = self.helper.borrow_mut().take();
        let mut helper = match rested {
            Some(helper) => helper,
            None => speak(&self.line, self.clock)?.0,
        };
        let before = helper.tally;
        let done = work(&mut helper);
        let (requests, bytes) = (helper.tally.requests.saturating_sub(before.requests), helper.tally.bytes.saturating_sub(before.bytes));
        self.tally.set(self.tally.get().plus(requests, bytes));
        if done.is_ok() {
            // a long list of files is not held while the next thing is done
            helper.payload = Vec::new();
            *self.helper.borrow_mut() = Some(helper);
        }
        done
    }
}

fn speak<'a>(line: &Line, clock: &'a dyn Clock) -> Result<(Helper<'a>, String)> {
    let mut helper = Helper::start(Stdio::null(), clock)?;
    helper.order(Kind::Speak, &words::pack_line(line))?;
    helper.answer(&[Kind::Ready])?;
    let name = words::text(helper.taken()).map_err(lied)?;
    Ok((helper, name))
}

/// What was taken last: it is what an offer is about.
struct Taken {
    manifest_bytes: Vec<u8>,
    signature: Option<Vec<u8>>,
    manifest: Manifest,
}

impl Source for Remote<'_> {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn find(&self, wanted: &Wanted, judge: &mut dyn Judge, memory: &mut Memory) -> Result<Option<Offer>> {
        self.with(|helper| {
            // a memory is as long as the manifests in it, and it comes back
            helper.order(Kind::Find, &words::pack_find(wanted, &std::mem::take(&mut memory.0)))?;
            let mut taken: Option<Taken> = None;
            for _ in 0..SHOWN_MAX {
                match helper.answer(&[Kind::Shown, Kind::Found, Kind::Nothing])? {
                    Kind::Shown => {
                        let shown = words::shown(&helper.taken()).map_err(lied)?;
                        let verdict = judge.judge(&shown.candidate())?;
                        helper.order(Kind::Judged, &words::pack_verdict(&verdict))?;
                        taken = match verdict {
                            Verdict::Take(manifest) if !shown.look_only => {
                                Some(Taken { manifest_bytes: shown.manifest, signature: shown.signature, manifest: *manifest })
                            }
                            _ => None,
                        };
                    }
                    Kind::Found => {
                        let (bundle, notes, remembered) = words::found(helper.taken()).map_err(lied)?;
                        let Some(Taken { manifest_bytes, signature, manifest }) = taken else {
                            return Err(lied(super::frame::Lie("a release is offered that was not taken")));
                        };
                        *memory = Memory(remembered);
                        return Ok(Some(Offer { manifest_bytes, signature, manifest, bundle, notes }));
                    }
                    _ => {
                        *memory = Memory(words::text(helper.taken()).map_err(lied)?);
                        return Ok(None);
                    }
                }
            }
            Err(Error::source_failed(format!("{} shows more than {SHOWN_MAX} releases, and none is fit", self.name)))
        })
    }

    fn unpack(&self, bundle: &BundleRef, span: Span, to: &mut dyn Unpacked) -> Result<u64> {
        self.with(|helper| {
            helper.order(Kind::Unpack, &words::pack_unpack(bundle, span))?;
            helper.answer(&[Kind::Began])?;
            let start = words::start(&helper.payload).map_err(lied)?;
            let from = match span {
                Span::Rest { from, .. } => Some(from),
                // where it has no size it begins where it likes: what comes is looked at in any case
                Span::Run { before_end, .. } => start.total.map_or(Some(start.start), |total| total.checked_sub(before_end)),
            };
            if Some(start.start) != from && start.start != 0 {
                return Err(lied(super::frame::Lie("a bundle begins where nobody asked for it")));
            }
            let limit = to.start(&start)?;
            helper.order(Kind::Limit, &limit.to_le_bytes())?;
            intake::entries(helper, limit, to)
        })
    }

    fn has_patches(&self) -> bool {
        true
    }

    fn patch(&self, patch: &BundleRef, making: &Making, to: &mut dyn Unpacked) -> Result<u64> {
        self.with(|helper| {
            helper.order(Kind::Patch, &patch_words::pack_patch(patch, &making.wanted, &making.here))?;
            intake::made(helper, making, to)
        })
    }

    fn chunks(&self, asset: &BundleRef, wanted: &Chunked, making: &Making, to: &mut dyn Unpacked) -> Result<u64> {
        self.with(|helper| {
            helper.order(Kind::Chunks, &patch_words::pack_chunks(asset, wanted, &making.wanted, &making.here))?;
            intake::made(helper, making, to)
        })
    }

    fn tally(&self) -> Tally {
        self.tally.get()
    }
}
