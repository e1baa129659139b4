//! One client's connection: one request, one answer, and a moment to close in peace. Nothing here waits; the front loop calls when
//! something has come, and when time is up.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::net::Shutdown;

use super::entrance::Peer;
use super::exchange::{Exchange, Went};
use super::head::{self, Head};
use super::limits::Limits;
use super::refusal::Refusal;
use super::socket::{Outgoing, receive, send};
use crate::api::door::Door;

/// A connection.
pub struct Connection {
    pub socket: OwnedFd,
    pub peer: Peer,
    /// Since when it is connected.
    pub since: Instant,
    stage: Stage,
    input: Vec<u8>,
    out: Outgoing,
    /// Its side is closed: it may wait for an answer, but says nothing more.
    half_closed: bool,
    deadline: Instant,
    /// Bytes of a body that the client is still about to send, though it has its answer.
    unread: usize,
}

/// How far it is.
enum Stage {
    /// `seen` bytes of its head were looked at.
    Head {
        seen: usize,
    },
    /// The head has passed; the body is coming.
    Body(Head),
    /// The request is whole, and waits for its turn.
    Ready(Head),
    /// The inner server works on it.
    Working(Exchange),
    /// Nothing more comes but what is in `out`.
    Answered,
    /// All was sent. So many bytes of what the client still sends are thrown away.
    Leaving {
        left: usize,
    },
    Over,
}

/// What a step needs.
pub struct Step<'a> {
    pub limits: &'a Limits,
    pub now: Instant,
    pub scratch: &'a mut [u8],
    /// Bytes that may be kept of requests this time, all connections together.
    pub room: &'a mut usize,
}

/// So much of a request is read even when memory is short: the whole of a polite one, as a rule.
const SMALL: usize = 2 << 10;
/// Bytes that a client may still send after its answer.
const LEFTOVERS: usize = 256 << 10;
/// A client that has not read for so long gives way to others, when there is no room for both.
const SLOW: Duration = Duration::from_millis(150);

impl Connection {
    pub fn new(socket: OwnedFd, peer: Peer, step: &Step<'_>) -> Connection {
        let (since, deadline) = (step.now, step.now + step.limits.head_time);
        Connection { socket, peer, since, stage: Stage::Head { seen: 0 }, input: Vec::new(), out: Outgoing::default(), half_closed: false, deadline, unread: 0 }
    }

    /// What to wake up for: on the client's side, on the inner server's.
    pub fn interest(&self) -> (PollFlags, [Option<(&OwnedFd, PollFlags)>; 2]) {
        let ends = if self.half_closed { PollFlags::empty() } else { PollFlags::RDHUP };
        let writes = if self.out.len() > 0 { PollFlags::OUT } else { PollFlags::empty() };
        match &self.stage {
            Stage::Head { .. } | Stage::Body(_) => (PollFlags::IN | writes, [None; 2]),
            Stage::Ready(_) => (ends, [None; 2]),
            Stage::Working(exchange) => {
                let reads = if exchange.wants_more() { PollFlags::IN } else { PollFlags::empty() };
                (ends | writes | reads, exchange.interest(self.out.len()))
            }
            Stage::Answered => (ends | writes, [None; 2]),
            Stage::Leaving { .. } | Stage::Over => (PollFlags::IN, [None; 2]),
        }
    }

    /// Something happened on the client's side.
    pub fn touch(&mut self, seen: PollFlags) {
        self.half_closed |= seen.intersects(PollFlags::RDHUP);
        let deaf = seen.intersects(PollFlags::HUP | PollFlags::ERR);
        if deaf && matches!(self.stage, Stage::Ready(_) | Stage::Working(_) | Stage::Answered) {
            self.stage = Stage::Over;
        }
    }

