//! Everything together, in the order in which a request meets it.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mcsp_runtime::{SharedClock, SharedEntropy};
use parking_lot::Mutex;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::class::Class;
use crate::concurrency::{Busy, ConnectionGuard, Occupancy, RequestGuard};
use crate::config::{LimitsConfig, LimitsConfigError};
use crate::frames::{FrameMeter, FrameRules};
use crate::key::{Fingerprint, Network};
use crate::limiter::{Holder, Limiter, LimiterError, Verdict};
use crate::running::RunningSessions;
use crate::shed::Shedder;
use crate::standing::{Refusal, Standing};

/// Why something is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// Over its rate: 429.
    Rate(Refusal),
    /// Too much at once: 429 where it is the client's own, else 503.
    Busy(Busy),
    /// The node has too much to do, and this can wait: 503.
    Shed {
        /// `Retry-After`, seconds.
        retry_after_s: u32,
    },
}

/// `Retry-After` where something has to end first, seconds.
const BUSY_RETRY_AFTER_S: u32 = 2;

impl Turned {
    /// A word for logs, metrics and `Cache-Status`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Rate(refusal) => refusal.reason(),
            Self::Busy(busy) => busy.reason(),
            Self::Shed { .. } => "shed",
        }
    }

    /// 429 (RFC 6585 section 4) rather than 503?
    #[must_use]
    pub fn is_clients(&self) -> bool {
        match self {
            Self::Rate(_) => true,
            Self::Busy(busy) => busy.is_clients(),
            Self::Shed { .. } => false,
        }
    }

    /// `Retry-After`, seconds.
    #[must_use]
    pub fn retry_after_s(&self) -> u32 {
        match self {
            Self::Rate(refusal) => refusal.retry_after_s(),
            Self::Busy(_) => BUSY_RETRY_AFTER_S,
            Self::Shed { retry_after_s } => *retry_after_s,
        }
    }
}

/// A node's limits.
#[derive(Debug)]
pub struct Limits {
    /// The rates.
    pub limiter: Arc<Limiter>,
    /// What is under way.
    pub occupancy: Arc<Occupancy>,
    /// What is refused when there is too much to do.
    pub shedder: Shedder,
    running: RunningSessions,
    /// Apart from those: anybody may have many addresses.
    running_clients: RunningSessions,
    frames: ArcSwap<FrameRules>,
    started_with: LimitsConfig,
    /// One after the other, so that no two are in force by halves.
    reloading: Mutex<()>,
    entropy: SharedEntropy,
    turned: IntCounterVec,
    floods: IntCounterVec,
}

