//! A request on the inner server: handed on once, its answer pumped back as it comes.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use rustix::event::PollFlags;

use super::answer::Answer;
use super::connection::Step;
use super::entrance::Peer;
use super::head::Head;
use super::limits::Limits;
use super::socket::{Outgoing, receive, send};
use crate::api::caller::{Caller, Gone, ID, Passing};
use crate::api::door::Door;
use crate::api::inner::Current;

/// A request that the inner server works on.
pub struct Exchange {
    socket: Option<OwnedFd>,
    request: Vec<u8>,
    sent: usize,
    answer: Answer,
    bare: bool,
    /// The body that is still to come, where it passes by.
    coming: Option<Coming>,
    /// Bytes of the body that the client has not sent yet.
    left: usize,
    /// When it must be complete, unless it is a stream.
    until: Instant,
    /// When the last byte came.
    heard: Instant,
    /// The inner server that works on it.
    door: Arc<Door>,
    _called: Called,
}

/// How a step went.
pub enum Went {
    /// There is more to come.
    On,
    /// The answer is complete.
    Done,
    /// There is none, and nothing of it was sent.
    Wrong,
}

/// Bytes of an answer that wait here for a slow client; the rest waits with the inner server.
const PUMP: usize = 16 << 10;

/// A body on its way from the client to the handler: a piece of it at a time.
struct Coming {
    to: OwnedFd,
    piece: Vec<u8>,
    sent: usize,
    /// Bytes that have not come yet.
    left: usize,
}

impl Coming {
    /// Moves what can be moved; `false`: nothing more is to be moved. Whoever reads learns of an early end by the end itself.
    fn go_on(&mut self, client: &OwnedFd, scratch: &mut [u8], moved: &mut bool) -> bool {
        loop {
            while self.sent < self.piece.len() {
                match send(&self.to, &self.piece[self.sent..]) {
                    Ok(Some(n)) => (self.sent, *moved) = (self.sent + n, true),
                    Ok(None) => return true,
                    // the handler has read enough: its answer comes
                    Err(_) => return false,
                }
            }
            (self.piece, self.sent) = (Vec::new(), 0);
            let room = scratch.len().min(self.left);
            match if room == 0 { return false } else { receive(client, &mut scratch[..room]) } {
                Ok(None) => return true,
                Ok(Some(n)) if n > 0 => {
                    self.left -= n;
                    self.piece.extend_from_slice(&scratch[..n]);
                    *moved = true;
                }
                _ => return false,
            }
        }
    }
}

/// Tells whoever writes the answer that the client has gone, however that came about.
struct Called {
    inner: Arc<Current>,
    id: u64,
    gone: Gone,
}

impl Drop for Called {
    fn drop(&mut self) {
        self.inner.callers().take(self.id);
        self.gone.set();
    }
}

impl Exchange {
    /// Hands a request on, over this connection to the inner server.
    pub fn new((socket, door): (OwnedFd, Arc<Door>), inner: Arc<Current>, id: u64, peer: Peer, head: &Head, body: &[u8], step: &Step<'_>) -> Exchange {
        let (now, limits) = (step.now, step.limits);
        let gone = Gone::default();
        let address = if let Peer::Tcp(ip) = peer { Some(ip) } else { None };
        // without a pair of sockets there is no way for a body: the handler says so
        let way = if head.passes { UnixStream::pair().ok() } else { None };
        let left = head.length - body.len();
        let (coming, passing) = way.map_or((None, None), |(to, from)| {
            let coming = Coming { to: to.into(), piece: body.to_vec(), sent: 0, left };
            (Some(coming), Some(Passing { length: head.length as u64, bytes: Arc::new(from) }))
        });
        inner.callers().add(id, Caller { address, gone: gone.clone(), body: passing });
        let kind = if address.is_some() { "tcp" } else { "unix" };
        let mut request = head.hand_on(&[("X-Gate-Peer", kind), (ID, &id.to_string())]);
        if !head.passes {
            request.extend_from_slice(body);
        }
        let _called = Called { inner, id, gone };
        let bare = head.method == "HEAD";
        Exchange {
            socket: Some(socket),
            request,
            sent: 0,
            answer: Answer::to(head.method),
            bare,
            coming,
            left,
            until: now + limits.answer_time,
            heard: now,
            door,
            _called,
        }
    }

