//! A small HTTP/1.1 client for plain loopback addresses: the emulator's REST door, the stand-in's controls, a job's `/status`.
//!
//! One request per connection; no TLS, no redirects, no pools.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

/// GET `http://host:port/path`.
pub fn get(url: &str) -> Result<Reply> {
    request("GET", url, &[], b"")
}

/// Any method, with headers and a body. Waits 30 s at most.
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Reply> {
    let rest =
        url.strip_prefix("http://").ok_or_else(|| Error::new(ErrorKind::InvalidInput, format!("not http: {url}")))?;
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let address = host.to_socket_addrs()?.next().ok_or(ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    // Not until the connection ends: the emulator keeps it open whatever is asked.
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            // A stopped and continued process, or a debugger at it.
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if answer.is_empty() => return Err(e),
            Err(_) => break,
        }
        if let Some(reply) = parse(&answer) {
            return Ok(reply);
        }
    }
    parse_to_end(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not an HTTP/1.1 answer"))
}

/// The answer, once all of it is there.
fn parse(answer: &[u8]) -> Option<Reply> {
    let (status, head, body) = split(answer)?;
    if head.contains("transfer-encoding: chunked") {
        return Some(Reply { status, body: dechunk(body)? });
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim().parse::<usize>().ok()?;
    Some(Reply { status, body: body.get(..length)?.to_vec() })
}

/// An answer without a length, which ends with the connection.
fn parse_to_end(answer: &[u8]) -> Option<Reply> {
    let (status, _, body) = split(answer)?;
    Some(Reply { status, body: body.to_vec() })
}

fn split(answer: &[u8]) -> Option<(u16, String, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_ascii_lowercase(), &answer[end + 4..]))
}

fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(line + 2..line + 2 + size)?);
        rest = rest.get(line + 4 + size..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_and_plain_bodies_are_read() {
        let plain = parse(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno").unwrap();
        assert_eq!((plain.status, plain.text().as_str()), (404, "no"));
        let chunked =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!((chunked.status, chunked.text().as_str()), (200, "abcde"));
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab").is_none(), "there is more to come");
        assert_eq!(parse_to_end(b"HTTP/1.1 200 OK\r\n\r\nab").unwrap().text(), "ab");
    }
}