    /// Does what can be done now.
    pub fn advance(&mut self, step: &mut Step<'_>) {
        if matches!(self.stage, Stage::Head { .. } | Stage::Body(_)) {
            self.read(step);
        }
        if let Stage::Working(exchange) = &mut self.stage {
            match exchange.pump(&self.socket, &mut self.out, step) {
                Went::On if self.half_closed && exchange.is_stream() => self.stage = Stage::Over,
                Went::On => self.deadline = exchange.deadline(step.limits),
                Went::Done => {
                    self.unread = exchange.left();
                    self.stage = Stage::Answered;
                    self.deadline = step.now + step.limits.answer_time;
                }
                Went::Wrong => self.refuse(Refusal::new(502, "the API gave no answer; try again"), step),
            }
        }
        if !matches!(self.stage, Stage::Working(_)) && self.out.flush(&self.socket, step.now).is_err() {
            self.stage = Stage::Over;
        }
        if matches!(self.stage, Stage::Answered) && self.out.len() == 0 {
            // the client reads to the end; closing now would make the kernel throw away what it has not read yet, if it still sends
            let closed = rustix::net::shutdown(&self.socket, Shutdown::Write);
            self.stage = if closed.is_ok() { Stage::Leaving { left: LEFTOVERS.saturating_add(self.unread) } } else { Stage::Over };
            // a browser reads its answer only when it has sent what it wanted to send
            self.deadline = step.now + if self.unread > 0 { step.limits.passing_time } else { step.limits.linger_time };
        }
        if matches!(self.stage, Stage::Leaving { .. }) {
            self.discard(step);
        }
    }

    fn read(&mut self, step: &mut Step<'_>) {
        loop {
            let missing = match &self.stage {
                Stage::Head { .. } => step.limits.head - self.input.len(),
                Stage::Body(head) => head.length - self.input.len(),
                _ => return,
            };
            let free = SMALL.saturating_sub(self.input.len()).max(*step.room);
            let room = missing.min(step.scratch.len()).min(free);
            if room == 0 {
                return;
            }
            match receive(&self.socket, &mut step.scratch[..room]) {
                Ok(None) => return,
                Ok(Some(0)) if !self.input.is_empty() || matches!(self.stage, Stage::Body(_)) => {
                    return self.refuse(Refusal::new(400, "the request ends in the middle"), step);
                }
                Ok(Some(0)) | Err(_) => return self.stage = Stage::Over,
                Ok(Some(n)) => {
                    // to the byte: there may be hundreds of these
                    *step.room = step.room.saturating_sub(n);
                    self.input.reserve_exact(n);
                    self.input.extend_from_slice(&step.scratch[..n]);
                    if let Err(refusal) = self.look(step) {
                        return self.refuse(refusal, step);
                    }
                }
            }
        }
    }

