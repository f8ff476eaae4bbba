//! A front for a gRPC service (the Firestore emulator) that refuses calls on demand: before the service has seen them, or after
//! it has done what they say.
//!
//! It forwards HTTP/2 without TLS, whole calls at a time, which is enough for unary ones. It does not know protobuf: a rule sees
//! the call's path and its number.

use super::daemon::free_port;
use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};

/// A status of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 7: no right.
    PermissionDenied = 7,
    /// 8: quota.
    ResourceExhausted = 8,
    /// 10: contention.
    Aborted = 10,
    /// 14: try again.
    Unavailable = 14,
    /// 16: the token is not accepted.
    Unauthenticated = 16,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Pass,
    /// The service never sees it; this status is answered.
    Refuse(Code),
    /// The service does it; this status is answered all the same.
    RefuseAfter(Code),
    /// The service does it; the stream is reset instead of an answer.
    CutAfter,
}

/// A judge for whom half of all calls go wrong, in seven ways: before and after they were done. Which ones is drawn from the
/// call's number, so that no client's steps fall in with it.
pub fn half(_path: &str, call: u64) -> Verdict {
    let codes = [Code::Unavailable, Code::Aborted, Code::ResourceExhausted];
    // The finishing steps of SplitMix64.
    let mut draw = call.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    draw = (draw ^ (draw >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    draw ^= draw >> 27;
    match (draw % 2, (draw >> 8) % 7) {
        (0, _) => Verdict::Pass,
        (_, way @ 0..3) => Verdict::Refuse(codes[way as usize]),
        (_, way @ 3..6) => Verdict::RefuseAfter(codes[way as usize - 3]),
        _ => Verdict::CutAfter,
    }
}

type Judge = Box<dyn FnMut(&str, u64) -> Verdict + Send>;

struct Shared {
    upstream: String,
    judge: Mutex<Judge>,
    calls: AtomicU64,
    struck: AtomicU64,
}

/// A running front; ends when dropped.
pub struct GrpcFront {
    port: u16,
    shared: Arc<Shared>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::fmt::Debug for GrpcFront {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrpcFront").field("port", &self.port).finish_non_exhaustive()
    }
}

impl GrpcFront {
    /// In front of `upstream` (`host:port`), on a free port of 127.0.0.1. Everything passes at first.
    pub fn start(upstream: &str) -> GrpcFront {
        let port = free_port();
        let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| panic!("port {port}: {e}"));
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            judge: Mutex::new(Box::new(|_, _| Verdict::Pass)),
            calls: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, serving) => {}
                    _ = stopped => {}
                }
            });
        });
        GrpcFront { port, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// From now on each call is judged by its path (`/google.firestore.v1.Firestore/Commit`) and its number, from 0.
    pub fn judge(&self, judge: impl FnMut(&str, u64) -> Verdict + Send + 'static) {
        *self.shared.judge.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(judge);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.judge(|_, _| Verdict::Pass);
    }

    /// How many calls did not simply pass.
    pub fn struck(&self) -> u64 {
        self.shared.struck.load(Ordering::Relaxed)
    }
}

impl Drop for GrpcFront {
    fn drop(&mut self) {
        self.stop.take();
        self.thread.take().map(std::thread::JoinHandle::join);
    }
}

async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("the listener is fit");
    while let Ok((socket, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // Clients come and go; their errors are theirs.
            let _ = connection(socket, shared).await;
        });
    }
}

async fn connection(socket: TcpStream, shared: Arc<Shared>) -> Result<(), h2::Error> {
    let _ = socket.set_nodelay(true);
    let mut client = h2::server::handshake(socket).await?;
    let upstream = match TcpStream::connect(&shared.upstream).await {
        Ok(socket) => socket,
        Err(_) => return Ok(()),
    };
    let _ = upstream.set_nodelay(true);
    let (service, driver) = h2::client::handshake(upstream).await?;
    tokio::spawn(driver);
    while let Some(call) = client.accept().await {
        let (request, respond) = call?;
        tokio::spawn(handle(request, respond, service.clone(), Arc::clone(&shared)));
    }
    Ok(())
}

async fn handle(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    service: SendRequest<Bytes>,
    shared: Arc<Shared>,
) {
    let number = shared.calls.fetch_add(1, Ordering::Relaxed);
    let verdict = {
        let mut judge = shared.judge.lock().unwrap_or_else(PoisonError::into_inner);
        judge(request.uri().path(), number)
    };
    if verdict != Verdict::Pass {
        shared.struck.fetch_add(1, Ordering::Relaxed);
    }
    let outcome = match verdict {
        Verdict::Refuse(code) => refuse(&mut respond, code),
        Verdict::Pass => match forward(request, service).await {
            Ok(reply) => answer(&mut respond, reply),
            Err(error) => Err(error),
        },
        Verdict::RefuseAfter(code) => match forward(request, service).await {
            Ok(_) => refuse(&mut respond, code),
            Err(error) => Err(error),
        },
        Verdict::CutAfter => forward(request, service).await.and(Err(Reason::INTERNAL_ERROR.into())),
    };
    if outcome.is_err() {
        respond.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// A whole reply.
struct Reply {
    head: http::response::Parts,
    body: Vec<Bytes>,
    trailers: Option<HeaderMap>,
}

async fn forward(request: Request<RecvStream>, service: SendRequest<Bytes>) -> Result<Reply, h2::Error> {
    let (head, mut stream) = request.into_parts();
    let (body, _) = whole(&mut stream).await?;
    let mut service = service.ready().await?;
    let (reply, mut sending) = service.send_request(Request::from_parts(head, ()), false)?;
    // Calls of the tests are far smaller than the window of flow control.
    sending.send_data(body.concat().into(), true)?;
    let (head, mut stream) = reply.await?.into_parts();
    let (body, trailers) = whole(&mut stream).await?;
    Ok(Reply { head, body, trailers })
}

async fn whole(stream: &mut RecvStream) -> Result<(Vec<Bytes>, Option<HeaderMap>), h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.push(data);
    }
    Ok((body, stream.trailers().await?))
}

fn answer(respond: &mut SendResponse<Bytes>, reply: Reply) -> Result<(), h2::Error> {
    let Reply { head, body, trailers } = reply;
    let only_head = body.is_empty() && trailers.is_none();
    let mut sending = respond.send_response(Response::from_parts(head, ()), only_head)?;
    let ends = trailers.is_none();
    let last = body.len();
    for (index, data) in body.into_iter().enumerate() {
        sending.send_data(data, ends && index + 1 == last)?;
    }
    trailers.map_or(Ok(()), |trailers| sending.send_trailers(trailers))
}

fn refuse(respond: &mut SendResponse<Bytes>, code: Code) -> Result<(), h2::Error> {
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", (code as u32).to_string())
        .header("grpc-message", "a fault was injected here")
        .body(())
        .expect("plain headers");
    respond.send_response(response, true).map(|_| ())
}
