//! TCP through the fault proxy.
//!
//! A connection's directions are two pumps. Each reads chunks, holds them until their time, and writes them in order. The time is
//! asked of the faults as they are now, not as they were when the chunk came, so that a change is felt at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use mcsp_loadtest_scenario::Random;
use tokio::io::AsyncWriteExt as _;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shared;
use crate::faults::{Direction, NetworkFaults};

/// The most that is read at once.
pub(super) const CHUNK_BYTES: usize = 16 << 10;
/// Chunks of one direction that are under way: 1 MiB of 16 KiB each.
const CHUNKS_MAX: usize = 64;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After an accept that failed (no descriptors), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes under way; none: the end of the direction.
struct Chunk {
    bytes: Bytes,
    arrived: Instant,
    index: u64,
    /// Given back when the chunk is delivered.
    _held: OwnedSemaphorePermit,
}

/// Accepts until it is dropped, and with it every connection.
pub(super) async fn accept(listener: TcpListener, shared: Shared, connections_max: usize) {
    let places = Arc::new(Semaphore::new(
        connections_max.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let mut connections = JoinSet::new();
    for number in 0_u64.. {
        let accepted = loop {
            tokio::select! {
                accepted = listener.accept() => break accepted,
                Some(_) = connections.join_next() => {}
            }
        };
        let Ok((client, _)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            shared.counters.refused.add(1);
            reset(&client);
            continue;
        };
        let shared = shared.clone();
        connections.spawn(async move {
            carry(client, &shared, number).await;
            drop(place);
        });
    }
}

/// When the socket is dropped its peer sees a reset (RST) instead of an end (FIN).
fn reset(stream: &TcpStream) {
    // A socket that is gone needs no reset.
    let _ = stream.set_zero_linger();
}

async fn carry(mut client: TcpStream, shared: &Shared, number: u64) {
    shared.counters.connections.add(1);
    let _open = shared.counters.open.guard();
    let mut faults = shared.faults.clone();
    // A connection through a black hole is not answered; ours was, by the kernel, so that only the node's side waits.
    let Ok(now) = faults
        .wait_for(|faults| faults.reset || !faults.blackhole)
        .await
        .map(|faults| *faults)
    else {
        return;
    };
    if now.reset {
        shared.counters.reset.add(1);
        reset(&client);
        return;
    }
    let Ok(Ok(mut node)) = timeout(CONNECT_TIMEOUT, TcpStream::connect(shared.upstream)).await
    else {
        shared.counters.unreachable.add(1);
        reset(&client);
        return;
    };
    let _ = (client.set_nodelay(true), node.set_nodelay(true));
    let is_whole = {
        let (client_read, client_write) = client.split();
        let (node_read, node_write) = node.split();
        let up = pump(client_read, node_write, Direction::ToNode, shared, number);
        let down = pump(node_read, client_write, Direction::ToClient, shared, number);
        tokio::select! {
            ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
            _ = faults.wait_for(|faults| faults.reset) => {
                shared.counters.reset.add(1);
                false
            }
        }
    };
    if !is_whole {
        // What broke one side breaks the other, as it would without us.
        reset(&client);
        reset(&node);
    }
}

async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    direction: Direction,
    shared: &Shared,
    number: u64,
) -> io::Result<()> {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let read = read(from, sender, shared);
    let write = write(to, receiver, direction, shared, number);
    tokio::try_join!(read, write).map(|_| ())
}

async fn read(from: ReadHalf<'_>, chunks: mpsc::Sender<Chunk>, shared: &Shared) -> io::Result<()> {
    for index in 0.. {
        // Nothing is set aside for a connection that is silent.
        from.readable().await?;
        let held = Arc::clone(&shared.buffer)
            .acquire_many_owned(CHUNK_BYTES as u32)
            .await;
        let mut held = held.map_err(|_| io::ErrorKind::BrokenPipe)?;
        let mut bytes = BytesMut::with_capacity(CHUNK_BYTES);
        let read = match from.try_read_buf(&mut bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        drop(held.split(CHUNK_BYTES.saturating_sub(bytes.len())));
        let chunk = Chunk {
            bytes: fitted(bytes),
            arrived: Instant::now(),
            index,
            _held: held,
        };
        if chunks.send(chunk).await.is_err() || read == 0 {
            break;
        }
    }
    Ok(())
}

/// Without the room that was not needed: what is counted is what is held.
fn fitted(bytes: BytesMut) -> Bytes {
    if bytes.len() < CHUNK_BYTES / 2 {
        Bytes::copy_from_slice(&bytes)
    } else {
        bytes.freeze()
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut chunks: mpsc::Receiver<Chunk>,
    direction: Direction,
    shared: &Shared,
    number: u64,
) -> io::Result<()> {
    let mut faults = shared.faults.clone();
    let mut free_at = Instant::now();
    let mut is_closed = false;
    let stream = number.wrapping_mul(2) + u64::from(direction == Direction::ToClient);
    loop {
        let next = tokio::select! {
            next = chunks.recv() => next,
            is_there = ends(&mut faults, direction), if !is_closed => {
                if !is_there {
                    return Ok(());
                }
                is_closed = true;
                to.shutdown().await?;
                continue;
            }
        };
        let Some(mut chunk) = next else {
            return Ok(());
        };
        if is_closed {
            shared.counters.dropped_bytes.add(chunk.bytes.len());
            continue;
        }
        let luck = Random::new(shared.seed, stream, chunk.index);
        let is_end = chunk.bytes.is_empty();
        let mut is_counted = false;
        // At least once, since the end of a direction is late too.
        loop {
            let due =
                |faults: &NetworkFaults| chunk.arrived + faults.lateness(luck.clone(), true).0;
            let Some(now) = passable(&mut faults, due, &mut free_at).await else {
                return Ok(());
            };
            if !std::mem::replace(&mut is_counted, true) && now.lateness(luck.clone(), true).1 > 0 {
                shared.counters.chunks_resent.add(1);
            }
            if chunk.bytes.is_empty() {
                break;
            }
            let piece = chunk.bytes.len().min(now.piece_bytes());
            to.write_all(chunk.bytes.get(..piece).unwrap_or_default())
                .await?;
            chunk.bytes.advance(piece);
            shared.counters.passed(direction, piece);
            free_at = free_at.max(Instant::now()) + now.time_of(piece);
            if chunk.bytes.is_empty() {
                break;
            }
        }
        if is_end {
            to.shutdown().await?;
            return Ok(());
        }
    }
}

/// Waits until this direction is to end; false: the proxy is gone.
async fn ends(faults: &mut watch::Receiver<NetworkFaults>, direction: Direction) -> bool {
    faults
        .wait_for(|faults| faults.half_close == Some(direction))
        .await
        .is_ok()
}

/// Waits until a chunk may pass, by the faults as they come to be meanwhile; none: the proxy is gone.
async fn passable(
    faults: &mut watch::Receiver<NetworkFaults>,
    due: impl Fn(&NetworkFaults) -> Instant,
    free_at: &mut Instant,
) -> Option<NetworkFaults> {
    loop {
        let now = *faults.borrow_and_update();
        if now.kbit_s == 0 {
            // A throttle that is over leaves no debt.
            *free_at = (*free_at).min(Instant::now());
        }
        let at = due(&now).max(*free_at);
        if !now.blackhole && at <= Instant::now() {
            return Some(now);
        }
        tokio::select! {
            () = sleep_until(at), if !now.blackhole => {}
            changed = faults.changed() => changed.ok()?,
        }
    }
}