    /// What to wake up for, when so many bytes wait for the client.
    pub fn interest(&self, waiting: usize) -> [Option<(&OwnedFd, PollFlags)>; 2] {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::OUT, self.sent < self.request.len());
        flags.set(PollFlags::IN, waiting < PUMP);
        // without a wish it is left out: its end is always to be seen, and would keep us awake
        let inner = self.socket.as_ref().filter(|_| !flags.is_empty()).map(|socket| (socket, flags));
        [inner, self.coming.as_ref().filter(|c| !c.piece.is_empty()).map(|c| (&c.to, PollFlags::OUT))]
    }
    /// Whether more of its body is to be read from the client now.
    pub fn wants_more(&self) -> bool {
        self.coming.as_ref().is_some_and(|c| c.piece.is_empty())
    }
    /// Whether it waits for the client.
    pub fn is_receiving(&self) -> bool {
        self.coming.is_some()
    }
    /// Bytes of its body that have not come yet.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Moves what can be moved.
    pub fn pump(&mut self, client: &OwnedFd, out: &mut Outgoing, step: &mut Step<'_>) -> Went {
        self.hand_on();
        if let Some(coming) = &mut self.coming {
            let mut moved = false;
            let goes_on = coming.go_on(client, step.scratch, &mut moved);
            self.left = coming.left;
            if moved {
                self.heard = step.now;
            }
            if !goes_on {
                self.coming = None;
                self.until = step.now + step.limits.answer_time;
            }
        }
        loop {
            if out.flush(client, step.now).is_err() {
                // the client is deaf; the front loop hears of it as well, and nothing more is to be said
                return Went::Done;
            }
            let Some(socket) = self.socket.as_ref().filter(|_| out.len() < PUMP) else { break };
            match receive(socket, step.scratch) {
                Ok(None) => break,
                Ok(Some(n)) if n > 0 => {
                    self.heard = step.now;
                    if self.answer.take(&step.scratch[..n], out.end()).is_err() {
                        return Went::Wrong;
                    }
                }
                _ => self.socket = None,
            }
        }
        match self.socket {
            Some(_) => Went::On,
            None if self.answer.has_begun() => Went::Done,
            None => Went::Wrong,
        }
    }

    fn hand_on(&mut self) {
        while let Some(socket) = self.socket.as_ref().filter(|_| self.sent < self.request.len()) {
            match send(socket, &self.request[self.sent..]) {
                Ok(Some(n)) => self.sent += n,
                Ok(None) => return,
                // it may have answered all the same
                Err(_) => self.sent = self.request.len(),
            }
        }
        (self.request, self.sent) = (Vec::new(), 0);
    }

    /// When it must have gone on.
    pub fn deadline(&self, limits: &Limits) -> Instant {
        match self.coming {
            Some(_) => self.heard + limits.passing_time,
            None if self.is_stream() => self.heard + limits.silence,
            None => self.until,
        }
    }
    /// Whether its answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.answer.stream
    }
    /// Whether it is this server that works on it.
    pub fn is_of(&self, door: &Arc<Door>) -> bool {
        Arc::ptr_eq(&self.door, door)
    }
    /// Its server has been given up: an answer comes soon, or never.
    pub fn hurry(&mut self, limits: &Limits, now: Instant) {
        self.until = self.until.min(now + limits.check_time);
    }
    /// Whether HEAD asked.
    pub fn is_bare(&self) -> bool {
        self.bare
    }
    /// Whether anything was sent to the client.
    pub fn has_begun(&self) -> bool {
        self.answer.has_begun()
    }
    /// Bytes it keeps.
    pub fn weight(&self) -> usize {
        self.request.capacity() + self.coming.as_ref().map_or(0, |c| c.piece.capacity())
    }
}
