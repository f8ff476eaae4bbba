//! A TCP proxy that goes wrong on demand: refused, reset and swallowed connections, latency, little bandwidth, and cuts at one
//! exact request or reply.
//!
//! It runs on a thread of its own in front of any service. It knows bytes and directions; which bytes are a COMMIT, a rule
//! of the test says ([`Rule`]). What it cannot do is lose or reorder packets: below it is the kernel's loopback.

mod pump;

use super::daemon::free_port;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What holds for every connection until it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weather {
    /// Nobody listens: connections are refused, open ones are reset.
    pub refuse: bool,
    /// Bytes to the server vanish from sight: they wait until this ends. Connections stay open.
    pub swallow_requests: bool,
    /// The same for bytes to the client.
    pub swallow_replies: bool,
    /// Each piece of bytes arrives so much later, in both directions.
    pub latency: Duration,
    /// At most so many bytes per second, per connection and direction.
    pub bytes_per_second: Option<u64>,
}

/// What happens to a piece of bytes from the client that a rule matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// The server never sees it; the connection is reset.
    DropRequest,
    /// The server gets it and does its work; the client's connection is reset at the first byte of an answer.
    CutReply,
    /// As [`Act::CutReply`], and every later connection is refused until [`Proxy::heal`].
    CutReplyAndRefuse,
    /// The server never sees it, nor anything else: from here on all is swallowed, as by [`Proxy::swallow`].
    Swallow,
    /// The server never sees it; the client gets these bytes, and the connection ends.
    Answer(Vec<u8>),
}

type Matches = Box<dyn FnMut(&[u8]) -> bool + Send>;

enum Matcher {
    Piece(Matches),
    Kafka(u16),
}

/// One request to go wrong. Clients write a request in one piece or in few; the matcher sees the pieces as they come.
pub struct Rule {
    matches: Matcher,
    act: Act,
    skip: u32,
    times: u32,
}

impl std::fmt::Debug for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rule").field("act", &self.act).field("skip", &self.skip).field("times", &self.times).finish()
    }
}

impl Rule {
    /// Befalls the next piece that `matches`.
    pub fn new(act: Act, matches: impl FnMut(&[u8]) -> bool + Send + 'static) -> Rule {
        Rule { matches: Matcher::Piece(Box::new(matches)), act, skip: 0, times: 1 }
    }

    /// For a piece that holds these bytes anywhere.
    pub fn on(act: Act, needle: &'static [u8]) -> Rule {
        Rule::new(act, move |piece| piece.windows(needle.len()).any(|window| window == needle))
    }

    /// For a request of Kafka's protocol (no TLS), by its API key: 0 Produce, 1 Fetch, 22 InitProducerId, 26 EndTxn,
    /// 28 TxnOffsetCommit.
    pub fn kafka(act: Act, api_key: u16) -> Rule {
        Rule { matches: Matcher::Kafka(api_key), act, skip: 0, times: 1 }
    }

    /// So many matching pieces pass first.
    #[must_use]
    pub fn skip(mut self, skip: u32) -> Rule {
        self.skip = skip;
        self
    }

    /// So many pieces are befallen after that.
    #[must_use]
    pub fn times(mut self, times: u32) -> Rule {
        self.times = times;
        self
    }
}

/// Follows the requests of Kafka's protocol on one connection: `length: u32, key: u16, ...`.
#[derive(Debug, Default)]
struct Frames {
    head: Vec<u8>,
    /// Bytes of the present request that are still to come, its head apart.
    left: usize,
}

impl Frames {
    /// The API keys of the requests whose heads end in `piece`.
    fn keys(&mut self, mut piece: &[u8]) -> Vec<u16> {
        const HEAD: usize = 6;
        let mut keys = Vec::new();
        while !piece.is_empty() {
            let passed = self.left.min(piece.len());
            (self.left, piece) = (self.left - passed, &piece[passed..]);
            let taken = (HEAD - self.head.len()).min(piece.len());
            self.head.extend_from_slice(&piece[..taken]);
            piece = &piece[taken..];
            if let Ok([a, b, c, d, high, low]) = <[u8; HEAD]>::try_from(self.head.as_slice()) {
                keys.push(u16::from_be_bytes([high, low]));
                self.left = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_sub(HEAD - 4);
                self.head.clear();
            }
        }
        keys
    }
}

