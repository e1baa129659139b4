//! The door to the rest of the board: programs that are run, and the probes that ask whether it is well.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::program;
use super::user::User;
use crate::quantity;

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Exit status; `None`: killed by a signal or by the time limit.
    pub status: Option<i32>,
    /// The last part of what it said on stdout, at most 4 KiB.
    pub stdout: String,
    /// Its last line on stderr that is not empty, at most 500 characters.
    pub last_error: String,
}

/// How somebody on the network is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// Through this proxy, if through one.
    pub proxy: Option<ureq::Proxy>,
    /// The authorities that are believed.
    pub roots: ureq::tls::RootCerts,
}

/// What is posted.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    /// Where to.
    pub url: &'a str,
    /// Headers.
    pub headers: &'a [(&'static str, String)],
    /// The body.
    pub body: &'a [u8],
    /// How it gets there.
    pub way: &'a Way,
}

/// The verbs.
pub trait Outside {
    /// Runs a program to its end; past the time limit it and its children are killed.
    ///
    /// # Errors
    /// It cannot be started.
    fn run(&self, argv: &[String], limit: Duration) -> io::Result<Ran>;
    /// Runs these very bytes as a program, whatever happens to the file they were read from; `name` is what it is told it is called.
    ///
    /// # Errors
    /// It cannot be started: it is no program for this machine, or no script with a `#!` line.
    fn run_content(&self, content: &[u8], name: &str, args: &[String], vars: &[(&str, String)], limit: Duration) -> io::Result<Ran>;
    /// The same as the user that owns nothing, if we are root.
    ///
    /// # Errors
    /// It cannot be started; `PermissionDenied` where we may not become somebody else.
    fn try_content(&self, content: &[u8], name: &str, args: &[String], limit: Duration) -> io::Result<Ran>;
    /// Where the file lies that this program was started from; none: it is gone, or another one lies there now.
    fn program(&self) -> Option<PathBuf>;
    /// Gets a URL without following redirects: status and at most 64 KiB of the body.
    ///
    /// # Errors
    /// What a person needs to know: refused, timed out, ….
    fn http(&self, url: &str, limit: Duration) -> Result<(u16, String), String>;
    /// Posts a letter without following redirects: status and at most 64 KiB of the answer.
    ///
    /// # Errors
    /// What a person needs to know; without the address, which may be a secret.
    fn post(&self, letter: &Letter, limit: Duration) -> Result<(u16, String), String>;
    /// Whether something accepts connections there.
    ///
    /// # Errors
    /// What a person needs to know.
    fn tcp(&self, addr: &str, limit: Duration) -> Result<(), String>;
}

/// The board itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealOutside;

/// Bytes of a body that are read.
const BODY: u64 = 64 << 10;

impl Outside for RealOutside {
    fn run(&self, argv: &[String], limit: Duration) -> io::Result<Ran> {
        program::run(argv, limit)
    }

    fn run_content(&self, content: &[u8], name: &str, args: &[String], vars: &[(&str, String)], limit: Duration) -> io::Result<Ran> {
        program::run_content(content, name, args, vars, limit, None)
    }

    fn try_content(&self, content: &[u8], name: &str, args: &[String], limit: Duration) -> io::Result<Ran> {
        let who = rustix::process::geteuid().is_root().then(User::find);
        program::run_content(content, name, args, &[], limit, who)
    }

    fn program(&self) -> Option<PathBuf> {
        // a file that was removed or replaced is told as "NAME (deleted)", and nothing of that name is there
        std::env::current_exe().ok().filter(|path| path.is_file())
    }

    fn http(&self, url: &str, limit: Duration) -> Result<(u16, String), String> {
        // a new agent for every probe: a connection kept from before the switch would ask the old process. No proxy: the question is
        // whether this board answers. No redirects: a login page somewhere else is no answer.
        let agent = once(limit).proxy(None).build().new_agent();
        read(agent.get(url).header("connection", "close").call(), limit)
    }

    fn post(&self, letter: &Letter, limit: Duration) -> Result<(u16, String), String> {
        // a redirect would be followed without the body, and perhaps into the open
        let tls = ureq::tls::TlsConfig::builder().root_certs(letter.way.roots.clone()).build();
        let agent = once(limit).proxy(letter.way.proxy.clone()).tls_config(tls).build().new_agent();
        let mut request = agent.post(letter.url).header("connection", "close");
        for (name, value) in letter.headers {
            request = request.header(*name, value);
        }
        read(request.send(letter.body), limit)
    }

