//! The platform: a listener on the loopback that speaks as much of the API, of HLS and of DASH as players and API users need.

mod answers;
mod http;
mod item;
mod plant;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mcsp_loadtest_scenario::Random;
use mcsp_loadtest_wire::{RunClock, Timer};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use item::{Item, Rung};
pub use plant::Plant;

/// Delays that are remembered; of more, none.
const DELAYS_MAX: usize = 10_000_000;

/// How long answers take, beside what the machine itself needs.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Delays {
    /// Nothing.
    #[default]
    None,
    /// Each so long, µs.
    Fixed(u64),
    /// Of requests for `/api/v1/users/me` only: drawn from a distribution like those of real services, lognormal with this median (µs)
    /// and spread, from `seed`.
    Lognormal {
        /// µs.
        median_us: u64,
        /// The standard deviation of the logarithm.
        sigma: f64,
        /// The same seed gives the same delays, request by request.
        seed: u64,
    },
}

/// What a platform is like.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What is wrong with it.
    pub plant: Plant,
    /// What can be played, as `item`.
    pub item: Item,
    /// How long answers take.
    pub delays: Delays,
    /// Processor time that each answer takes, µs.
    pub work_us: u64,
}

/// A platform that answers as long as it is there.
#[derive(Debug)]
pub struct Platform {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections know.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) address: SocketAddr,
    /// Since the first request.
    started: Mutex<Option<Instant>>,
    pub(crate) requests: AtomicU64,
    /// Bytes of answers, heads too.
    pub(crate) sent: AtomicU64,
    /// Of these, those of bodies.
    pub(crate) bodies: AtomicU64,
    clock: RunClock,
    drawn: AtomicU64,
    /// Whether a segment was cut off already.
    pub(crate) has_cut: AtomicBool,
    /// What was injected, µs, in order of request.
    delays: Mutex<Vec<u32>>,
}

impl Platform {
    /// Listens on a port of the loopback that is free; answers on the current runtime.
    ///
    /// # Errors
    /// When the system gives no port or no timer.
    pub async fn start(options: Options) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let timer = Timer::new()?;
        let shared = Arc::new(Shared {
            options,
            address,
            started: Mutex::default(),
            requests: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            bodies: AtomicU64::new(0),
            clock: RunClock::starting_now().by(Arc::clone(&timer)),
            drawn: AtomicU64::new(0),
            has_cut: AtomicBool::new(false),
            delays: Mutex::default(),
        });
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                // Ends with the runtime, or with the listener: nobody is served then.
                tokio::select! {
                    _ = timer.run() => {}
                    () = accept(listener, shared) => {}
                }
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that came.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Bytes of bodies that were sent.
    #[must_use]
    pub fn body_bytes(&self) -> u64 {
        self.shared.bodies.load(Ordering::Relaxed)
    }

    /// The delays that were drawn and injected, µs, in the order of the requests; ten million at most.
    #[must_use]
    pub fn delays_us(&self) -> Vec<u32> {
        self.shared.delays.lock().clone()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it, the second part of an answer waits for the first's acknowledgement.
                let _ = stream.set_nodelay(true);
                tokio::spawn(http::speak(stream, Arc::clone(&shared)));
            }
            // Out of descriptors: those who are there will leave.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

impl Shared {
    /// Since the first request.
    pub(crate) fn age(&self) -> Duration {
        self.started
            .lock()
            .get_or_insert_with(Instant::now)
            .elapsed()
    }

    /// Makes the answer to `path` as late as it is to be. `came_us` is when the request was there, as [`Shared::now_us`] said.
    pub(crate) async fn delay(&self, path: &str, number: u64, came_us: u64) {
        let planted_us = self.options.plant.delay_us(self.age(), path, number);
        let drawn_us = match self.options.delays {
            Delays::None => 0,
            Delays::Fixed(us) => us,
            Delays::Lognormal { .. } if path != "/api/v1/users/me" => 0,
            Delays::Lognormal {
                median_us,
                sigma,
                seed,
            } => {
                let index = self.drawn.fetch_add(1, Ordering::Relaxed);
                let us = lognormal(median_us, sigma, &mut Random::new(seed, 0, index));
                let mut delays = self.delays.lock();
                if delays.len() < DELAYS_MAX {
                    delays.push(u32::try_from(us).unwrap_or(u32::MAX));
                }
                us
            }
        };
        let delay_us = planted_us + drawn_us;
        if delay_us > 0 {
            self.clock.until(came_us + delay_us).await;
        }
        if self.options.work_us > 0 {
            let until = Instant::now() + Duration::from_micros(self.options.work_us);
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }
}

/// By the transform of Box and Muller (1958).
fn lognormal(median_us: u64, sigma: f64, random: &mut Random) -> u64 {
    let radius = (2.0 * random.exponential()).sqrt();
    let normal = radius * (std::f64::consts::TAU * random.unit()).cos();
    (median_us as f64 * (sigma * normal).exp()) as u64
}
