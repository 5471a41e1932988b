//! All limits together, as requests meet them.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use mcsp_runtime::{Entropy, SharedClock};
use parking_lot::Mutex;
use prometheus::Registry;
use thiserror::Error;

use crate::class::{Class, RuleId, Scope};
use crate::clock::{RuleClock, SteadyClock};
use crate::config::{LimitsConfig, LimitsConfigError};
use crate::key::{Fingerprint, Key, Network};
use crate::metrics::LimitsMetrics;
use crate::rule::{Rule, RuleParts};
use crate::standing::{Refusal, Standing};
use crate::table::Table;

/// May it be made?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Yes. How the client stands with its tightest limit, where it is told: see [`Class::is_advertised`].
    Admitted(Option<Standing>),
    /// No.
    Refused(Refusal),
}

/// Who a verified token says it is. A name that nobody vouches for is none: others would pay for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Holder {
    /// The user.
    pub user: Option<Fingerprint>,
    /// The token, or the playback session that it is for.
    pub token: Option<Fingerprint>,
}

/// Why there is no limiter.
#[derive(Debug, Error)]
pub enum LimiterError {
    /// A value cannot be used.
    #[error("{0}")]
    Config(#[from] LimitsConfigError),
    /// The metrics are registered already.
    #[error("limits metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// How long connections are looked at after one was refused too often, ms.
const UNWELCOME_MS: u64 = 10_000;

/// A connection's name, as long as it lives.
fn name_of(connection: SocketAddr) -> Fingerprint {
    let (address, port) = (connection.ip().to_canonical(), connection.port());
    let [high, low] = port.to_be_bytes();
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            Fingerprint::of(&[a, b, c, d, high, low])
        }
        IpAddr::V6(address) => {
            let mut name = [0; 18];
            name[..16].copy_from_slice(&address.octets());
            name[16..].copy_from_slice(&[high, low]);
            Fingerprint::of(&name)
        }
    }
}

const SCOPES: usize = Scope::ALL.len();

/// The rates of a node. A check takes well below a microsecond, and never fails: should the limiter itself break, the
/// request goes through and is counted in `mcsp_edge_limits_failed_open_total`. So does a login, since the origin counts
/// wrong passwords too and locks accounts by itself.
#[derive(Debug)]
pub struct Limiter {
    ruling: ArcSwap<Ruling>,
    tables: Tables,
    clock: Arc<SteadyClock>,
    /// When a connection was last refused too often; 0: never.
    refused_at_ms: AtomicU64,
    metrics: LimitsMetrics,
}

/// The rules in force.
#[derive(Debug)]
struct Ruling {
    /// By class, then scope.
    rules: Vec<[Option<Rule>; SCOPES]>,
    exempt: Vec<IpNet>,
    ipv6_prefix: u8,
    ipv6_aggregate_prefix: u8,
}

impl Ruling {
    /// What is owed stays owed: keys keep their places in the tables, and what the whole PoP owes is taken from `before`.
    fn new(
        config: &LimitsConfig,
        tables: &Tables,
        clock: &Arc<SteadyClock>,
        metrics: &LimitsMetrics,
        before: Option<&Self>,
    ) -> Self {
        let rule = |class: Class, scope: Scope| {
            let rate = match scope {
                Scope::Aggregate => {
                    let factor = NonZeroU32::new(config.ipv6_aggregate_factor);
                    let rate = config.rate.of(class, Scope::Address);
                    rate.times(factor.unwrap_or(NonZeroU32::MIN))
                }
                scope => config.rate.of(class, scope),
            };
            let quota = rate.quota().filter(|_| config.enabled)?;
            let labels = [class.name(), scope.name()];
            Some(Rule::new(RuleParts {
                class,
                scope,
                quota,
                table: tables.of(scope),
                cell: before.and_then(|before| before.rule(class, scope)?.cell()),
                clock,
                refused: metrics.refused.with_label_values(&labels),
            }))
        };
        let rules_of = |class| Scope::ALL.map(|scope| rule(class, scope));
        Self {
            rules: Class::ALL.into_iter().map(rules_of).collect(),
            exempt: config.exempt.clone(),
            ipv6_prefix: config.ipv6_prefix,
            ipv6_aggregate_prefix: config.ipv6_aggregate_prefix,
        }
    }

    fn rule(&self, class: Class, scope: Scope) -> Option<&Rule> {
        self.rules.get(class.index())?.get(scope as usize)?.as_ref()
    }

