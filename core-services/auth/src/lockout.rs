//! Wrong passwords, counted by address: after a few in a row the account is locked for a while.
//!
//! An attempt is counted before its password is looked at, so that a burst of guesses at once gets no more than the
//! same few. Counters are in the key-value store; while that is away, in the database. Addresses without an account
//! are counted too: a lock tells nothing about whether there is one.

use std::time::Duration;

use bytes::Bytes;
use mcsp_db::Db;
use mcsp_kv::{KvError, SharedKv};
use mcsp_runtime::SharedClock;

use crate::error::AuthError;
use crate::secrets::digest_hex;
use crate::{AuthConfig, store};

/// Told to attempts that find the tries used up by others that are not decided yet.
const BURST_RETRY_AFTER_S: u32 = 5;

#[derive(Debug)]
pub(crate) struct LoginGuard {
    kv: SharedKv,
    db: Db,
    clock: SharedClock,
    failures_max: i64,
    lockout: Duration,
}

/// An attempt that was let through and counted; say how it ended.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt<'a> {
    guard: &'a LoginGuard,
    /// A digest of the address: counters hold no personal data.
    account: String,
    number: i64,
    counted_in: CountedIn,
}

#[derive(Debug, Clone, Copy)]
enum CountedIn {
    Kv,
    Db,
}

/// How an attempt was let through or not.
enum Count {
    Number(i64),
    Locked { until_ms: i64 },
}

impl LoginGuard {
    pub(crate) fn new(kv: SharedKv, db: Db, clock: SharedClock, config: &AuthConfig) -> Self {
        Self {
            kv,
            db,
            clock,
            failures_max: i64::from(config.lockout_failures),
            lockout: Duration::from_secs(u64::from(config.lockout_s)),
        }
    }

    /// Counts an attempt for the address.
    pub(crate) async fn admit(&self, email_key: &str) -> Result<Attempt<'_>, AuthError> {
        let account = digest_hex(&["login", email_key]);
        let (count, counted_in) = match self.count_in_kv(&account).await {
            Ok(count) => (count, CountedIn::Kv),
            Err(error) => {
                tracing::warn!(%error, "login failures are counted in the database");
                (self.count_in_db(&account).await?, CountedIn::Db)
            }
        };
        match count {
            Count::Locked { until_ms } => Err(AuthError::LockedOut {
                retry_after_s: self.seconds_until(until_ms),
            }),
            Count::Number(number) if number > self.failures_max => Err(AuthError::LockedOut {
                retry_after_s: BURST_RETRY_AFTER_S,
            }),
            Count::Number(number) => Ok(Attempt {
                guard: self,
                account,
                number,
                counted_in,
            }),
        }
    }

    async fn count_in_kv(&self, account: &str) -> Result<Count, KvError> {
        if let Some(value) = self.kv.get(&lock_key(account)).await?
            && let Some(until_ms) = read_ms(&value)
            && until_ms > self.clock.now_ms()
        {
            return Ok(Count::Locked { until_ms });
        }
        let number = self
            .kv
            .increment(&count_key(account), 1, Some(self.lockout))
            .await?;
        Ok(Count::Number(number))
    }

    async fn count_in_db(&self, account: &str) -> Result<Count, AuthError> {
        let now_ms = self.clock.now_ms();
        let mut tx = self.db.begin().await?;
        let known = store::login_failures(tx.conn(), account)
            .await?
            .unwrap_or_default();
        if known.locked_until_ms > now_ms {
            return Ok(Count::Locked {
                until_ms: known.locked_until_ms,
            });
        }
        let (failures, window_ends_ms) = if known.window_ends_ms > now_ms {
            (known.failures.saturating_add(1), known.window_ends_ms)
        } else {
            (1, self.lockout_ends_ms())
        };
        let counted = store::LoginFailures {
            failures,
            window_ends_ms,
            locked_until_ms: 0,
        };
        store::put_login_failures(tx.conn(), account, counted).await?;
        tx.commit().await?;
        Ok(Count::Number(failures))
    }

    async fn lock_in_db(&self, account: &str) -> Result<(), AuthError> {
        let until_ms = self.lockout_ends_ms();
        let locked = store::LoginFailures {
            failures: self.failures_max,
            window_ends_ms: until_ms,
            locked_until_ms: until_ms,
        };
        let mut tx = self.db.begin().await?;
        store::put_login_failures(tx.conn(), account, locked).await?;
        Ok(tx.commit().await?)
    }

    fn lockout_ends_ms(&self) -> i64 {
        let lockout_ms = i64::try_from(self.lockout.as_millis()).unwrap_or(i64::MAX);
        self.clock.now_ms().saturating_add(lockout_ms)
    }

    fn seconds_until(&self, until_ms: i64) -> u32 {
        let left_ms = until_ms.saturating_sub(self.clock.now_ms()).max(0);
        u32::try_from(left_ms.saturating_add(999) / 1000).unwrap_or(u32::MAX)
    }
}