    fn tcp(&self, addr: &str, limit: Duration) -> Result<(), String> {
        let start = Instant::now();
        let mut why = format!("no address for {addr}");
        for address in resolve(addr, limit)? {
            let left = limit.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(late(limit));
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(_) => return Ok(()),
                Err(e) => why = io_words(&e, limit),
            }
        }
        Err(why)
    }
}

type Building = ureq::config::ConfigBuilder<ureq::typestate::AgentScope>;

/// One request, one answer, whatever its status.
fn once(limit: Duration) -> Building {
    ureq::Agent::config_builder()
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_idle_connections(0)
        .timeout_global(Some(limit))
        .user_agent(concat!("pikit-updater/", env!("CARGO_PKG_VERSION")))
}

fn read(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>, limit: Duration) -> Result<(u16, String), String> {
    let answer = answer.map_err(|e| words(e, limit))?;
    let status = answer.status().as_u16();
    let mut body = Vec::new();
    let read = answer.into_body().into_reader().take(BODY).read_to_end(&mut body);
    read.map_err(|e| words(ureq::Error::from(e), limit))?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The system's resolver knows no time limit, so a name is asked for in a thread that may be left behind.
fn resolve(addr: &str, limit: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = addr.parse() {
        return Ok(vec![address]);
    }
    let (tell, answer) = channel();
    let name = addr.to_owned();
    let asking = std::thread::Builder::new().name("resolving".into()).spawn(move || {
        let _ = tell.send(name.to_socket_addrs().map(Iterator::collect));
    });
    asking.map_err(|e| e.to_string())?;
    match answer.recv_timeout(limit) {
        Ok(found) => found.map_err(|e: io::Error| format!("cannot resolve {addr}: {e}")),
        Err(_) => Err(late(limit)),
    }
}

fn late(limit: Duration) -> String {
    format!("no answer within {}", quantity::seconds(limit.as_secs_f64()))
}

fn words(error: ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => late(limit),
        ureq::Error::HostNotFound => "no such host".into(),
        ureq::Error::Io(e) => io_words(&e, limit),
        other => other.to_string(),
    }
}

fn io_words(error: &io::Error, limit: Duration) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => late(limit),
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => "the connection was closed without an answer".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(300);

    /// A server that answers one request with these bytes, and its address. It tells the request's head.
    fn answering(answer: impl Into<Vec<u8>>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let _ = stream.write_all(&answer);
            head
        });
        (address, server)
    }

    fn get(answer: impl Into<Vec<u8>>) -> Result<(u16, String), String> {
        RealOutside.http(&format!("http://{}/ping", answering(answer).0), LONG)
    }

    /// An address at which nobody listens.
    fn deserted() -> String {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
    }

    #[test]
    fn any_status_is_an_answer_and_a_redirect_is_not_followed() {
        assert_eq!(get("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npong"), Ok((200, "pong".into())));
        assert_eq!(get("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n"), Ok((500, String::new())));
        let elsewhere = format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", deserted());
        assert_eq!(get(elsewhere), Ok((302, String::new())));
    }

    #[test]
    fn the_request_asks_not_to_keep_the_connection() {
        let (address, server) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        RealOutside.http(&format!("http://{address}/ping"), LONG).unwrap();
        let head = server.join().unwrap();
        assert_eq!(head[0], "GET /ping HTTP/1.1");
        assert!(head.iter().any(|line| line.eq_ignore_ascii_case("connection: close")), "{head:?}");
    }

    #[test]
    fn of_a_long_body_64_kib_are_read() {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + (1 << 20), b'x');
        assert_eq!(get(answer).unwrap().1.len(), 64 << 10);
    }

    #[test]
    fn why_there_is_no_answer_is_said_in_words() {
        let deserted = deserted();
        assert_eq!(RealOutside.http(&format!("http://{deserted}/"), LONG), Err("connection refused".into()));
        assert_eq!(RealOutside.tcp(&deserted, LONG), Err("connection refused".into()));
        // it accepts, by its backlog, and says nothing
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        assert_eq!(RealOutside.http(&format!("http://{address}/"), SHORT), Err("no answer within 0.3 s".into()));
        assert_eq!(get(""), Err("the connection was closed without an answer".into()));
        assert!(RealOutside.tcp("no port", LONG).unwrap_err().starts_with("cannot resolve no port: "));
    }

    #[test]
    fn a_body_that_never_ends_is_late() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (done, wait) = channel::<()>();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
            let _ = wait.recv();
        });
        assert_eq!(RealOutside.http(&format!("http://{address}/"), SHORT), Err("no answer within 0.3 s".into()));
        drop(done);
        server.join().unwrap();
    }

    #[test]
    fn a_port_that_listens_is_found_also_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            assert_eq!(RealOutside.tcp(&format!("{host}:{port}"), LONG), Ok(()));
        }
    }
}