/// Where a proxy listens.
#[derive(Debug)]
struct Place {
    port: u16,
    /// The file of a network namespace; `None` is ours.
    namespace: Option<std::path::PathBuf>,
}

/// A running proxy; ends, with its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    weather: watch::Sender<Weather>,
    /// Counts calls of [`Proxy::reset_all`].
    resets: watch::Sender<u64>,
    rules: Mutex<Vec<Rule>>,
    struck: AtomicU64,
    accepted: AtomicU64,
}

impl Shared {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The act that befalls a piece from a client, in which requests with these Kafka keys begin.
    fn strike(&self, piece: &[u8], keys: &[u16]) -> Option<Act> {
        let mut rules = self.rules();
        let matches = |rule: &mut Rule| match &mut rule.matches {
            Matcher::Piece(matches) => matches(piece),
            Matcher::Kafka(key) => keys.contains(key),
        };
        let rule = rules.iter_mut().find_map(|rule| (rule.times > 0 && matches(rule)).then_some(rule))?;
        if rule.skip > 0 {
            rule.skip -= 1;
            return None;
        }
        rule.times -= 1;
        self.struck.fetch_add(1, Ordering::Relaxed);
        Some(rule.act.clone())
    }
}

impl Proxy {
    /// In front of `upstream` (`host:port`), on a free port of 127.0.0.1.
    pub fn start(upstream: &str) -> Proxy {
        Proxy::on(free_port(), upstream)
    }

    /// The same on a given port, as for a broker that advertises it.
    pub fn on(port: u16, upstream: &str) -> Proxy {
        Proxy::at(Place { port, namespace: None }, upstream)
    }

    /// The same on a port of 127.0.0.1 inside a network namespace, from where it leads out to `upstream`.
    pub fn inside(namespace: &crate::host::Network, port: u16, upstream: &str) -> Proxy {
        Proxy::at(Place { port, namespace: Some(namespace.path()) }, upstream)
    }

    fn at(place: Place, upstream: &str) -> Proxy {
        let port = place.port;
        let resolved = upstream.to_socket_addrs().unwrap_or_else(|e| panic!("{upstream}: {e}"));
        // Services of the tests listen on 127.0.0.1.
        let upstream = resolved.into_iter().find(SocketAddr::is_ipv4).unwrap_or_else(|| panic!("{upstream}: no IPv4"));
        let shared = Arc::new(Shared {
            upstream,
            weather: watch::Sender::new(Weather::default()),
            resets: watch::Sender::new(0),
            rules: Mutex::default(),
            struck: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                tokio::select! {
                    () = pump::serve(&place, serving, ready) => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().expect("the proxy listens");
        Proxy { port, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Changes what holds for all connections, old and new.
    pub fn weather(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Nobody listens any more, and open connections are reset, until [`Proxy::heal`].
    pub fn refuse(&self) {
        self.weather(Weather { refuse: true, ..Weather::default() });
    }

    /// Everything is swallowed in both directions, and connections stay open, until [`Proxy::heal`].
    pub fn swallow(&self) {
        self.weather(Weather { swallow_requests: true, swallow_replies: true, ..Weather::default() });
    }

    /// Resets every open connection, once. New ones are taken.
    pub fn reset_all(&self) {
        self.shared.resets.send_modify(|count| *count += 1);
    }

    /// Adds a rule. The first one that matches counts.
    pub fn add(&self, rule: Rule) {
        self.shared.rules().push(rule);
    }

    /// How many requests rules have befallen.
    pub fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::Relaxed)
    }

    /// How many connections came.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Ends rules and weather.
    pub fn heal(&self) {
        self.shared.rules().clear();
        self.weather(Weather::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[cfg(test)]
#[path = "proxy/tests.rs"]
mod tests;
