//! Archives and manifests of this machine, seen from the root side: it opens the file, which only root may be able to, and hands it over
//! as the stdin of a process that can open nothing.

use std::cell::RefCell;
use std::process::Stdio;

use super::helper::{Helper, lied};
use super::intake;
use super::words::{self, Kind};
use crate::error::{Error, Result};
use crate::release::manifest::SignedStep;
use crate::source::{Archive, Input, Inside, Opener, Unpacked};
use crate::world::Clock;

/// Has everything read apart.
pub struct Apart<'a> {
    clock: &'a dyn Clock,
    /// The process that looks into manifests, if one was needed.
    looking: RefCell<Option<Helper<'a>>>,
}

impl<'a> Apart<'a> {
    /// Starts nothing yet.
    pub fn new(clock: &'a dyn Clock) -> Self {
        Apart { clock, looking: RefCell::new(None) }
    }
}

impl<'a> Opener<'a> for Apart<'a> {
    fn steps(&self, manifest: &[u8]) -> Result<Vec<SignedStep>> {
        let rested = self.looking.borrow_mut().take();
        let mut helper = match rested {
            Some(helper) => helper,
            None => Helper::start(Stdio::null(), self.clock)?,
        };
        helper.order(Kind::Steps, manifest)?;
        helper.answer(&[Kind::TheSteps])?;
        let steps = words::the_steps(&helper.payload).map_err(lied)?;
        *self.looking.borrow_mut() = Some(helper);
        Ok(steps)
    }

    fn open(&self, input: Input) -> Result<Box<dyn Archive + 'a>> {
        let stdin = match input {
            Input::File(file) => Stdio::from(file),
            Input::Stdin => Stdio::inherit(),
            Input::Stream(_) => return Err(Error::unexpected("a stream within this process cannot be read by another")),
        };
        Ok(Box::new(Handed(Helper::start(stdin, self.clock)?)))
    }
}

/// An archive that was handed over.
struct Handed<'a>(Helper<'a>);

impl Archive for Handed<'_> {
    fn inside(&mut self, first: bool, name: &str) -> Result<Inside> {
        self.0.order(Kind::Inside, &words::pack_inside(first, name))?;
        self.0.answer(&[Kind::IsInside])?;
        words::is_inside(&self.0.payload).map_err(lied)
    }
    fn unpack(&mut self, limit: u64, length: Option<u64>, to: &mut dyn Unpacked) -> Result<u64> {
        self.0.order(Kind::UnpackThis, &words::pack_unpack_this(limit, length))?;
        intake::entries(&mut self.0, limit, to)
    }
}
