//! The proxy against a server that answers each line with the line's length.

// A test stops where something is not as it must be.
#![allow(clippy::unwrap_used)]

use super::*;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Instant;

/// Answers lines, and tells what it got.
fn server() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (told, got) = mpsc::channel();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut writer = connection.try_clone().unwrap();
                for line in BufReader::new(connection).lines().map_while(Result::ok) {
                    let _ = (told.send(line.clone()), writeln!(writer, "{}", line.len()));
                }
            });
        }
    });
    (address, got)
}

fn client(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.host()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

/// Sends a line and returns the answer, or why there is none.
fn ask(stream: &mut TcpStream, line: &str) -> Result<String, ErrorKind> {
    writeln!(stream, "{line}").map_err(|e| e.kind())?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).map_err(|e| e.kind())? == 1 && byte != [b'\n'] {
        answer.extend(byte);
    }
    if byte == [b'\n'] { Ok(String::from_utf8(answer).unwrap()) } else { Err(ErrorKind::UnexpectedEof) }
}

#[test]
fn a_request_is_dropped_or_its_reply_is() {
    let (address, got) = server();
    let proxy = Proxy::start(&address);
    assert_eq!(ask(&mut client(&proxy), "one").unwrap(), "3");
    proxy.add(Rule::on(Act::DropRequest, b"two"));
    assert_eq!(ask(&mut client(&proxy), "two").unwrap_err(), ErrorKind::ConnectionReset);
    proxy.add(Rule::on(Act::CutReply, b"three").skip(1));
    let mut stream = client(&proxy);
    assert_eq!(ask(&mut stream, "three").unwrap(), "5");
    assert_eq!(ask(&mut stream, "three").unwrap_err(), ErrorKind::ConnectionReset);
    assert_eq!(ask(&mut client(&proxy), "three").unwrap(), "5");
    assert_eq!(
        got.try_iter().collect::<Vec<_>>(),
        ["one", "three", "three", "three"],
        "two never came, three was done"
    );
    assert_eq!(proxy.struck(), 2);
}

#[test]
fn an_answer_can_be_the_proxys_own() {
    let (address, got) = server();
    let proxy = Proxy::start(&address);
    proxy.add(Rule::on(Act::Answer(b"409\n".to_vec()), b"put"));
    assert_eq!(ask(&mut client(&proxy), "put").unwrap(), "409");
    assert_eq!(ask(&mut client(&proxy), "put").unwrap(), "3");
    assert_eq!(got.try_iter().count(), 1);
}

#[test]
fn connections_are_refused_and_reset_until_healed() {
    let proxy = Proxy::start(&server().0);
    let mut open = client(&proxy);
    assert_eq!(ask(&mut open, "one").unwrap(), "3");
    proxy.reset_all();
    assert_eq!(ask(&mut open, "two").unwrap_err(), ErrorKind::ConnectionReset);
    let mut open = client(&proxy);
    assert_eq!(ask(&mut open, "one").unwrap(), "3");
    proxy.refuse();
    let mut byte = [0];
    assert_eq!(open.read(&mut byte).unwrap_err().kind(), ErrorKind::ConnectionReset);
    // The listener goes a moment after the last connection.
    let begin = Instant::now();
    while TcpStream::connect(proxy.host()).is_ok() {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(TcpStream::connect(proxy.host()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    proxy.heal();
    let begin = Instant::now();
    while TcpStream::connect(proxy.host()).is_err() {
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(ask(&mut client(&proxy), "four").unwrap(), "4");
}

#[test]
fn what_is_swallowed_arrives_when_healed() {
    let (address, got) = server();
    let proxy = Proxy::start(&address);
    let mut stream = client(&proxy);
    assert_eq!(ask(&mut stream, "one").unwrap(), "3");
    proxy.weather(Weather { swallow_replies: true, ..Weather::default() });
    writeln!(stream, "asked").unwrap();
    assert_eq!(got.iter().nth(1).unwrap(), "asked", "requests still pass");
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    proxy.heal();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "5\n");
}

#[test]
fn latency_and_bandwidth_cost_time() {
    let proxy = Proxy::start(&server().0);
    proxy.weather(Weather { latency: Duration::from_millis(100), ..Weather::default() });
    let begin = Instant::now();
    assert_eq!(ask(&mut client(&proxy), "one").unwrap(), "3");
    assert!(begin.elapsed() >= Duration::from_millis(200), "there and back");
    proxy.weather(Weather { bytes_per_second: Some(10_000), ..Weather::default() });
    let begin = Instant::now();
    assert_eq!(ask(&mut client(&proxy), &"x".repeat(4_999)).unwrap(), "4999");
    assert!(begin.elapsed() >= Duration::from_millis(450));
}

#[test]
fn kafka_requests_are_told_apart_wherever_the_pieces_end() {
    let request = |key: u16, body: usize| {
        let mut bytes = (body as u32 + 2).to_be_bytes().to_vec();
        bytes.extend(key.to_be_bytes());
        bytes.extend(vec![0xff; body]);
        bytes
    };
    let stream = [request(18, 0), request(0, 40_000), request(26, 9), request(3, 1)].concat();
    for size in [1, 2, 5, 6, 7, 1_000, 50_000] {
        let mut frames = Frames::default();
        let keys: Vec<u16> = stream.chunks(size).flat_map(|piece| frames.keys(piece)).collect();
        assert_eq!(keys, [18, 0, 26, 3], "in pieces of {size}");
    }
}
