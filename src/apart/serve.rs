//! The process without privileges: it speaks with servers, and gunzips and untars what they or a stick hold. It believes nothing, decides
//! nothing and writes nothing but answers. Whoever takes it over has a process that owns nothing, and a line on which only
//! [`super::words`] are understood.

use std::cell::{Cell, RefCell};
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::confine::confine;
use super::frame::{self, Lie, NoFrame};
use super::patch_words;
use super::words::{self, CHUNK, Kind};
use crate::error::{Error, Result};
use crate::release::bundle::Head;
use crate::release::patch::Stretch;
use crate::source::chunked;
use crate::source::patched::{self, Made};
use crate::source::{Archive, Candidate, Judge, Memory, Network, Plain, Span, Start, Unpacked, Verdict, read_error, steps};
use crate::world::Clock;
use crate::world::clock::RealClock;

/// Bytes that are said in one go: for each, the other end is woken.
const AT_ONCE: usize = 32 << 10;
/// How long something that was said may wait to go along with what follows.
const WAIT: Duration = Duration::from_millis(50);

/// Serves whoever started us, until they hang up.
///
/// # Errors
/// A person started us, who can do nothing with it.
pub fn serve(dropped: bool) -> Result<u8> {
    let line = line().ok_or_else(|| Error::usage("this command is started by the program itself").hint("`pikit-updater --help` shows what can be typed"))?;
    let watched = confine(dropped).and_then(|()| watch(&line));
    let mut speaker = Speaker::new(&line);
    if let Err(e) = watched {
        let _ = speaker.say(Kind::Failed, &words::pack_error(&e)).and_then(|()| speaker.send());
        return Ok(1);
    }
    // the line is cut, or what came is no order of ours: there is nobody to tell
    let _ = talk(speaker, &RealClock::new());
    Ok(0)
}

/// Our stdout, if it is the line it should be.
fn line() -> Option<UnixStream> {
    let out = rustix::stdio::stdout();
    rustix::net::sockopt::socket_type(out).ok()?;
    Some(UnixStream::from(out.try_clone_to_owned().ok()?))
}

/// Ends us as soon as the line is cut, whatever we wait for.
fn watch(line: &UnixStream) -> Result<()> {
    let begin = || -> io::Result<()> {
        let line = line.try_clone()?;
        std::thread::Builder::new().name("line".into()).spawn(move || {
            let mut cut = [PollFd::from_borrowed_fd(line.as_fd(), PollFlags::RDHUP)];
            while poll(&mut cut, None) == Err(rustix::io::Errno::INTR) {}
            std::process::exit(0);
        })?;
        Ok(())
    };
    begin().map_err(|e| Error::unexpected("watching the line").because(e))
}

/// Our end of the line.
struct Speaker<'l> {
    ear: BufReader<&'l UnixStream>,
    line: BufWriter<&'l UnixStream>,
    sent: Instant,
    payload: Vec<u8>,
}

impl<'l> Speaker<'l> {
    fn new(line: &'l UnixStream) -> Self {
        let (ear, line) = (BufReader::with_capacity(16 << 10, line), BufWriter::with_capacity(AT_ONCE, line));
        Speaker { ear, line, sent: Instant::now(), payload: Vec::new() }
    }
    /// Says something. It is sent with what follows, soon, and at the latest when an answer is waited for.
    fn say(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        frame::write(&mut self.line, kind as u8, payload)?;
        self.soon()
    }
    /// Says some bytes of a content.
    fn give(&mut self, used: u64, bytes: &[u8]) -> io::Result<()> {
        frame::write_two(&mut self.line, Kind::Bytes as u8, &words::pack_used(used), bytes)?;
        self.soon()
    }
    /// A slow line shows its progress all the same: what was said goes with the next that is, a moment later.
    fn soon(&mut self) -> io::Result<()> {
        if self.sent.elapsed() > WAIT { self.send() } else { Ok(()) }
    }
    fn send(&mut self) -> io::Result<()> {
        self.sent = Instant::now();
        self.line.flush()
    }
    /// Waits for an order of one of these kinds.
    fn hear(&mut self, may: &[Kind]) -> Result<Kind, NoFrame> {
        self.send().map_err(NoFrame::Read)?;
        let known = |number| Kind::of(number).filter(|k| may.contains(k));
        let number = frame::read(&mut self.ear, &mut self.payload, |number| known(number).map(Kind::most))?;
        known(number).ok_or(NoFrame::Lie(Lie("an order came that was not its turn")))
    }
}

