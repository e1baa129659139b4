//! How much of everything the gate allows. All in one place, because together they bound memory, threads and open files.

use std::time::Duration;

/// Bounds of the gate; the defaults are for a board with one household of browsers.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time, whatever they are doing. A further one takes the place of the one that has waited longest without a
    /// whole request.
    pub connections: usize,
    /// Of these, from one address (IPv6: from one /64). Does not count for unix sockets: behind one stands a proxy, and many people.
    pub per_address: usize,
    /// Requests that the inner server works on at a time; the others wait for [`turn_time`](Self::turn_time). So many threads run the
    /// handler, at most.
    pub requests: usize,
    /// Streams beside them. A handler that keeps its thread for the life of a stream may do so.
    pub streams: usize,
    /// Bytes of request line and headers.
    pub head: usize,
    /// Bytes of a request's body.
    pub body: usize,
    /// What is posted to this path may be so many bytes, and is handed on while it comes. How many it really may be is for the handler to say:
    /// it has better words, and the client hears them.
    pub large: (&'static str, usize),
    /// Bytes of unfinished requests and undelivered answers, all connections together.
    pub buffered: usize,
    /// From the connection to the end of the head.
    pub head_time: Duration,
    /// From there to the end of the body.
    pub body_time: Duration,
    /// How long a body that passes by may be without a byte.
    pub passing_time: Duration,
    /// How long a whole request waits for the inner server when that is busy or just being replaced.
    pub turn_time: Duration,
    /// From handing a request on to the last byte of its answer; streams have no such end.
    pub answer_time: Duration,
    /// How long a stream may be without a byte: longer than its heartbeat.
    pub silence: Duration,
    /// How long a client may leave its answer unread.
    pub unread_time: Duration,
    /// How long a client has to close after the last byte: what it still sends is thrown away, for a reset would take the answer with it.
    pub linger_time: Duration,
    /// What the self-check asks for; it must answer 200.
    pub check: &'static str,
    /// Time between two self-checks.
    pub check_every: Duration,
    /// How long one may take.
    pub check_time: Duration,
    /// How many failed self-checks within ten minutes are answered by a new inner server; one more ends the service.
    pub tries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Limits {
            connections: 512,
            per_address: 256,
            requests: 16,
            streams: 16,
            head: 8 << 10,
            body: 64 << 10,
            large: ("/api/update/upload", usize::MAX / 2),
            buffered: 1 << 20,
            head_time: seconds(5),
            body_time: seconds(10),
            passing_time: seconds(30),
            turn_time: seconds(1),
            answer_time: seconds(120),
            silence: seconds(60),
            unread_time: seconds(10),
            linger_time: seconds(2),
            check: "/ping",
            check_every: seconds(10),
            check_time: seconds(5),
            tries: 8,
        }
    }
}

/// Open files of the process that are not connections: sockets, pipes, files that a handler reads.
const OWN_FILES: usize = 32;
/// Open files that an exchange costs beyond its client: our end, and the two that tiny_http makes of its own.
const FILES_PER_EXCHANGE: usize = 3;

impl Limits {
    /// The same, made to fit into so many open files: whoever runs out of them inside tiny_http does not come back.
    pub fn fitted(mut self, files: u64) -> Limits {
        let spare = usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OWN_FILES);
        let most = spare / (2 * FILES_PER_EXCHANGE);
        self.streams = self.streams.min(most * 2 / 5).max(1);
        self.requests = self.requests.min(most.saturating_sub(self.streams)).max(1);
        self.connections = self.connections.min(spare.saturating_sub(FILES_PER_EXCHANGE * self.exchanges())).max(4);
        self.per_address = self.per_address.min(self.connections.div_ceil(2));
        self
    }

    /// Most connections to the inner server.
    pub(super) fn exchanges(&self) -> usize {
        self.requests + self.streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_open_files_mean_few_connections_and_never_none() {
        for files in [0, 10, 40, 64, 100, 256, 1024, 1 << 40] {
            let fitted = Limits::default().fitted(files);
            assert!(fitted.requests >= 1 && fitted.streams >= 1 && fitted.connections >= 4 && fitted.per_address >= 2, "{files}: {fitted:?}");
            let used = OWN_FILES + fitted.connections + FILES_PER_EXCHANGE * fitted.exchanges();
            assert!(files < 48 || used as u64 <= files, "{files}: {used}");
        }
        let usual = Limits::default().fitted(1024);
        assert_eq!((usual.connections, usual.per_address, usual.requests, usual.streams), (512, 256, 16, 16));
    }
}
