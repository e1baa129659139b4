//! The one thread in front: it accepts, reads, judges, hands on and pumps back, and waits for nobody.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::connection::{Connection, Step};
use super::entrance::{Accepted, Entrance, Peer};
use super::exchange::Exchange;
use super::limits::Limits;
use super::refusal::Refusal;
use super::shared::Shared;
use super::socket::send;
use crate::api::door::Door;
use crate::api::inner::Current;

/// The loop and what it looks after.
pub struct Front {
    entrances: Vec<Entrance>,
    connections: Vec<Connection>,
    limits: Limits,
    inner: Arc<Current>,
    /// The way to the inner server that gets requests now.
    door: Arc<Door>,
    shared: Arc<Shared>,
    /// Closed to have one file to spare when there are no more.
    reserve: Option<File>,
    next_id: u64,
    scratch: Vec<u8>,
    /// Bytes of requests that may be read until memory is looked after again.
    room: usize,
}

/// What woke us.
enum Woken {
    Told,
    Entrance(usize),
    Client(usize),
    Inner(usize),
}

/// Connections taken at once, before those that are here are looked at again.
const AT_ONCE: usize = 64;
/// Between two looks while a request waits for an inner server that is being replaced.
const RETRY: Duration = Duration::from_millis(10);
/// How long a listener in trouble is left alone.
const MUTED: Duration = Duration::from_millis(100);

impl Front {
    pub fn new(entrances: Vec<Entrance>, limits: Limits, inner: Arc<Current>, shared: Arc<Shared>) -> Front {
        let door = inner.door();
        Front { entrances, connections: Vec::new(), limits, inner, door, shared, reserve: reserve(), next_id: 0, scratch: vec![0; 16 << 10], room: 0 }
    }

    /// Works until it is told to stop.
    pub fn run(mut self) {
        while !self.shared.is_stopping() {
            self.turn();
        }
    }

    /// First those who are here, then those who wait at the door: so that whoever has sent a whole request is never sent away for another.
    fn turn(&mut self) {
        let woken = self.wait();
        let now = Instant::now();
        let mut knocked = Vec::new();
        for (who, seen) in woken {
            match who {
                Woken::Told => self.shared.heard(),
                Woken::Entrance(i) => knocked.push(i),
                Woken::Client(i) => {
                    self.connections[i].touch(seen);
                    self.advance(i, now);
                }
                Woken::Inner(i) => self.advance(i, now),
            }
        }
        for i in 0..self.connections.len() {
            if now >= self.connections[i].deadline(&self.limits) {
                let mut step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
                self.connections[i].expire(&mut step);
            }
        }
        self.connections.retain(|c| !c.is_over());
        knocked.into_iter().for_each(|i| self.accept(i, now));
        self.hand_on(now);
        self.slim(now);
        self.connections.retain(|c| !c.is_over());
        let unfinished = self.connections.iter().filter(|c| c.peer != Peer::Own && c.is_unfinished()).count();
        self.shared.count(self.connections.iter().filter(|c| c.is_busy()).count(), unfinished);
    }

    fn advance(&mut self, i: usize, now: Instant) {
        let mut step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
        self.connections[i].advance(&mut step);
    }

    fn wait(&mut self) -> Vec<(Woken, PollFlags)> {
        let now = Instant::now();
        let mut who = Vec::with_capacity(2 + self.connections.len());
        let mut fds = Vec::with_capacity(who.capacity());
        let mut until = now + Duration::from_secs(60);
        let mut watch = |woken, fd, flags| {
            who.push(woken);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        };
        use std::os::fd::AsFd as _;
        watch(Woken::Told, self.shared.wake.as_fd(), PollFlags::IN);
        for (i, entrance) in self.entrances.iter_mut().enumerate() {
            entrance.muted = entrance.muted.filter(|end| *end > now);
            match entrance.muted {
                Some(end) => until = until.min(end),
                None => watch(Woken::Entrance(i), entrance.socket.as_fd(), PollFlags::IN),
            }
        }
        for (i, connection) in self.connections.iter().enumerate() {
            let (client, others) = connection.interest();
            watch(Woken::Client(i), connection.socket.as_fd(), client);
            for (socket, flags) in others.into_iter().flatten() {
                watch(Woken::Inner(i), socket.as_fd(), flags);
            }
            until = until.min(connection.deadline(&self.limits));
            if connection.waits_since().is_some() {
                until = until.min(now + RETRY);
            }
        }
        // a millisecond more, so that what we wake up for has come
        let time = Timespec::try_from(until.saturating_duration_since(now) + Duration::from_millis(1)).ok();
        if poll(&mut fds, time.as_ref()).is_err() {
            // interrupted, or the kernel has no memory: the next look will tell
            return Vec::new();
        }
        who.into_iter().zip(fds.iter().map(PollFd::revents)).filter(|(_, seen)| !seen.is_empty()).collect()
    }

