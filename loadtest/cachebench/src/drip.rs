//! A cold object that its origin drips over two seconds, and many who want it at once: how often the origin is asked, and how
//! long after the origin's first byte the last of them has it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::bench::Options;
use crate::client::{self, Request};
use crate::error::BenchError;
use crate::report::{Better, Row, median};
use crate::server::{Kind, NodeLimits, Plan, Purpose};
use crate::sized::CACHE_CONTROL;
use crate::wire::{Framing, WireReader};

/// Who want it.
const CLIENTS: usize = 20;
/// Pieces of the object, one each [`PACE`].
const PIECES: usize = 20;
const PIECE: [u8; 1024] = [b'd'; 1024];
const PACE: Duration = Duration::from_millis(100);
/// How long the origin thinks before it says anything, so that all have asked by then.
const PAUSE: Duration = Duration::from_millis(300);
/// Objects; of the delays the median is reported, and of the fetches the most that one of them took.
const OBJECTS: usize = 5;
/// The goal, ms.
const FIRST_BYTE_MS_MAX: f64 = 5.0;
/// The name of the case.
pub const CASE: &str = "drip: 20 clients, one cold object over 2 s";

/// Measures our node and the peers.
///
/// # Errors
/// When a server does not start, or fails a request.
pub async fn run(options: &Options<'_>, say: &dyn Fn(&str)) -> Result<Vec<Row>, BenchError> {
    let mut figures = Vec::new();
    // nginx is the same in both of its forms here.
    let peers = options.peers.iter().copied();
    let peers = peers.filter(|peer| *peer != Kind::NginxStock);
    for kind in std::iter::once(Kind::Node).chain(peers) {
        let origin = Origin::start().await?;
        let folder = options
            .data_dir
            .join(format!("drip-{}", kind.name().replace(' ', "-")));
        let plan = Plan {
            kind,
            purpose: Purpose::Memory,
            folder: &folder,
            origin: origin.address,
            certificate: None,
            core: None,
            node_program: options.node_program,
            node_limits: NodeLimits::Wide,
            node_extra: "",
        };
        let server = plan.start().await?;
        let mut fetches = Vec::new();
        let mut delays_ms = Vec::new();
        for number in 0..OBJECTS {
            let delay_ms = all_get(server.plain, number, &origin).await?;
            delays_ms.push(delay_ms);
            fetches.push(origin.take().len() as f64);
        }
        server.stop().await;
        let most = fetches.iter().copied().fold(0.0, f64::max);
        let figure = (kind, most, median(&delays_ms));
        say(&format!(
            "{CASE}: {kind}: {} fetches, the last first byte {:.1} ms after the origin's",
            figure.1, figure.2
        ));
        figures.push(figure);
    }
    Ok(rows(&figures))
}

fn rows(figures: &[(Kind, f64, f64)]) -> Vec<Row> {
    let Some(((_, our_fetches, our_delay_ms), peers)) = figures.split_first() else {
        return Vec::new();
    };
    let of_peers = |figure: fn(&(Kind, f64, f64)) -> f64| -> Vec<(String, f64)> {
        peers
            .iter()
            .map(|peer| (peer.0.name().to_owned(), figure(peer)))
            .collect()
    };
    let delays_ms = of_peers(|peer| peer.2);
    let best_ms = delays_ms
        .iter()
        .map(|(_, delay_ms)| *delay_ms)
        .fold(f64::INFINITY, f64::min);
    [
        ("fetches", "", *our_fetches, of_peers(|peer| peer.1), 1.0),
        (
            // Within 5 ms, whatever the peers need.
            "first byte after the origin's",
            "ms",
            *our_delay_ms,
            delays_ms,
            FIRST_BYTE_MS_MAX / best_ms.max(f64::MIN_POSITIVE),
        ),
    ]
    .into_iter()
    .filter_map(|(metric, unit, ours, peers, goal)| {
        Row::best_of(CASE, metric, unit, ours, &peers, (Better::Less, goal))
    })
    .collect()
}

/// All ask for one object at once. How long after the origin's first byte the last of them had its first, ms.
async fn all_get(server: SocketAddr, number: usize, origin: &Origin) -> Result<f64, BenchError> {
    let fault = |reason: String| BenchError::Answer(format!("{CASE}: {reason}"));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let request = Request::new("GET", &format!("/o/{number}"));
        clients.spawn(async move { client::send(server, &request).await });
    }
    let mut last = None;
    while let Some(answer) = clients.join_next().await {
        let answer = answer
            .map_err(|error| fault(error.to_string()))?
            .map_err(fault)?;
        if !answer.is_complete || answer.body.len() != PIECES * PIECE.len() {
            return Err(fault(format!("{} bytes came", answer.body.len())));
        }
        last = last.max(answer.first_byte);
    }
    let first = origin.first();
    match (first, last) {
        (Some(first), Some(last)) => Ok(last.saturating_duration_since(first).as_secs_f64() * 1e3),
        _ => Err(fault("nothing came".to_owned())),
    }
}

/// An origin that drips; ends when dropped.
#[derive(Debug)]
struct Origin {
    address: SocketAddr,
    /// When the first byte of each body left.
    began: Arc<Mutex<Vec<Instant>>>,
    task: JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    async fn start() -> Result<Self, BenchError> {
        let fault = |source| BenchError::socket("the dripping origin", source);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        let began: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let shared = Arc::clone(&began);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(drip(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            began,
            task,
        })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<Instant>> {
        self.began.lock().unwrap_or_else(|held| held.into_inner())
    }

    fn first(&self) -> Option<Instant> {
        self.locked().iter().min().copied()
    }

    fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.locked())
    }
}

async fn drip(stream: TcpStream, began: Arc<Mutex<Vec<Instant>>>) {
    let _ = stream.set_nodelay(true);
    let (read, mut write) = stream.into_split();
    let mut reader = WireReader::new(read);
    // An error is the other side's going away.
    while let Ok(Some(head)) = reader.head().await {
        if !matches!(reader.body(Framing::of_request(&head)).await, Ok((_, true))) {
            return;
        }
        let length = PIECES * PIECE.len();
        let text = format!(
            "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Length: {length}\r\nCache-Control: {CACHE_CONTROL}\r\n\r\n",
            httpdate::fmt_http_date(std::time::SystemTime::now())
        );
        tokio::time::sleep(PAUSE).await;
        if write.write_all(text.as_bytes()).await.is_err() {
            return;
        }
        began
            .lock()
            .unwrap_or_else(|held| held.into_inner())
            .push(Instant::now());
        for _ in 0..PIECES {
            if write.write_all(&PIECE).await.is_err() {
                return;
            }
            tokio::time::sleep(PACE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_fetch_and_five_milliseconds_are_the_goals_whatever_peers_do() {
        let met = |fetches, delay_ms| {
            let peers = [(Kind::NginxTuned, 1.0, 2000.0), (Kind::Varnish, 1.0, 0.5)];
            let rows = rows(&[&[(Kind::Node, fetches, delay_ms)], &peers[..]].concat());
            rows.iter().map(|row| row.met).collect::<Vec<_>>()
        };
        assert_eq!(met(1.0, 4.9), [true, true]);
        assert_eq!(met(2.0, 5.1), [false, false]);
    }
}
