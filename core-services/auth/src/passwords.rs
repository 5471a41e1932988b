//! Passwords by Argon2id (RFC 9106).

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use mcsp_runtime::SharedEntropy;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::AuthConfig;
use crate::error::AuthError;
use crate::secrets::new_hex_id;

/// Hashes and verifies passwords on blocking threads, a bounded number at once.
#[derive(Debug)]
pub(crate) struct Passwords {
    params: Params,
    turns: Arc<Semaphore>,
    wait: Duration,
    /// Who asks for another region needs one of these too: a flood from there leaves turns to our own.
    region_turns: Arc<Semaphore>,
    region_wait: Duration,
    entropy: SharedEntropy,
    /// Verified against where there is no account, so that both cases take the same work.
    decoy: String,
}

/// Whose turn it is to have a password hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of this region.
    Client,
    /// Another region, for a client of its own.
    Region,
}

/// Held while a password is hashed.
#[derive(Debug)]
struct Turn {
    _any: OwnedSemaphorePermit,
    _for_region: Option<OwnedSemaphorePermit>,
}

/// What verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Wrong,
    Right,
    /// Right, and hashed with other settings than today's.
    RightButOld,
}

impl Passwords {
    pub(crate) async fn new(
        config: &AuthConfig,
        entropy: SharedEntropy,
    ) -> Result<Self, AuthError> {
        let params = Params::new(
            config.password_memory_kib,
            config.password_passes,
            config.password_lanes,
            None,
        )
        .map_err(|error| AuthError::Internal(format!("Argon2id settings: {error}")))?;
        let mut passwords = Self {
            params,
            turns: Arc::new(Semaphore::new(config.password_parallel_max as usize)),
            wait: Duration::from_millis(u64::from(config.password_wait_ms)),
            region_turns: Arc::new(Semaphore::new(
                (config.password_parallel_max as usize / 2).max(1),
            )),
            // Shorter than the other region waits, so that it hears that there is no room.
            region_wait: Duration::from_millis(u64::from(
                config.password_wait_ms.min(config.peer_timeout_ms / 2),
            )),
            entropy,
            decoy: String::new(),
        };
        passwords.decoy = passwords
            .hash(&new_hex_id(&*passwords.entropy), Asker::Client)
            .await?;
        Ok(passwords)
    }

    /// The password's hash as a PHC string, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str, asker: Asker) -> Result<String, AuthError> {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let argon = self.argon();
        let password = password.to_owned();
        self.work(asker, move || {
            argon
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map(|hash: PasswordHash| hash.to_string())
        })
        .await
    }

    /// Is this the password of `hash`? Without a hash the answer is no, after the same work.
    pub(crate) async fn verify(
        &self,
        hash: Option<&str>,
        password: &str,
        asker: Asker,
    ) -> Result<Verdict, AuthError> {
        let is_known = hash.is_some();
        let stored = hash.unwrap_or(&self.decoy).to_owned();
        let argon = self.argon();
        let password = password.to_owned();
        let today = self.params.clone();
        self.work(asker, move || {
            let stored = PasswordHash::new(&stored)?;
            // Compares in constant time.
            match argon.verify_password(password.as_bytes(), &stored) {
                Ok(()) if !is_known => Ok(Verdict::Wrong),
                Ok(()) => Ok(if is_of(&stored, &today) {
                    Verdict::Right
                } else {
                    Verdict::RightButOld
                }),
                Err(password_hash::Error::PasswordInvalid) => Ok(Verdict::Wrong),
                Err(error) => Err(error),
            }
        })
        .await
    }

    fn argon(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    async fn work<T: Send + 'static>(
        &self,
        asker: Asker,
        work: impl FnOnce() -> password_hash::Result<T> + Send + 'static,
    ) -> Result<T, AuthError> {
        let turn = self.turn(asker).await?;
        let done = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a caller who goes away does not make room before it is done.
            let _turn = turn;
            work()
        });
        done.await
            .map_err(|error| {
                AuthError::Internal(format!("password hashing was cut short: {error}"))
            })?
            .map_err(|error| {
                AuthError::Internal(format!("a stored password cannot be verified: {error}"))
            })
    }

    async fn turn(&self, asker: Asker) -> Result<Turn, AuthError> {
        let wait = match asker {
            Asker::Client => self.wait,
            Asker::Region => self.region_wait,
        };
        let turn = async {
            let for_region = match asker {
                Asker::Client => None,
                Asker::Region => Some(self.region_turns.clone().acquire_owned().await?),
            };
            Ok::<_, AcquireError>(Turn {
                _any: self.turns.clone().acquire_owned().await?,
                _for_region: for_region,
            })
        };
        match timeout(wait, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(AuthError::Busy),
        }
    }
}

fn is_of(hash: &PasswordHash, params: &Params) -> bool {
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    hash.algorithm.as_str() == "argon2id"
        && Params::try_from(hash).is_ok_and(|found| cost(&found) == cost(params))
}

#[cfg(test)]
mod tests {
    use mcsp_runtime::SystemEntropy;

    use super::*;

    #[tokio::test]
    async fn another_regions_flood_leaves_turns_to_our_own() {
        let config = AuthConfig {
            password_memory_kib: 8192,
            password_passes: 1,
            password_parallel_max: 2,
            peer_timeout_ms: 100,
            ..AuthConfig::default()
        };
        let passwords = Passwords::new(&config, SystemEntropy::shared())
            .await
            .expect("settings");
        let _held = passwords.turn(Asker::Region).await.expect("a turn");
        assert!(matches!(
            passwords.turn(Asker::Region).await,
            Err(AuthError::Busy)
        ));
        assert!(passwords.turn(Asker::Client).await.is_ok());
    }
}
