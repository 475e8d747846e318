//! A small HTTP client that hides nothing: requests may be written ahead of their answers, and time is what the socket
//! says.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: String,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The stable code of a problem, or empty.
    pub(crate) fn code(&self) -> String {
        self.json().get("code").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
    }
}

/// The half of a connection that asks.
pub(crate) struct Requests(TcpStream);

/// The half of a connection that is answered.
pub(crate) struct Replies(BufReader<TcpStream>);

/// A connection.
pub(crate) struct Connection {
    /// Asks.
    pub(crate) requests: Requests,
    /// Is answered.
    pub(crate) replies: Replies,
}

impl Requests {
    /// Asks for a path.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<()> {
        self.0.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())
    }

    /// Sends a body.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<()> {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut whole = Vec::with_capacity(head.len() + body.len());
        whole.extend_from_slice(head.as_bytes());
        whole.extend_from_slice(body);
        self.0.write_all(&whole)
    }

    /// Sends commands, one a line.
    pub(crate) fn commands(&mut self, lines: &str) -> io::Result<()> {
        self.post("/v1/commands", lines.as_bytes())
    }

    /// Closes the connection, both ways.
    pub(crate) fn close(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an HTTP answer: {what}"))
}

impl Replies {
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }

    /// The next answer.
    pub(crate) fn next(&mut self) -> io::Result<Reply> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or_else(|| invalid(&first))?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(|| invalid("no content-length"))?];
        self.0.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(|_| invalid("not UTF-8"))?;
        Ok(Reply { status, body })
    }
}

impl Connection {
    /// Connects; no read or write waits longer than `patience`.
    pub(crate) fn open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let reader = BufReader::with_capacity(64 * 1024, stream.try_clone()?);
        Ok(Self { requests: Requests(stream), replies: Replies(reader) })
    }

    /// Asks for a path and waits.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.requests.get(path)?;
        self.replies.next()
    }

    /// Sends a body and waits.
    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> io::Result<Reply> {
        self.requests.post(path, body)?;
        self.replies.next()
    }

    /// Sends commands, one a line, and waits.
    pub(crate) fn commands(&mut self, lines: &str) -> io::Result<Reply> {
        self.requests.commands(lines)?;
        self.replies.next()
    }
}