    fn check<T>(
        &self,
        class: Class,
        scope: Scope,
        owner: Option<T>,
        key: impl FnOnce(RuleId, T) -> Key,
    ) -> Result<Option<Standing>, Refusal> {
        let (Some(owner), Some(rule)) = (owner, self.rule(class, scope)) else {
            return Ok(None);
        };
        let after = rule.check(key(rule.id, owner))?;
        Ok(class.is_advertised().then(|| rule.standing(&after)))
    }
}

#[derive(Debug)]
struct Tables {
    address: Arc<Table>,
    holder: Arc<Table>,
    account: Arc<Table>,
    /// What was counted of their forgotten keys.
    told_forgotten: Mutex<[u64; 3]>,
}

impl Tables {
    fn of(&self, scope: Scope) -> Option<&Arc<Table>> {
        match scope {
            Scope::Address | Scope::Aggregate => Some(&self.address),
            Scope::User | Scope::Token => Some(&self.holder),
            Scope::Account => Some(&self.account),
            Scope::Pop => None,
        }
    }

    fn all(&self) -> [(&'static str, &Arc<Table>); 3] {
        [
            ("address", &self.address),
            ("holder", &self.holder),
            ("account", &self.account),
        ]
    }
}

impl Limiter {
    /// A limiter for one node. `entropy` decides where keys are kept, which nobody outside may know.
    ///
    /// # Errors
    /// When a value cannot be used, or `registry` has a limiter's metrics already.
    pub fn new(
        config: &LimitsConfig,
        clock: SharedClock,
        entropy: &dyn Entropy,
        registry: &Registry,
    ) -> Result<Self, LimiterError> {
        config.validate()?;
        let metrics = LimitsMetrics::register(registry)?;
        let clock = SteadyClock::new(clock);
        let table = |keys_max| Arc::new(Table::new(keys_max, &clock, entropy));
        let tables = Tables {
            address: table(config.address_keys_max),
            holder: table(config.holder_keys_max),
            account: table(config.account_keys_max),
            told_forgotten: Mutex::new([0; 3]),
        };
        let ruling = Ruling::new(config, &tables, &clock, &metrics, None);
        clock.start();
        Ok(Self {
            ruling: ArcSwap::from_pointee(ruling),
            tables,
            clock,
            refused_at_ms: AtomicU64::new(0),
            metrics,
        })
    }

    /// Goes by other rates and exemptions from now on. What clients owe they still owe; the tables keep their sizes.
    ///
    /// # Errors
    /// When a value cannot be used; what was in force stays.
    pub fn reload(&self, config: &LimitsConfig) -> Result<(), LimitsConfigError> {
        config.validate()?;
        let before = self.ruling.load();
        let ruling = Ruling::new(
            config,
            &self.tables,
            &self.clock,
            &self.metrics,
            Some(&before),
        );
        self.ruling.store(Arc::new(ruling));
        Ok(())
    }

    /// Counts a request by its address. Before anything else is done for it; what is not refused is still to be counted by
    /// [`check_holder`](Self::check_holder).
    pub fn check_client(&self, class: Class, address: Option<IpAddr>) -> Verdict {
        self.open_if_it_fails(|| {
            let Some(address) = address else {
                self.metrics.no_address.inc();
                return Ok(None);
            };
            let address = address.to_canonical();
            let ruling = self.ruling.load();
            if ruling
                .exempt
                .iter()
                .any(|network| network.contains(&address))
            {
                return Ok(None);
            }
            let network = Network::of(address, ruling.ipv6_prefix);
            let one = ruling.check(class, Scope::Address, Some(network), Key::of_network)?;
            let wider = network.aggregate(ruling.ipv6_aggregate_prefix);
            let all = ruling.check(class, Scope::Aggregate, wider, Key::of_network)?;
            Ok(Standing::tighter(one, all))
        })
    }

    /// Has an address pay for what it did: as if it had made so many requests more, as far as it may make any.
    pub fn charge(&self, class: Class, address: IpAddr, requests: NonZeroU32) {
        let address = address.to_canonical();
        let _ = self.open_if_it_fails(|| {
            let ruling = self.ruling.load();
            let is_exempt = |network: &IpNet| network.contains(&address);
            if ruling.exempt.iter().any(is_exempt) {
                return Ok(None);
            }
            let network = Network::of(address, ruling.ipv6_prefix);
            let wider = network.aggregate(ruling.ipv6_aggregate_prefix);
            for (scope, network) in [(Scope::Address, Some(network)), (Scope::Aggregate, wider)] {
                if let (Some(rule), Some(network)) = (ruling.rule(class, scope), network) {
                    rule.charge(Key::of_network(rule.id, network), requests);
                }
            }
            Ok(None)
        });
    }