/// Something on the line is wrong: what is under way cannot go on. Nobody reads this.
fn cut<E>(_: E) -> Error {
    Error::unexpected("the line is cut")
}

fn talk(speaker: Speaker, clock: &dyn Clock) -> Result<(), NoFrame> {
    let speaker = RefCell::new(speaker);
    let mut source: Option<Box<dyn Network + '_>> = None;
    let mut archive: Option<Plain> = None;
    let orders = [Kind::Speak, Kind::Find, Kind::Unpack, Kind::Patch, Kind::Chunks, Kind::Inside, Kind::UnpackThis, Kind::Steps];
    loop {
        let order = speaker.borrow_mut().hear(&orders)?;
        let said = std::mem::take(&mut speaker.borrow_mut().payload);
        let lie = NoFrame::Lie;
        let answer = match order {
            Kind::Speak => words::line(&said).map_err(lie)?.open(clock).map(|opened| {
                let name = opened.name();
                source = Some(opened);
                (Kind::Ready, name.into_bytes())
            }),
            Kind::Find => {
                let (wanted, memory) = words::find(&said).map_err(lie)?;
                let mut memory = Memory(memory.to_owned());
                drop(said);
                let source = source.as_ref().ok_or(NoFrame::Lie(Lie("no source was named")))?;
                source.find(&wanted, &mut Asking(&speaker), &mut memory).map(|offer| match offer {
                    Some(offer) => (Kind::Found, words::pack_found(&offer.bundle, &offer.notes, memory.0)),
                    None => (Kind::Nothing, memory.0.into_bytes()),
                })
            }
            Kind::Unpack => {
                let (bundle, span) = words::unpack(&said).map_err(lie)?;
                let source = source.as_ref().ok_or(NoFrame::Lie(Lie("no source was named")))?;
                source.unpack(&bundle, span, &mut Sending::to(&speaker)).map(end)
            }
            Kind::Patch => {
                let (patch, wanted, here) = patch_words::patch(&said).map_err(lie)?;
                let source = source.as_ref().ok_or(NoFrame::Lie(Lie("no source was named")))?;
                source.open(&patch, Span::ALL).and_then(|body| patched::make(body, &wanted, &here, &mut Sending::to(&speaker))).map(end)
            }
            Kind::Chunks => {
                let (asset, wanted, files, here) = patch_words::chunks(&said).map_err(lie)?;
                let source = source.as_ref().ok_or(NoFrame::Lie(Lie("no source was named")))?;
                chunked::make(source.as_ref(), &asset, &wanted, &files, &here, &mut Sending::to(&speaker)).map(end)
            }
            Kind::Inside => {
                let (first, name) = words::inside(&said).map_err(lie)?;
                let archive = archive.get_or_insert_with(|| Plain::new(io::stdin()));
                archive.inside(first, name).map(|inside| (Kind::IsInside, words::pack_inside_answer(&inside)))
            }
            Kind::UnpackThis => {
                let (limit, length) = words::unpack_this(&said).map_err(lie)?;
                let archive = archive.get_or_insert_with(|| Plain::new(io::stdin()));
                archive.unpack(limit, length, &mut Sending::to(&speaker)).map(end)
            }
            Kind::Steps => Ok((Kind::TheSteps, words::pack_steps(&steps::of(&said)))),
            _ => return Err(NoFrame::Lie(Lie("an order came that was not its turn"))),
        };
        let (kind, payload) = answer.unwrap_or_else(|e| (Kind::Failed, words::pack_error(&e)));
        if let Some(source) = &source {
            speaker.borrow_mut().say(Kind::Tallied, &words::pack_tally(source.tally())).map_err(NoFrame::Read)?;
        }
        speaker.borrow_mut().say(kind, &payload).map_err(NoFrame::Read)?;
    }
}

