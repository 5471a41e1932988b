//! One test's bytes to the edge, and what the edge says that it saw.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mcsp_edge_waf::AuditEvent;
use mcsp_edge_waf::replay::Observation;

use crate::AnyError;
use crate::backend::MARK;
use crate::node::Node;

/// How long the rules may take to be loaded.
const LOAD_MAX: Duration = Duration::from_secs(120);
/// How long an answer may take before the edge is told that no more comes: a few tests announce more body than they send, and all
/// others have theirs long before, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(5);
/// And after that.
const END_MAX: Duration = Duration::from_secs(5);
/// How long the event of a request that reached the origin may take, or of one that was cut off.
const EVENT_MAX: Duration = Duration::from_secs(10);
/// How long one is looked for of a request that the edge answered by itself.
const EVENT_OF_REFUSED_MAX: Duration = Duration::from_millis(200);
/// Names the trace of an answer, which is its event's id (W3C Trace Context section 3.2).
const TRACE: &str = "traceparent";
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[derive(Debug)]
pub(crate) struct Asking {
    address: SocketAddr,
    audit_file: PathBuf,
    events: Option<BufReader<File>>,
    /// A line whose end has not been written yet.
    begun: String,
}

/// What came back.
#[derive(Debug, Default)]
struct Answered {
    status: Option<u16>,
    is_origins: bool,
    /// The id of its event, if it says so.
    trace: Option<String>,
    /// It took the end of what we send to get an answer, or there was none.
    is_cut_off: bool,
}

impl Asking {
    /// Waits until the node inspects.
    pub(crate) fn new(node: &Node) -> Result<Self, AnyError> {
        let mut asking = Self {
            address: node.address,
            audit_file: node.audit_file.clone(),
            events: None,
            begun: String::new(),
        };
        let start = Instant::now();
        while start.elapsed() < LOAD_MAX {
            asking.exchange(HEAD)?;
            if asking.next_event(Duration::from_millis(100)).is_some() {
                return Ok(asking);
            }
        }
        Err("the node inspects nothing".into())
    }

    pub(crate) fn ask(&mut self, raw: &[u8]) -> Observation {
        // What came late is no event of this request's.
        while self.next_event(Duration::ZERO).is_some() {}
        let answered = self.exchange(raw).unwrap_or_default();
        let wait = if answered.is_origins || answered.is_cut_off {
            EVENT_MAX
        } else {
            EVENT_OF_REFUSED_MAX
        };
        let event = self.event_of(answered.trace.as_deref(), wait);
        let refused = match (answered.status, answered.is_origins) {
            (_, true) => None,
            (Some(status), false) => Some(format!("the edge answers {status}")),
            (None, false) if answered.is_cut_off => None,
            (None, false) => Some("the edge closes".to_owned()),
        };
        let (matches, notes) = event
            .map(|event| (event.matches, event.body_error.into_iter().collect()))
            .unwrap_or_default();
        Observation {
            refused,
            cut_off: answered.is_cut_off,
            matches,
            notes,
        }
    }

    fn exchange(&self, raw: &[u8]) -> io::Result<Answered> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        // One who refuses early may have closed before the end.
        let _ = stream.write_all(raw);
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answered = Answered::default();
        let mut bytes = Vec::new();
        let start = Instant::now();
        while start.elapsed() < PATIENCE + END_MAX {
            let mut piece = [0; 16 << 10];
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) if is_timeout(&error) && !answered.is_cut_off => {
                    answered.is_cut_off = true;
                    let _ = stream.shutdown(Shutdown::Write);
                    stream.set_read_timeout(Some(END_MAX))?;
                }
                Err(_) => break,
            }
            if read_head(&bytes, &mut answered) {
                break;
            }
        }
        Ok(answered)
    }

    /// The event of an answer by its id, or the next one where that is not known. Those of others came late, and are passed over.
    fn event_of(&mut self, trace: Option<&str>, wait: Duration) -> Option<AuditEvent> {
        let start = Instant::now();
        loop {
            let event = self.next_event(wait.saturating_sub(start.elapsed()))?;
            if trace.is_none_or(|trace| event.id == trace) {
                return Some(event);
            }
        }
    }

    /// The next event of the audit file.
    fn next_event(&mut self, wait: Duration) -> Option<AuditEvent> {
        let start = Instant::now();
        loop {
            if self.events.is_none() {
                self.events = File::open(&self.audit_file).ok().map(BufReader::new);
            }
            if let Some(events) = &mut self.events
                && events.read_line(&mut self.begun).is_ok()
                && self.begun.ends_with('\n')
            {
                let line = std::mem::take(&mut self.begun);
                return serde_json::from_str(&line).ok();
            }
            if start.elapsed() >= wait {
                return None;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Whether the last head is there: one with 1xx is not it.
fn read_head(mut bytes: &[u8], answered: &mut Answered) -> bool {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut fields);
        let Ok(httparse::Status::Complete(length)) = head.parse(bytes) else {
            return false;
        };
        let status = head.code.unwrap_or_default();
        if (100..200).contains(&status) {
            bytes = &bytes[length..];
            continue;
        }
        answered.status = Some(status);
        let trace = head.headers.iter();
        let trace = trace.filter(|field| field.name.eq_ignore_ascii_case(TRACE));
        answered.trace = trace
            .filter_map(|field| std::str::from_utf8(field.value).ok())
            .find_map(|value| Some(value.split('-').nth(1)?.to_owned()));
        answered.is_origins = head
            .headers
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case(MARK));
        return true;
    }
}