    /// Counts a request by who makes it, and for the PoP; after its token was verified.
    pub fn check_holder(&self, class: Class, holder: &Holder) -> Verdict {
        self.open_if_it_fails(|| {
            let ruling = self.ruling.load();
            let user = ruling.check(class, Scope::User, holder.user, Key::of_name)?;
            let token = ruling.check(class, Scope::Token, holder.token, Key::of_name)?;
            let pop = ruling.check(class, Scope::Pop, Some(()), |rule, ()| Key::of_pop(rule))?;
            Ok(Standing::tighter(Standing::tighter(user, token), pop))
        })
    }

    /// Counts a try to sign in to an account, whether or not there is such an account, from wherever it comes.
    pub fn check_account(&self, account: Fingerprint) -> Verdict {
        self.open_if_it_fails(|| {
            let ruling = self.ruling.load();
            ruling.check(Class::Login, Scope::Account, Some(account), Key::of_name)
        })
    }

    /// Counts that a request on a connection was refused for what its client does. True: it goes on all the same, and the
    /// connection should end.
    #[must_use]
    pub fn is_refused_too_often(&self, connection: SocketAddr) -> bool {
        let verdict = self.open_if_it_fails(|| {
            let name = Some(name_of(connection));
            let ruling = self.ruling.load();
            ruling.check(Class::Refused, Scope::Address, name, Key::of_name)
        });
        let is_too_often = matches!(verdict, Verdict::Refused(_));
        if is_too_often {
            self.refused_at_ms
                .store(self.clock.now_ms().max(1), Ordering::Relaxed);
        }
        is_too_often
    }

    /// Has it been refused too often, and not waited since? Costs nothing where no connection was of late.
    #[must_use]
    pub fn is_unwelcome(&self, connection: SocketAddr) -> bool {
        let refused_at_ms = self.refused_at_ms.load(Ordering::Relaxed);
        let last_ms = self.clock.last_ns() / 1_000_000;
        if refused_at_ms == 0 || last_ms.saturating_sub(refused_at_ms) > UNWELCOME_MS {
            return false;
        }
        let ruling = self.ruling.load();
        ruling
            .rule(Class::Refused, Scope::Address)
            .is_some_and(|rule| rule.is_spent(Key::of_name(rule.id, name_of(connection))))
    }

    /// Brings the gauges up to date; for a task that runs now and then.
    pub fn tell_metrics(&self) {
        self.clock.now_ms();
        let mut told = self.tables.told_forgotten.lock();
        for ((name, table), told) in self.tables.all().into_iter().zip(told.iter_mut()) {
            let live = i64::try_from(table.live()).unwrap_or(i64::MAX);
            self.metrics.keys.with_label_values(&[name]).set(live);
            let forgotten = table.forgotten();
            let more = forgotten.saturating_sub(*told);
            self.metrics
                .forgotten
                .with_label_values(&[name])
                .inc_by(more);
            *told = forgotten;
        }
    }

    /// The clock that the limits go by, for others that count by it.
    pub(crate) fn clock(&self) -> RuleClock {
        RuleClock(Arc::clone(&self.clock))
    }

    /// Up to `max` keys with what was admitted of them here since this was asked last. What the whole PoP counts comes first.
    pub(crate) fn take_untold(&self, max: usize) -> Vec<(Key, u32)> {
        let ruling = self.ruling.load();
        let pops = ruling.rules.iter().flatten().flatten();
        let pops = pops.filter_map(Rule::take_untold);
        let mut untold: Vec<_> = pops
            .map(|(key, cells)| (key, cells.get()))
            .take(max)
            .collect();
        for (_, table) in self.tables.all() {
            let room = max.saturating_sub(untold.len());
            table.take_untold(room, &mut untold);
        }
        untold
    }

    /// Counts what another node admitted. False: there is no such limit here.
    pub(crate) fn apply(&self, key: Key, cells: NonZeroU32) -> bool {
        let id = key.rule();
        let ruling = self.ruling.load();
        let rule = match (id.class(), id.scope()) {
            (Some(class), Some(scope)) => ruling.rule(class, scope),
            _ => None,
        };
        if let Some(rule) = rule {
            rule.debit(key, cells);
        }
        rule.is_some()
    }

    /// A limiter that breaks must not break what it protects.
    fn open_if_it_fails(
        &self,
        check: impl FnOnce() -> Result<Option<Standing>, Refusal>,
    ) -> Verdict {
        // What is shared is changed by whole values, under locks that a panic releases.
        match catch_unwind(AssertUnwindSafe(check)) {
            Ok(Ok(standing)) => Verdict::Admitted(standing),
            Ok(Err(refusal)) => Verdict::Refused(refusal),
            Err(_) => {
                self.metrics.failed_open.inc();
                Verdict::Admitted(None)
            }
        }
    }
}
