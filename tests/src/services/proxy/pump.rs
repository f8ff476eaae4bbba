//! The connections of the proxy: reading and writing of each direction are apart, with a queue between them, so that latency
//! does not limit throughput.

use super::{Act, Frames, Place, Shared, Weather};
use std::fs::File;
use std::io::{ErrorKind, Result};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

const PIECE: usize = 16 * 1024;
/// Pieces under way in one direction.
const UNDER_WAY: usize = 64;
/// After a cut the server is listened to for so long, so that it finishes its work in peace.
const SERVER_FINISHES: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Requests,
    Replies,
}

/// A connection of a client and its counterpart at the server.
#[derive(Debug)]
struct Link {
    client: TcpStream,
    server: TcpStream,
    /// The client's side is reset at the first byte of an answer.
    cut_reply: AtomicBool,
    /// ... and nobody is let in afterwards.
    then_refuse: AtomicBool,
    /// The connection ends now.
    end: Notify,
}

/// Accepts until it is dropped. While connections are refused, nothing listens on the port.
pub(super) async fn serve(place: &Place, shared: Arc<Shared>, ready: std::sync::mpsc::Sender<()>) {
    let mut weather = shared.weather.subscribe();
    loop {
        if weather.wait_for(|weather| !weather.refuse).await.is_err() {
            return;
        }
        let listener = listen(place).unwrap_or_else(|e| panic!("{place:?}: {e}"));
        // The receiver waits for the first time only.
        let _ = ready.send(());
        accept(&listener, &shared, &mut weather).await;
    }
}

/// A socket belongs to the namespace in which it was made; this thread is back in its own afterwards.
fn listen(place: &Place) -> Result<TcpListener> {
    let Some(namespace) = &place.namespace else { return bind(place.port) };
    let (own, other) = (File::open("/proc/thread-self/ns/net")?, File::open(namespace)?);
    let enter = |namespace: &File| {
        // SAFETY: plain system call on an open file; it moves this thread only.
        match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    enter(&other)?;
    let listener = bind(place.port);
    enter(&own)?;
    listener
}

fn bind(port: u16) -> Result<TcpListener> {
    let listener = TcpSocket::new_v4()?;
    // Connections of the time before may still linger on the port.
    listener.set_reuseaddr(true)?;
    listener.bind(([127, 0, 0, 1], port).into())?;
    listener.listen(128)
}

/// Returns when connections are to be refused.
async fn accept(listener: &TcpListener, shared: &Arc<Shared>, weather: &mut watch::Receiver<Weather>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else { continue };
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connect(client, Arc::clone(shared)));
            }
            refused = weather.wait_for(|weather| weather.refuse) => {
                drop(refused);
                return;
            }
        }
    }
}

async fn connect(client: TcpStream, shared: Arc<Shared>) {
    let (mut resets, mut weather) = (shared.resets.subscribe(), shared.weather.subscribe());
    let Ok(server) = TcpStream::connect(shared.upstream).await else {
        reset_on_close(&client);
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let link = Link {
        client,
        server,
        cut_reply: AtomicBool::new(false),
        then_refuse: AtomicBool::new(false),
        end: Notify::new(),
    };
    let both = async {
        let requests = pump(&shared, &link, Way::Requests);
        let replies = pump(&shared, &link, Way::Replies);
        tokio::join!(requests, replies)
    };
    let whole = tokio::select! {
        _ = both => true,
        () = link.end.notified() => false,
        _ = resets.changed() => false,
        _ = weather.wait_for(|weather| weather.refuse) => false,
    };
    if whole {
        return;
    }
    reset_on_close(&link.client);
    let Link { client, server, cut_reply, then_refuse, .. } = link;
    drop(client);
    if then_refuse.into_inner() {
        shared.weather.send_modify(|weather| weather.refuse = true);
    }
    if cut_reply.into_inner() {
        let mut ignored = [0; PIECE];
        let rest = async { while read(&server, &mut ignored).await.is_ok_and(|count| count > 0) {} };
        let _ = tokio::time::timeout(SERVER_FINISHES, rest).await;
    }
}

/// One direction, until either side ends.
async fn pump(shared: &Shared, link: &Link, way: Way) {
    let (from, to) = match way {
        Way::Requests => (&link.client, &link.server),
        Way::Replies => (&link.server, &link.client),
    };
    let (queue, inbox) = mpsc::channel(UNDER_WAY);
    let reading = async move {
        let (mut buffer, mut frames) = (vec![0; PIECE], Frames::default());
        while let Ok(count @ 1..) = read(from, &mut buffer).await {
            let piece = &buffer[..count];
            if !passes(shared, link, way, piece, &mut frames).await {
                link.end.notify_one();
                std::future::pending::<()>().await;
            }
            let due = Instant::now() + shared.weather.borrow().latency;
            if queue.send((due, piece.to_vec())).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reading, write_out(shared, to, way, inbox));
}

/// False when the connection is to end here.
async fn passes(shared: &Shared, link: &Link, way: Way, piece: &[u8], frames: &mut Frames) -> bool {
    if way == Way::Replies {
        return !link.cut_reply.load(Ordering::Relaxed);
    }
    let keys = frames.keys(piece);
    match shared.strike(piece, &keys) {
        None => true,
        Some(Act::DropRequest) => false,
        Some(act @ (Act::CutReply | Act::CutReplyAndRefuse)) => {
            link.cut_reply.store(true, Ordering::Relaxed);
            link.then_refuse.store(act == Act::CutReplyAndRefuse, Ordering::Relaxed);
            true
        }
        Some(Act::Swallow) => {
            shared.weather.send_replace(Weather {
                swallow_requests: true,
                swallow_replies: true,
                ..Weather::default()
            });
            true
        }
        Some(Act::Answer(bytes)) => {
            // The rest of the request is taken in first: closing with unread bytes would destroy the answer.
            let mut ignored = [0; PIECE];
            while let Ok(Ok(1..)) =
                tokio::time::timeout(Duration::from_millis(50), read(&link.client, &mut ignored)).await
            {}
            let _ = write_all(&link.client, &bytes).await;
            shut(&link.client);
            // The client closes when it has read the answer.
            let rest = async { while read(&link.client, &mut ignored).await.is_ok_and(|count| count > 0) {} };
            let _ = tokio::time::timeout(SERVER_FINISHES, rest).await;
            false
        }
    }
}

async fn write_out(shared: &Shared, to: &TcpStream, way: Way, mut inbox: mpsc::Receiver<(Instant, Vec<u8>)>) {
    let mut weather = shared.weather.subscribe();
    while let Some((due, piece)) = inbox.recv().await {
        tokio::time::sleep_until(due).await;
        let open = |weather: &Weather| match way {
            Way::Requests => !weather.swallow_requests,
            Way::Replies => !weather.swallow_replies,
        };
        let Ok(Some(rate)) = weather.wait_for(open).await.map(|weather| Some(weather.bytes_per_second)) else { return };
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / rate.max(1) as f64)).await;
        }
        if write_all(to, &piece).await.is_err() {
            return;
        }
    }
    shut(to);
}

async fn read(socket: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_read(buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            outcome => return outcome,
        }
    }
}

async fn write_all(socket: &TcpStream, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        socket.writable().await?;
        match socket.try_write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Nothing more will be written.
fn shut(socket: &TcpStream) {
    // SAFETY: plain system call on an open socket.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) };
}

/// Closing tells the other side of a reset instead of an end.
fn reset_on_close(socket: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: the option's value is a plain struct of the given size; the socket is open.
    unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size);
    }
}