    fn look(&mut self, step: &Step<'_>) -> Result<(), Refusal> {
        if let Stage::Head { seen } = &mut self.stage {
            let Some(end) = head::end(&self.input, *seen, step.limits.head)? else {
                *seen = self.input.len();
                return Ok(());
            };
            let head = head::parse(&self.input[..end], step.limits.body, step.limits.large)?;
            // what follows the request is not another one: one connection, one request
            self.input.drain(..end);
            self.input.truncate(head.length);
            self.deadline = step.now + step.limits.body_time;
            if head.expects && self.input.len() < head.length {
                self.out.end().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            if head.passes {
                self.deadline = step.now + step.limits.turn_time;
                self.stage = Stage::Ready(head);
                return Ok(());
            }
            self.stage = Stage::Body(head);
        }
        let whole = matches!(&self.stage, Stage::Body(head) if head.length == self.input.len());
        if whole && let Stage::Body(head) = std::mem::replace(&mut self.stage, Stage::Over) {
            self.stage = Stage::Ready(head);
            self.deadline = step.now + step.limits.turn_time;
        }
        Ok(())
    }

    fn discard(&mut self, step: &mut Step<'_>) {
        while let Stage::Leaving { left } = &mut self.stage {
            match receive(&self.socket, step.scratch) {
                Ok(None) => return,
                Ok(Some(n)) if n > 0 && n <= *left => *left -= n,
                _ => self.stage = Stage::Over,
            }
        }
    }

    /// Answers by itself; the request ends here.
    pub fn refuse(&mut self, refusal: Refusal, step: &Step<'_>) {
        let answer = refusal.answer(self.is_bare());
        self.out.end().extend_from_slice(&answer);
        self.input = Vec::new();
        self.stage = Stage::Answered;
        self.deadline = step.now + step.limits.unread_time;
    }

    fn is_bare(&self) -> bool {
        match &self.stage {
            Stage::Body(head) | Stage::Ready(head) => head.method == "HEAD",
            Stage::Working(exchange) => exchange.is_bare(),
            _ => self.input.starts_with(b"HEAD "),
        }
    }

    /// When it must have gone on.
    pub fn deadline(&self, limits: &Limits) -> Instant {
        self.out.stuck.map_or(self.deadline, |since| self.deadline.min(since + limits.unread_time))
    }

    /// Time is up.
    pub fn expire(&mut self, step: &mut Step<'_>) {
        let stuck = self.out.stuck.is_some();
        let refusal = match &self.stage {
            // browsers connect before they know what to ask
            Stage::Head { .. } if self.input.is_empty() => None,
            Stage::Head { .. } => Some(Refusal::new(408, "the request took too long to arrive")),
            Stage::Body(_) => Some(Refusal::new(408, "the body took too long to arrive")),
            Stage::Ready(_) => Some(Refusal::new(503, "too many requests are being worked on")),
            Stage::Working(exchange) if exchange.is_receiving() && !exchange.has_begun() => Some(Refusal::new(408, "the body took too long to arrive")),
            Stage::Working(exchange) if !exchange.has_begun() => Some(Refusal::new(504, "the API takes too long; look at the state before trying again")),
            _ => None,
        };
        match refusal.filter(|_| !stuck) {
            Some(refusal) => {
                self.refuse(refusal, step);
                self.advance(step);
            }
            None => self.stage = Stage::Over,
        }
    }

    /// Who gives way first when there are too many, if it may be made to: lowest first.
    pub fn rank(&self, now: Instant) -> Option<(u8, Instant)> {
        match (&self.stage, self.out.stuck) {
            _ if self.peer == Peer::Own => None,
            (Stage::Over | Stage::Leaving { .. }, _) => Some((0, self.since)),
            (Stage::Head { .. } | Stage::Body(_), _) => Some((1, self.since)),
            (_, Some(since)) if now - since > SLOW => Some((2, since)),
            _ => None,
        }
    }

    /// Makes room for another: a word if there is time for one, and the end.
    pub fn give_way(mut self) {
        if matches!(self.stage, Stage::Head { .. } | Stage::Body(_)) && self.out.len() == 0 {
            let _ = send(&self.socket, &Refusal::new(503, "too many unfinished requests").answer(self.is_bare()));
        }
        self.stage = Stage::Over;
    }

    /// Since when it waits for its turn.
    pub fn waits_since(&self) -> Option<Instant> {
        matches!(self.stage, Stage::Ready(_)).then_some(self.since)
    }

    /// Its turn.
    pub fn begin(&mut self, open: impl FnOnce(&Head, Vec<u8>, &Step<'_>) -> Exchange, step: &mut Step<'_>) {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Ready(head) => {
                let exchange = open(&head, std::mem::take(&mut self.input), step);
                self.deadline = exchange.deadline(step.limits);
                self.stage = Stage::Working(exchange);
                self.advance(step);
            }
            other => self.stage = other,
        }
    }

    /// What the inner server does for it.
    pub fn exchange(&self) -> Option<&Exchange> {
        if let Stage::Working(exchange) = &self.stage { Some(exchange) } else { None }
    }
    /// Another inner server than this one is given up.
    pub fn hurry(&mut self, now_is: &Arc<Door>, step: &Step<'_>) {
        match &mut self.stage {
            Stage::Working(exchange) if !exchange.is_of(now_is) => {
                exchange.hurry(step.limits, step.now);
                self.deadline = exchange.deadline(step.limits);
            }
            _ => {}
        }
    }
    /// Whether it has a request of somebody's that is not answered.
    pub fn is_busy(&self) -> bool {
        self.peer != Peer::Own && matches!(self.stage, Stage::Ready(_) | Stage::Working(_) | Stage::Answered)
    }
    /// Whether a request is still on its way in.
    pub fn is_unfinished(&self) -> bool {
        matches!(self.stage, Stage::Head { .. } | Stage::Body(_))
    }
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }
    /// Bytes it keeps.
    pub fn weight(&self) -> usize {
        self.input.capacity() + self.out.weight() + self.exchange().map_or(0, Exchange::weight)
    }
}
