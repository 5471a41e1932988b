//! The plain origin: 200 to all; `POST /reflect` gets what its body names.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use mcsp_edge_waf::replay::{Answer, answer};

/// Marks what came from here.
pub(crate) const MARK: &str = "X-Backend";

const HEAD_BYTES_MAX: usize = 256 << 10;
const BODY_BYTES_MAX: usize = 16 << 20;
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves on a thread of its own until the process ends.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // One request at a time is asked, so there are as few of these as the edge keeps connections.
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut bytes = Vec::new();
    while let Some(request) = read(&mut stream, &mut bytes)? {
        let is_head = request.method == "HEAD";
        write(
            &mut stream,
            &answer(&request.method, &request.target, &request.body),
            is_head,
        )?;
    }
    Ok(())
}

struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
}

/// One request; `None` at the connection's end.
fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Request::new(&mut fields);
        if let httparse::Status::Complete(length) =
            head.parse(bytes).map_err(|error| bad(&error.to_string()))?
        {
            let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
            let (method, target) = (text(head.method), text(head.path));
            let field = |name: &str| {
                let found = head
                    .headers
                    .iter()
                    .find(|field| field.name.eq_ignore_ascii_case(name));
                found.map(|field| String::from_utf8_lossy(field.value).to_ascii_lowercase())
            };
            let is_chunked =
                field("transfer-encoding").is_some_and(|value| value.ends_with("chunked"));
            let body_length: usize = field("content-length")
                .and_then(|value| value.parse().ok())
                .unwrap_or(0);
            if body_length > BODY_BYTES_MAX {
                return Err(bad("a body that is too long"));
            }
            bytes.drain(..length);
            let body = match is_chunked {
                true => read_chunks(stream, bytes)?,
                false => take(stream, bytes, body_length)?,
            };
            return Ok(Some(Request {
                method,
                target,
                body,
            }));
        }
        if bytes.len() > HEAD_BYTES_MAX {
            return Err(bad("a head that is too long"));
        }
        if more(stream, bytes)? == 0 {
            return Ok(None);
        }
    }
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 16 << 10];
    let count = stream.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..count]);
    Ok(count)
}

fn take(stream: &mut TcpStream, bytes: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while bytes.len() < length {
        if more(stream, bytes)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(bytes.drain(..length).collect())
}

fn read_chunks(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            match memchr::memmem::find(bytes, b"\r\n") {
                Some(end) => break end,
                None if more(stream, bytes)? == 0 => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                None => {}
            }
        };
        let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let digits = line.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        bytes.drain(..end + 2);
        if body.len() + length > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        body.extend(take(stream, bytes, length)?);
        take(stream, bytes, 2)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

fn write(stream: &mut TcpStream, answer: &Answer, is_head: bool) -> io::Result<()> {
    let mut out = format!(
        "HTTP/1.1 {} Answer\r\n{MARK}: 1\r\nCache-Control: no-store\r\n",
        answer.status
    );
    for (name, value) in &answer.headers {
        let is_ours = ["content-length", "transfer-encoding", "connection"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        if !is_ours {
            out += &format!("{name}: {value}\r\n");
        }
    }
    out += &format!("Content-Length: {}\r\n\r\n", answer.body.len());
    let mut out = out.into_bytes();
    if !is_head {
        out.extend_from_slice(&answer.body);
    }
    stream.write_all(&out)
}
