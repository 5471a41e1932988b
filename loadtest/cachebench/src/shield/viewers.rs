//! Viewers: each asks for segments when its time has come, whether or not the one before has arrived, and a latency counts from
//! that moment. So a node that stands still is seen by all who would have asked meanwhile. Only what this program is late by
//! itself, of a viewer who was not waiting for anything, is not counted as the node's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::runtime::Handle;

use super::latencies::Latencies;
use super::speaker::Speaker;
use super::wait::Wait;
use super::{LOAD_CORE, pin};
use crate::error::BenchError;
use crate::random::Random;
use crate::sized::path_of;

/// How many watch.
pub(super) const VIEWERS: usize = 32;
/// Segments that each asks for a second, on average; half are of video, half of audio: 20 Mbit/s.
const SEGMENTS_S: f64 = 25.0;
/// Bytes of a segment of video, and of one of audio.
pub(super) const SIZES: [usize; 2] = [200 << 10, 1 << 10];
/// Different ones of each.
pub(super) const OBJECTS: usize = 16;

/// One request.
#[derive(Debug, Clone)]
struct Seen {
    /// When it was to be made.
    due: Instant,
    /// Until its last byte, from then, without `late`; nothing if it failed.
    took: Option<Duration>,
    /// How much later than that a viewer who was not waiting for anything began: what this program did not manage.
    late: Option<Duration>,
}

/// Viewers at work; they end when dropped.
pub(super) struct Viewers {
    seen: Arc<Mutex<Vec<Seen>>>,
    faults: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What happened in one window.
#[derive(Debug)]
pub(super) struct Window {
    /// Of requests that were to be made in it.
    pub(super) latencies: Latencies,
    /// How late the viewers themselves were.
    pub(super) lateness: Latencies,
    /// Requests that failed.
    pub(super) failed: usize,
}

impl Viewers {
    /// Connects all of them, each from its own address and with its own playback session, of which `prefixes` tell.
    ///
    /// # Errors
    /// When one cannot connect.
    pub(super) async fn start(
        address: SocketAddr,
        prefixes: &[String],
        tls: &Arc<ClientConfig>,
    ) -> Result<Self, BenchError> {
        let mut viewers = Self {
            seen: Arc::default(),
            faults: Arc::default(),
            stop: Arc::default(),
            threads: Vec::new(),
        };
        for (number, prefix) in prefixes.iter().enumerate() {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            let from = IpAddr::V4(Ipv4Addr::new(127, 1, 0, number.saturating_add(1)));
            let speaker = Speaker::open(from, address, Some(tls), Wait::Asleep).await;
            let mut viewer = Viewer {
                speaker: speaker.map_err(BenchError::Answer)?,
                from,
                address,
                tls: Arc::clone(tls),
                prefix: prefix.clone(),
                random: Random::new(u64::from(number) + 1),
                seen: Arc::clone(&viewers.seen),
                faults: Arc::clone(&viewers.faults),
                runtime: Handle::current(),
            };
            let stop = Arc::clone(&viewers.stop);
            viewers.threads.push(std::thread::spawn(move || {
                // Elsewhere the figures are only worse.
                let _ = pin::to_core(LOAD_CORE);
                viewer.watch(&stop);
            }));
        }
        Ok(viewers)
    }

    /// What came of requests that were due from one moment to another. To be asked some time after that.
    pub(super) fn window(&self, from: Instant, to: Instant) -> Window {
        let seen = self.seen.lock();
        let within: Vec<&Seen> = seen
            .iter()
            .filter(|one| (from..to).contains(&one.due))
            .collect();
        let of = |figure: fn(&Seen) -> Option<Duration>| {
            let found = within.iter().filter_map(|one| figure(one));
            let ns = found.map(|took| u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            Latencies::of(ns.collect())
        };
        Window {
            latencies: of(|one| one.took),
            lateness: of(|one| one.late),
            failed: within.iter().filter(|one| one.took.is_none()).count(),
        }
    }

    /// Why requests failed so far.
    pub(super) fn faults(&self) -> Vec<String> {
        self.faults.lock().clone()
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that ended early has said why.
            let _ = thread.join();
        }
    }
}

struct Viewer {
    speaker: Speaker,
    from: IpAddr,
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    prefix: String,
    random: Random,
    seen: Arc<Mutex<Vec<Seen>>>,
    faults: Arc<Mutex<Vec<String>>>,
    runtime: Handle,
}

impl Viewer {
    fn watch(&mut self, stop: &AtomicBool) {
        let mut due = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            // Intervals as of many who know nothing of each other.
            let gap_s = -(1.0 - self.random.unit()).ln() / SEGMENTS_S;
            due += Duration::from_secs_f64(gap_s.min(1.0));
            let path = self.path();
            let wait = due.saturating_duration_since(Instant::now());
            std::thread::sleep(wait);
            let late = (!wait.is_zero()).then(|| due.elapsed());
            let asked = self.speaker.get(&path);
            let took = due.elapsed().saturating_sub(late.unwrap_or_default());
            let is_served = asked.is_ok();
            self.seen.lock().push(Seen {
                due,
                took: is_served.then_some(took),
                late,
            });
            if let Err(fault) = asked {
                self.faults.lock().push(fault);
                self.connect_again();
            }
        }
    }

    fn path(&mut self) -> String {
        let bytes = SIZES[self.random.below(SIZES.len())];
        format!(
            "{}/{}",
            self.prefix,
            path_of(bytes, self.random.below(OBJECTS))
        )
    }

    fn connect_again(&mut self) {
        let opened = Speaker::open(self.from, self.address, Some(&self.tls), Wait::Asleep);
        match self.runtime.block_on(opened) {
            Ok(speaker) => self.speaker = speaker,
            Err(fault) => self.faults.lock().push(fault),
        }
    }
}