impl Attempt<'_> {
    /// The password was wrong. The last attempt that is allowed locks the account.
    pub(crate) async fn failed(self) -> Result<(), AuthError> {
        if self.number < self.guard.failures_max {
            return Ok(());
        }
        tracing::info!(account = %self.account, "account locked after too many wrong passwords");
        if let CountedIn::Kv = self.counted_in {
            let until = self.guard.lockout_ends_ms().to_string();
            let key = lock_key(&self.account);
            match self
                .guard
                .kv
                .put(&key, Bytes::from(until), Some(self.guard.lockout))
                .await
            {
                Ok(()) => return Ok(()),
                // The counter stands at its bound, so the account is closed until that expires; and the database
                // knows too, which answers while the store is away.
                Err(error) => tracing::warn!(%error, "a lockout is kept in the database"),
            }
        }
        self.guard.lock_in_db(&self.account).await
    }

    /// The password was right: earlier failures are forgotten.
    pub(crate) async fn succeeded(self) {
        let forgotten = match self.counted_in {
            CountedIn::Kv => self
                .guard
                .kv
                .delete(&count_key(&self.account))
                .await
                .map(|_| ())
                .map_err(to_text),
            CountedIn::Db => self.forget_in_db().await.map_err(to_text),
        };
        self.warn(forgotten);
    }

    /// The password was never looked at: the attempt does not count.
    pub(crate) async fn withdrawn(self) {
        let withdrawn = match self.counted_in {
            CountedIn::Kv => {
                let key = count_key(&self.account);
                self.guard
                    .kv
                    .increment(&key, -1, Some(self.guard.lockout))
                    .await
                    .map(|_| ())
                    .map_err(to_text)
            }
            CountedIn::Db => self.withdraw_in_db().await.map_err(to_text),
        };
        self.warn(withdrawn);
    }

    async fn forget_in_db(&self) -> Result<(), AuthError> {
        let mut tx = self.guard.db.begin().await?;
        store::forget_login_failures(tx.conn(), &self.account).await?;
        Ok(tx.commit().await?)
    }

    async fn withdraw_in_db(&self) -> Result<(), AuthError> {
        let mut tx = self.guard.db.begin().await?;
        if let Some(mut known) = store::login_failures(tx.conn(), &self.account).await? {
            known.failures = known.failures.saturating_sub(1);
            store::put_login_failures(tx.conn(), &self.account, known).await?;
        }
        Ok(tx.commit().await?)
    }

    /// At worst a few failures are remembered until they expire.
    fn warn(&self, outcome: Result<(), String>) {
        if let Err(error) = outcome {
            tracing::warn!(%error, "login failures could not be taken back");
        }
    }
}

fn to_text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn count_key(account: &str) -> String {
    format!("auth/login-failures/{account}")
}

fn lock_key(account: &str) -> String {
    format!("auth/login-lock/{account}")
}

fn read_ms(value: &Bytes) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