fn end(used: u64) -> (Kind, Vec<u8>) {
    (Kind::End, used.to_le_bytes().to_vec())
}

/// Asks the judge at the other end.
struct Asking<'s, 'l>(&'s RefCell<Speaker<'l>>);

impl Judge for Asking<'_, '_> {
    fn judge(&mut self, candidate: &Candidate) -> Result<Verdict> {
        let mut speaker = self.0.borrow_mut();
        speaker.say(Kind::Shown, &words::pack_shown(candidate)).map_err(cut)?;
        speaker.hear(&[Kind::Judged]).map_err(cut)?;
        words::verdict(&speaker.payload, candidate.manifest).map_err(cut)
    }
}

/// Sends what is unpacked to the other end.
struct Sending<'s, 'l> {
    to: &'s RefCell<Speaker<'l>>,
    buffer: Vec<u8>,
}

impl<'s, 'l> Sending<'s, 'l> {
    fn to(to: &'s RefCell<Speaker<'l>>) -> Self {
        Sending { to, buffer: Vec::new() }
    }
}

impl Unpacked for Sending<'_, '_> {
    fn start(&mut self, start: &Start) -> Result<u64> {
        let mut speaker = self.to.borrow_mut();
        speaker.say(Kind::Began, &words::pack_start(start)).map_err(cut)?;
        speaker.hear(&[Kind::Limit]).map_err(cut)?;
        words::limit(&speaker.payload).map_err(cut)
    }

    fn entry(&mut self, head: &Head, content: &mut dyn Read, used: &Cell<u64>) -> Result<()> {
        let mut speaker = self.to.borrow_mut();
        speaker.say(Kind::Entry, &words::pack_entry(head, used.get())).map_err(cut)?;
        // one for all entries; what a patch makes needs none
        self.buffer.resize(CHUNK, 0);
        let mut left = head.size;
        while left > 0 {
            let most = left.min(CHUNK as u64) as usize;
            match content.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(Error::verification(format!("the bundle is damaged in {}: it is cut off there", head.path))),
                Ok(n) => {
                    left -= n as u64;
                    speaker.give(used.get(), &self.buffer[..n]).map_err(cut)?;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(read_error(e, || "reading the bundle".into())),
            }
        }
        Ok(())
    }
}

/// Sends what a patch makes, and asks the other end for what it is made of.
impl Made for Sending<'_, '_> {
    fn earlier(&mut self, stretch: &Stretch, to: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let mut speaker = self.to.borrow_mut();
        speaker.say(Kind::Lacks, &patch_words::pack_lacks(stretch)).map_err(cut)?;
        let mut left = stretch.length as usize;
        while left > 0 {
            speaker.hear(&[Kind::Earlier]).map_err(cut)?;
            left = Some(speaker.payload.len()).filter(|n| *n > 0).and_then(|n| left.checked_sub(n)).ok_or_else(|| cut(()))?;
            to(&speaker.payload)?;
        }
        Ok(())
    }

    fn expect(&mut self, bytes: u64) -> Result<()> {
        self.to.borrow_mut().say(Kind::Expect, &bytes.to_le_bytes()).map_err(cut)
    }

    fn file(&mut self, index: u32, size: u64, used: u64) -> Result<()> {
        self.to.borrow_mut().say(Kind::Made, &patch_words::pack_made(index, size, used)).map_err(cut)
    }

    fn bytes(&mut self, bytes: &[u8], used: u64) -> Result<()> {
        let mut speaker = self.to.borrow_mut();
        bytes.chunks(CHUNK).try_for_each(|chunk| speaker.give(used, chunk)).map_err(cut)
    }
}
