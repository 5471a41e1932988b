//! The session: an access token, and the refresh token that renews it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::time::Duration;

use mcsp_runtime::{Entropy, SharedClock, SharedEntropy};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::CliError;
use crate::settings::ConfigDir;

const FILE: &str = "tokens.json";
/// An access token is renewed this long before it ends, seconds.
const MARGIN_S: i64 = 30;
/// Another command renews within this, or is stuck.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(60);
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// What a session consists of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tokens {
    /// Whose tokens these are good for.
    pub(crate) server: Url,
    pub(crate) access_token: String,
    /// When the access token ends, Unix seconds.
    pub(crate) expires_s: i64,
    /// Good once: using a spent one ends the session everywhere.
    pub(crate) refresh_token: String,
}

/// Tokens on disk, for their owner alone (mode 0600), renewed by one process at a time.
#[derive(Debug, Clone)]
pub(crate) struct TokenStore {
    dir: ConfigDir,
    clock: SharedClock,
    entropy: SharedEntropy,
}

impl TokenStore {
    pub(crate) fn new(dir: ConfigDir, clock: SharedClock, entropy: SharedEntropy) -> Self {
        Self {
            dir,
            clock,
            entropy,
        }
    }

    /// The session at `server`.
    pub(crate) fn load(&self, server: &Url) -> Result<Tokens, CliError> {
        let path = self.dir.path(FILE);
        let none = || CliError::NotSignedIn(server.to_string());
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(none()),
            other => other.map_err(|source| CliError::Keep { path, source })?,
        };
        // A file that cannot be read is as good as none: signing in replaces it.
        let tokens: Tokens = serde_json::from_str(&text).map_err(|_| none())?;
        if tokens.server == *server {
            Ok(tokens)
        } else {
            Err(none())
        }
    }

    pub(crate) fn save(&self, tokens: &Tokens) -> Result<(), CliError> {
        let bytes =
            serde_json::to_vec(tokens).map_err(|error| CliError::Answer(error.to_string()))?;
        let entropy: &dyn Entropy = &*self.entropy;
        self.dir.write(FILE, &bytes, entropy)
    }

    pub(crate) fn remove(&self) -> Result<(), CliError> {
        self.dir.remove(FILE)
    }

    /// Is the access token still good for a call?
    pub(crate) fn is_fresh(&self, tokens: &Tokens) -> bool {
        self.clock.now_s() + MARGIN_S < tokens.expires_s
    }

    pub(crate) fn expiry_s(&self, expires_in_s: u32) -> i64 {
        self.clock.now_s() + i64::from(expires_in_s)
    }

    /// Keeps other commands from renewing at the same time: a refresh token that is used twice ends the session.
    pub(crate) async fn lock(&self) -> Result<File, CliError> {
        let path = self.dir.path("tokens.lock");
        let file = File::create(&path).map_err(|source| CliError::Keep {
            path: path.clone(),
            source,
        })?;
        let waited = tokio::time::timeout(LOCK_WAIT_MAX, async {
            loop {
                match file.try_lock() {
                    Ok(()) => return Ok(()),
                    Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_PAUSE).await,
                    Err(TryLockError::Error(source)) => {
                        return Err(CliError::Keep {
                            path: path.clone(),
                            source,
                        });
                    }
                }
            }
        });
        waited
            .await
            .map_err(|_| CliError::GaveUp("another mcsp holds the session".to_owned()))??;
        Ok(file)
    }
}
