//! Passwords by Argon2id (RFC 9106).

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use mcsp_runtime::SharedEntropy;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
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
    entropy: SharedEntropy,
    /// Verified against where there is no account, so that both cases take the same work.
    decoy: String,
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
            entropy,
            decoy: String::new(),
        };
        passwords.decoy = passwords.hash(&new_hex_id(&*passwords.entropy)).await?;
        Ok(passwords)
    }

    /// The password's hash as a PHC string, with a salt of its own.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, AuthError> {
        let mut salt = [0; 16];
        self.entropy.fill(&mut salt);
        let argon = self.argon();
        let password = password.to_owned();
        self.work(move || {
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
    ) -> Result<Verdict, AuthError> {
        let is_known = hash.is_some();
        let stored = hash.unwrap_or(&self.decoy).to_owned();
        let argon = self.argon();
        let password = password.to_owned();
        let today = self.params.clone();
        self.work(move || {
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
        work: impl FnOnce() -> password_hash::Result<T> + Send + 'static,
    ) -> Result<T, AuthError> {
        let turn = self.turn().await?;
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

    async fn turn(&self) -> Result<OwnedSemaphorePermit, AuthError> {
        match timeout(self.wait, self.turns.clone().acquire_owned()).await {
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
