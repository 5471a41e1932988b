//! Which streams are running.

use std::sync::Arc;

use mcsp_runtime::{Entropy, SharedClock};

use crate::class::RuleId;
use crate::clock::{SteadyClock, to_ns};
use crate::config::ShedConfig;
use crate::key::{Fingerprint, Key};
use crate::table::Table;

/// Playback sessions that had something of late; the ones seen longest ago make room for new ones.
#[derive(Debug)]
pub struct RunningSessions {
    table: Table,
    clock: Arc<SteadyClock>,
    running_ns: u64,
}

/// The rule's number that no limit has.
const NO_RULE: RuleId = RuleId(u8::MAX);

impl RunningSessions {
    /// None yet.
    #[must_use]
    pub fn new(config: &ShedConfig, clock: SharedClock, entropy: &dyn Entropy) -> Self {
        let clock = SteadyClock::new(clock);
        clock.start();
        Self {
            table: Table::new(config.running_max, &clock, entropy),
            clock,
            running_ns: to_ns(u64::from(config.running_ms)),
        }
    }

    /// A session was let in to something of its stream. Only for names that a verified token vouches for: whoever makes up
    /// names would push real ones out.
    pub fn saw(&self, session: Fingerprint) {
        let until_ns = to_ns(self.clock.now_ms()).saturating_add(self.running_ns);
        self.table.set(Key::of_name(NO_RULE, session), until_ns);
    }

    /// Was it seen within the time?
    #[must_use]
    pub fn is_running(&self, session: Fingerprint) -> bool {
        let now_ns = to_ns(self.clock.now_ms());
        let until_ns = self.table.get(Key::of_name(NO_RULE, session));
        until_ns.is_some_and(|until_ns| until_ns > now_ns)
    }
}