impl Limits {
    /// The limits of one node.
    ///
    /// # Errors
    /// When a value cannot be used, or `registry` has these metrics already.
    pub fn new(
        config: &LimitsConfig,
        clock: &SharedClock,
        entropy: &SharedEntropy,
        registry: &Registry,
    ) -> Result<Arc<Self>, LimiterError> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let limiter = Limiter::new(config, Arc::clone(clock), &**entropy, registry)?;
        let frames = FrameRules::new(&config.frames, &limiter);
        Ok(Arc::new(Self {
            limiter: Arc::new(limiter),
            occupancy: Occupancy::new(config),
            shedder: Shedder::new(&config.shed),
            running: RunningSessions::new(&config.shed, Arc::clone(clock), &**entropy),
            running_clients: RunningSessions::new(&config.shed, Arc::clone(clock), &**entropy),
            frames: ArcSwap::from_pointee(frames),
            started_with: config.clone(),
            reloading: Mutex::new(()),
            entropy: Arc::clone(entropy),
            turned: counters(
                "mcsp_edge_turned_away_total",
                "Connections and requests that were turned away, by class and reason.",
                &["class", "reason"],
            )?,
            floods: counters(
                "mcsp_edge_h2_floods_total",
                "HTTP/2 connections that were ended for frames that cost nothing, by kind of frame.",
                &["frame"],
            )?,
        }))
    }

    /// Goes by another configuration from now on, without forgetting what clients owe or what is under way. Told are the keys
    /// that differ and take a restart.
    ///
    /// # Errors
    /// The first value that cannot be used; everything stays as it was.
    pub fn reload(&self, config: &LimitsConfig) -> Result<Vec<&'static str>, LimitsConfigError> {
        config.validate()?;
        let _turn = self.reloading.lock();
        self.limiter.reload(config)?;
        self.occupancy.reload(config);
        self.shedder.reload(&config.shed);
        let frames = FrameRules::new(&config.frames, &self.limiter);
        self.frames.store(Arc::new(frames));
        Ok(self.started_with.fixed_that_differ(config))
    }

    /// A new connection.
    ///
    /// # Errors
    /// Why it is closed without a word.
    pub fn connection(&self, address: Option<IpAddr>) -> Result<ConnectionGuard, Turned> {
        let connected = self.occupancy.connection(address).map_err(Turned::Busy);
        let connected = connected.and_then(|guard| {
            let verdict = self.limiter.check_client(Class::Connection, address);
            standing_of(verdict).map(|_| guard)
        });
        self.counted(Class::Connection, connected)
    }

    /// A request, before anything is done for it. That of a stream is let in whatever there is to do, since only its
    /// verified token tells whether it runs: see [`holder`](Self::holder). On a route to a plain origin, where nothing else
    /// tells, a client that had something of late is one whose stream runs.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn request(
        &self,
        class: Class,
        address: Option<IpAddr>,
    ) -> Result<(RequestGuard, Option<Standing>), Turned> {
        let client = address.filter(|_| class == Class::Plain).map(client_of);
        let is_running = || client.is_some_and(|client| self.running_clients.is_running(client));
        let begun = match class.is_of_a_stream() {
            true => Ok(()),
            false => self.shed(class, is_running),
        };
        let begun = begun.and_then(|()| {
            // First what refusing costs least, and what it does not take from the client's rate.
            let guard = self.occupancy.request(class, address);
            let guard = guard.map_err(Turned::Busy)?;
            let standing = standing_of(self.limiter.check_client(class, address))?;
            Ok((guard, standing))
        });
        if let (Ok(_), Some(client)) = (&begun, client) {
            self.running_clients.saw(client);
        }
        self.counted(class, begun)
    }

    /// The same request, once it is known whose it is. `holder` names nobody whom a verified token does not.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn holder(&self, class: Class, holder: &Holder) -> Result<Option<Standing>, Turned> {
        let is_running = || {
            let session = holder.token;
            session.is_some_and(|session| self.running.is_running(session))
        };
        let let_in = match class.is_of_a_stream() {
            true => self.shed(class, is_running),
            false => Ok(()),
        };
        let let_in = let_in.and_then(|()| standing_of(self.limiter.check_holder(class, holder)));
        if let (Ok(_), Some(session), true) = (&let_in, holder.token, class.is_of_a_stream()) {
            self.running.saw(session);
        }
        self.counted(class, let_in)
    }

    /// A try to sign in, once it is known to which account.
    ///
    /// # Errors
    /// Why it is turned away.
    pub fn account(&self, account: Fingerprint) -> Result<Option<Standing>, Turned> {
        let verdict = self.limiter.check_account(account);
        self.counted(Class::Login, standing_of(verdict))
    }

    /// A meter for a new HTTP/2 connection's frames.
    #[must_use]
    pub fn frame_meter(&self) -> FrameMeter {
        FrameMeter::new(&self.frames.load())
    }

    /// Counts a connection that was ended for its frames; see [`abused`](Self::abused).
    pub fn flooded(&self, flood: crate::Flood, address: Option<IpAddr>) {
        self.floods.with_label_values(&[flood.0.name()]).inc();
        self.abused(address);
    }

    /// Has the address of a connection that was ended for what its client did pay with its next connections, which are then turned
    /// away before TLS: whoever comes back for another round finds the door shut for a while.
    pub fn abused(&self, address: Option<IpAddr>) {
        let price = NonZeroU32::new(self.frames.load().connections_price());
        if let (Some(address), Some(price)) = (address, price) {
            self.limiter.charge(Class::Connection, address, price);
        }
    }

    fn shed(&self, class: Class, is_running: impl FnOnce() -> bool) -> Result<(), Turned> {
        if !self.shedder.refuses(class, is_running) {
            return Ok(());
        }
        let retry_after_s = Shedder::retry_after_s(self.entropy.next_u64());
        Err(Turned::Shed { retry_after_s })
    }

    fn counted<T>(&self, class: Class, outcome: Result<T, Turned>) -> Result<T, Turned> {
        outcome.inspect_err(|turned| {
            let labels = [class.name(), turned.reason()];
            self.turned.with_label_values(&labels).inc();
        })
    }
}

fn standing_of(verdict: Verdict) -> Result<Option<Standing>, Turned> {
    match verdict {
        Verdict::Admitted(standing) => Ok(standing),
        Verdict::Refused(refusal) => Err(Turned::Rate(refusal)),
    }
}

/// A network of one customer is one client: who could be many by his addresses would push others out.
fn client_of(address: IpAddr) -> Fingerprint {
    Fingerprint::of(&Network::of(address, 64).number().to_be_bytes())
}
