//! UDP through the fault proxy: a flow for each client address, each with a socket of its own towards the node.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcsp_loadtest_scenario::Random;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Shared;
use crate::faults::{Direction, NetworkFaults};

/// The largest payload of a datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams of a flow that wait to be looked at, and, once more, that are under way.
const QUEUE_MAX: usize = 512;
/// A flow without datagrams for so long is forgotten.
const IDLE: Duration = Duration::from_secs(60);
/// After an error of the socket: an unreachable port is reported to whoever reads next.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// Beside the streams of TCP.
const STREAMS: u64 = 1 << 63;

pub(super) async fn serve(socket: UdpSocket, shared: Shared, flows_max: usize) {
    let socket = Arc::new(socket);
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Bytes>> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut number = 0_u64;
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            Some(_) = tasks.join_next() => {
                flows.retain(|_, flow| !flow.is_closed());
                continue;
            }
        };
        let Ok((length, client)) = received else {
            sleep(ERROR_PAUSE).await;
            continue;
        };
        let datagram = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        let is_known = flows.get(&client).is_some_and(|flow| !flow.is_closed());
        if !is_known {
            if flows.len() >= flows_max {
                shared.counters.datagrams_overflown.add(1);
                continue;
            }
            let (sender, receiver) = mpsc::channel(QUEUE_MAX);
            number += 1;
            let flow = Flow {
                client,
                listener: Arc::clone(&socket),
                shared: shared.clone(),
                number,
                under_way: BinaryHeap::new(),
                sent: 0,
                free_at: [Instant::now(); 2],
            };
            tasks.spawn(flow.carry(receiver));
            flows.insert(client, sender);
        }
        if flows
            .get(&client)
            .is_some_and(|flow| flow.try_send(datagram).is_err())
        {
            shared.counters.datagrams_overflown.add(1);
        }
    }
}

/// A datagram under way; the earliest is the greatest.
type Waiting = Reverse<(Instant, u64, bool, Bytes)>;

struct Flow {
    client: SocketAddr,
    listener: Arc<UdpSocket>,
    shared: Shared,
    number: u64,
    under_way: BinaryHeap<Waiting>,
    /// Datagrams so far, for luck and for order among equals.
    sent: u64,
    /// When the throttled link is free again, to the node and to the client.
    free_at: [Instant; 2],
}

impl Flow {
    async fn carry(mut self, mut from_client: mpsc::Receiver<Bytes>) {
        let any: SocketAddr = match self.shared.upstream {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let Ok(node) = UdpSocket::bind(any).await else {
            return;
        };
        if node.connect(self.shared.upstream).await.is_err() {
            return;
        }
        let mut faults = self.shared.faults.clone();
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let due = self.under_way.peek().map(|Reverse((due, ..))| *due);
            let event = async {
                tokio::select! {
                    datagram = from_client.recv() => Event::Came(Direction::ToNode, datagram),
                    received = node.recv(&mut buffer) => match received {
                        Ok(length) => Event::Came(Direction::ToClient, buffer.get(..length).map(Bytes::copy_from_slice)),
                        Err(_) => Event::Error,
                    },
                    () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => Event::Due,
                    changed = faults.changed() => if changed.is_ok() { Event::Changed } else { Event::Gone },
                }
            };
            let Ok(event) = timeout(IDLE, event).await else {
                return;
            };
            match event {
                Event::Came(direction, Some(datagram)) => self.take(direction, datagram),
                Event::Came(_, None) | Event::Gone => return,
                Event::Error => sleep(ERROR_PAUSE).await,
                Event::Due => self.deliver(&node).await,
                Event::Changed => self.hasten(),
            }
        }
    }

    /// Puts a datagram on its way, or drops it.
    fn take(&mut self, direction: Direction, datagram: Bytes) {
        let faults: NetworkFaults = *self.shared.faults.borrow();
        let counters = &self.shared.counters;
        self.sent += 1;
        let luck = Random::new(self.shared.seed, STREAMS | self.number, self.sent);
        let (late, losses) = faults.lateness(luck, false);
        if losses > 0 || faults.blackhole || faults.reset {
            counters.datagrams_lost.add(1);
            return;
        }
        if self.under_way.len() >= QUEUE_MAX {
            counters.datagrams_overflown.add(1);
            return;
        }
        let now = Instant::now();
        let is_to_client = direction == Direction::ToClient;
        let mut due = now + late;
        if faults.kbit_s > 0 {
            let free_at = &mut self.free_at[usize::from(is_to_client)];
            *free_at = (*free_at).max(now) + faults.time_of(datagram.len());
            due = due.max(*free_at);
        }
        self.under_way
            .push(Reverse((due, self.sent, is_to_client, datagram)));
    }

    async fn deliver(&mut self, node: &UdpSocket) {
        let Some(Reverse((_, _, is_to_client, datagram))) = self.under_way.pop() else {
            return;
        };
        let faults: NetworkFaults = *self.shared.faults.borrow();
        let counters = &self.shared.counters;
        if faults.blackhole || faults.reset {
            counters.datagrams_lost.add(1);
            return;
        }
        let sent = if is_to_client {
            self.listener.send_to(&datagram, self.client).await
        } else {
            node.send(&datagram).await
        };
        if sent.is_ok() {
            let direction = if is_to_client {
                Direction::ToClient
            } else {
                Direction::ToNode
            };
            counters.datagrams.add(1);
            counters.passed(direction, datagram.len());
        }
    }

    /// The faults have changed: what is under way comes no later than it would were it sent now.
    fn hasten(&mut self) {
        let faults: NetworkFaults = *self.shared.faults.borrow();
        let now = Instant::now();
        if faults.kbit_s == 0 {
            self.free_at = [now; 2];
            let latest =
                now + Duration::from_millis(faults.delay_ms.saturating_add(faults.jitter_ms));
            let all = std::mem::take(&mut self.under_way).into_iter();
            self.under_way = all
                .map(|Reverse((due, order, is_to_client, datagram))| {
                    Reverse((due.min(latest), order, is_to_client, datagram))
                })
                .collect();
        }
    }
}

enum Event {
    Came(Direction, Option<Bytes>),
    Due,
    Changed,
    Error,
    Gone,
}
