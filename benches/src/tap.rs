//! When the first record reached a client: a door in front of the broker that looks for it in the bytes that pass. It changes nothing.

use crate::topics::MARK;
use aqueduct_tests::services::Kafka;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// The door of `Listener::Proxied`.
#[derive(Debug)]
pub(crate) struct Tap {
    seen: Arc<Mutex<Option<Instant>>>,
}

impl Tap {
    /// Opens the door, for as long as the process lives.
    ///
    /// # Errors
    /// Another program has it.
    pub(crate) fn open(kafka: &Kafka) -> io::Result<Tap> {
        let address = kafka.address();
        let (listener, broker) = (TcpListener::bind(("127.0.0.1", address.proxy))?, address.behind_proxy);
        let seen = Arc::new(Mutex::new(None));
        let tap = Tap { seen: Arc::clone(&seen) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let seen = Arc::clone(&seen);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", broker)) {
                    serve(client, server, seen);
                }
            }
        });
        Ok(tap)
    }

    /// When a record passed for the first time since the last call.
    pub(crate) fn take(&self) -> Option<Instant> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn serve(client: TcpStream, server: TcpStream, seen: Arc<Mutex<Option<Instant>>>) {
    let (Ok(from_client), Ok(to_client)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || pass(from_client, server, |_| {}));
    std::thread::spawn(move || {
        let mut end = Vec::new();
        pass(to_client, client, |piece| {
            if finds(&mut end, piece) {
                seen.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now);
            }
        });
    });
}

/// True when the mark is in the piece, or begins at the end of the one before; keeps the end for the next one.
fn finds(end: &mut Vec<u8>, piece: &[u8]) -> bool {
    end.extend_from_slice(piece);
    let found = end.windows(MARK.len()).any(|window| window == MARK);
    end.drain(..end.len().saturating_sub(MARK.len() - 1));
    found
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
#[path = "tap_tests.rs"]
mod tests;