    fn accept(&mut self, i: usize, now: Instant) {
        let mut made_room = false;
        for _ in 0..AT_ONCE {
            match self.entrances[i].accept() {
                Accepted::One(socket, peer) => self.admit(socket, peer, now),
                Accepted::Nobody => return,
                Accepted::NoFiles if !made_room && self.make_room(None, now) => made_room = true,
                Accepted::NoFiles => {
                    // taken and closed: whoever waits there learns it now, and does not keep us awake
                    self.reserve = None;
                    drop(self.entrances[i].accept());
                    self.reserve = reserve();
                    return self.entrances[i].muted = Some(now + MUTED);
                }
                Accepted::Trouble => return self.entrances[i].muted = Some(now + MUTED),
            }
        }
    }

    fn admit(&mut self, socket: OwnedFd, peer: Peer, now: Instant) {
        let household = peer.household();
        let siblings = self.connections.iter().filter(|c| household.is_some() && c.peer.household() == household).count();
        let full = self.connections.len() >= self.limits.connections;
        let room = match peer {
            Peer::Own => true,
            _ if siblings >= self.limits.per_address => self.make_room(household, now),
            _ => !full || self.make_room(None, now),
        };
        if !room {
            let _ = send(&socket, &Refusal::new(503, "too many connections").answer(false));
            return;
        }
        let mut step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
        let mut connection = Connection::new(socket, peer, &step);
        // its request is here already, as a rule
        connection.advance(&mut step);
        self.connections.push(connection);
    }

    /// Sends one away: of this household, or of all.
    fn make_room(&mut self, of: Option<std::net::IpAddr>, now: Instant) -> bool {
        let theirs = |c: &Connection| of.is_none() || c.peer.household() == of;
        let ranked = self.connections.iter().enumerate().filter(|(_, c)| theirs(c)).filter_map(|(i, c)| Some((c.rank(now)?, i)));
        let Some((_, i)) = ranked.min() else { return false };
        self.connections.swap_remove(i).give_way();
        true
    }

    /// Those who wait get their turn, first come, first served. The self-check has a turn of its own.
    fn hand_on(&mut self, now: Instant) {
        let door = self.inner.door();
        if !Arc::ptr_eq(&door, &self.door) {
            let step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
            self.connections.iter_mut().for_each(|c| c.hurry(&door, &step));
            self.door = door;
        }
        loop {
            let full = self.is_full();
            let waiting = self.connections.iter().enumerate().filter(|(_, c)| c.peer == Peer::Own || !full);
            let Some((_, i)) = waiting.filter_map(|(i, c)| Some((c.waits_since()?, i))).min() else {
                if full && self.push_on(now) {
                    continue;
                }
                return;
            };
            let way = match self.door.knock() {
                Ok(socket) => (socket, self.door.clone()),
                Err(e) => {
                    if e.kind() == std::io::ErrorKind::ConnectionRefused {
                        self.shared.call_supervisor();
                    }
                    return;
                }
            };
            self.next_id += 1;
            let (inner, id, peer) = (self.inner.clone(), self.next_id, self.connections[i].peer);
            let mut step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
            self.connections[i].begin(|head, body, step| Exchange::new(way, inner, id, peer, head, &body, step), &mut step);
        }
    }

    fn is_full(&self) -> bool {
        let working = self.connections.iter().filter(|c| c.peer != Peer::Own).filter_map(Connection::exchange).filter(|e| e.is_of(&self.door));
        let (streams, requests): (Vec<_>, Vec<_>) = working.partition(|e| e.is_stream());
        requests.len() >= self.limits.requests || streams.len() + requests.len() >= self.limits.exchanges()
    }

    /// Nobody gets a turn: if somebody waits, the client that has not read its answer for longest gives way.
    fn push_on(&mut self, now: Instant) -> bool {
        let somebody_waits = self.connections.iter().any(|c| c.waits_since().is_some());
        let working = self.connections.iter().enumerate().filter(|(_, c)| somebody_waits && c.exchange().is_some());
        let Some((_, i)) = working.filter_map(|(i, c)| Some((c.rank(now)?, i))).min() else { return false };
        self.connections.swap_remove(i).give_way();
        true
    }

    /// Keeps the memory of all within its bound, with room for the next request: unfinished ones go first, the oldest of them before the others.
    fn slim(&mut self, now: Instant) {
        let next = self.limits.head + self.limits.body;
        loop {
            let kept = self.connections.iter().map(Connection::weight).sum::<usize>();
            self.room = self.limits.buffered.saturating_sub(kept).max(next);
            if kept + next <= self.limits.buffered {
                return;
            }
            let heavy = self.connections.iter().enumerate().filter(|(_, c)| c.weight() > 1024);
            let unfinished = heavy.clone().filter(|(_, c)| c.is_unfinished()).min_by_key(|(_, c)| c.since);
            if let Some((i, _)) = unfinished {
                self.connections.swap_remove(i).give_way();
            } else if let Some((_, i)) = heavy.filter_map(|(i, c)| Some((c.waits_since()?, i))).max() {
                let mut step = Step { limits: &self.limits, now, scratch: &mut self.scratch, room: &mut self.room };
                self.connections[i].refuse(Refusal::new(503, "too many requests are being worked on"), &step);
                self.connections[i].advance(&mut step);
            } else {
                return;
            }
        }
    }
}

fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}
