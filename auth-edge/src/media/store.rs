//! The region's signing keys: made, kept, rotated.
//!
//! Keys come in generations, each an HMAC secret and an Ed25519 pair. The *next* generation is published before it
//! signs, so that every edge knows it by then; the *current* one signs; *retired* ones verify until the last token they
//! signed has expired. A rotation therefore has no error window.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use mcsp_api::RegionCode;
use mcsp_runtime::{SharedClock, SharedEntropy};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::keys::{
    KEY_BYTES, MediaAlgorithm, MediaKeyError, MediaKeyMaterial, NEVER_S, key_id_bytes,
};
use super::signer::{MediaSigner, SigningKeys};

/// The largest key file that is read, bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Retired generations held at once; more would mean a rotation every few minutes.
const RETIRED_MAX: usize = 8;
const VERSION: u32 = 1;

/// How long media keys live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MediaKeyConfig {
    /// Seconds after which the current key makes way for the next. Default 86 400 (a day), 600 to 31 536 000.
    pub rotate_after_s: u32,
    /// The longest life of a media URL, seconds; retired keys verify that long. Default 14 400 (4 hours), 60 to 86 400.
    pub token_life_max_s: u32,
}

impl Default for MediaKeyConfig {
    fn default() -> Self {
        Self {
            rotate_after_s: 86_400,
            token_life_max_s: 14_400,
        }
    }
}

impl MediaKeyConfig {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`MediaKeyError::Config`] with the first value that is out of range.
    pub fn validate(&self) -> Result<(), MediaKeyError> {
        let fault = |key, value: u32, expected| MediaKeyError::Config {
            key,
            value: value.to_string(),
            expected,
        };
        if !(600..=31_536_000).contains(&self.rotate_after_s) {
            return Err(fault(
                "rotate_after_s",
                self.rotate_after_s,
                "600 to 31536000 seconds",
            ));
        }
        if !(60..=86_400).contains(&self.token_life_max_s) {
            return Err(fault(
                "token_life_max_s",
                self.token_life_max_s,
                "60 to 86400 seconds",
            ));
        }
        Ok(())
    }
}

/// A region's media keys in a file that only its owner may read (mode 0600). One process owns it. Calls write to disk
/// before they return and block; an acknowledged rotation survives a loss of power.
pub struct MediaKeyStore {
    path: PathBuf,
    region: RegionCode,
    config: MediaKeyConfig,
    clock: SharedClock,
    entropy: SharedEntropy,
    state: Mutex<KeyFile>,
    signing: Arc<ArcSwap<SigningKeys>>,
}

impl fmt::Debug for MediaKeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaKeyStore")
            .field("path", &self.path)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    version: u32,
    current: Generation,
    next: Generation,
    retired: Vec<Generation>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Generation {
    hmac_id: String,
    hmac_key: [u8; KEY_BYTES],
    ed25519_id: String,
    ed25519_seed: [u8; KEY_BYTES],
    /// When it began to sign; for the next one, when it was made.
    since_s: i64,
    not_after_s: i64,
}

impl MediaKeyStore {
    /// Opens the key file of `region`, or creates it with fresh keys if there is none.
    ///
    /// # Errors
    /// [`MediaKeyError`]: settings out of range, a file that cannot be read or written, that others may read, or that
    /// does not hold keys. A file that cannot be used is never replaced.
    pub fn open(
        path: impl Into<PathBuf>,
        region: RegionCode,
        config: MediaKeyConfig,
        clock: SharedClock,
        entropy: SharedEntropy,
    ) -> Result<Self, MediaKeyError> {
        config.validate()?;
        let path = path.into();
        let state = match read_file(&path)? {
            Some(state) => state,
            None => {
                let now_s = clock.now_s();
                let fresh = || Generation::fresh(&entropy, now_s);
                let state = KeyFile {
                    version: VERSION,
                    current: fresh(),
                    next: fresh(),
                    retired: Vec::new(),
                };
                write_file(&path, &state)?;
                state
            }
        };
        let signing = state
            .current
            .signing_keys()
            .ok_or_else(|| corrupt(&path, "the current key cannot be used"))?;
        Ok(Self {
            path,
            region,
            config,
            clock,
            entropy,
            signing: Arc::new(ArcSwap::from_pointee(signing)),
            state: Mutex::new(state),
        })
    }

    /// A signer that follows this store's rotations.
    #[must_use]
    pub fn signer(&self) -> MediaSigner {
        MediaSigner::new(self.region, self.signing.clone())
    }

    /// Every key that verifies now or will: what the edge feed publishes. HMAC secrets are for our
    /// own nodes in the region only.
    #[must_use]
    pub fn published(&self) -> Vec<MediaKeyMaterial> {
        let now_s = self.clock.now_s();
        let state = self.state.lock();
        state
            .retired
            .iter()
            .filter(|generation| generation.not_after_s > now_s)
            .chain([&state.current, &state.next])
            .flat_map(|generation| generation.materials(self.region))
            .collect()
    }

    /// Makes the next generation the current one, retires the current one, and makes a new next one. Publish
    /// [`Self::published`] afterwards.
    ///
    /// # Errors
    /// [`MediaKeyError::TooMany`] when more retired keys are alive than are ever needed, [`MediaKeyError::Io`] when the
    /// file cannot be written. The keys are as before.
    pub fn rotate(&self) -> Result<(), MediaKeyError> {
        let mut state = self.state.lock();
        let now_s = self.clock.now_s();
        let mut rotated = state.clone();
        rotated
            .retired
            .retain(|generation| generation.not_after_s > now_s);
        if rotated.retired.len() >= RETIRED_MAX {
            return Err(MediaKeyError::TooMany { max: RETIRED_MAX });
        }
        let mut retired = std::mem::replace(&mut rotated.current, rotated.next);
        retired.not_after_s = now_s.saturating_add(i64::from(self.config.token_life_max_s));
        rotated.retired.push(retired);
        rotated.current.since_s = now_s;
        rotated.next = Generation::fresh(&self.entropy, now_s);
        let signing = rotated
            .current
            .signing_keys()
            .ok_or(MediaKeyError::Signing)?;
        write_file(&self.path, &rotated)?;
        *state = rotated;
        self.signing.store(Arc::new(signing));
        Ok(())
    }

    /// Rotates if the current key has signed for `rotate_after_s`; true when it did. For a timer.
    ///
    /// # Errors
    /// As [`Self::rotate`].
    pub fn rotate_if_due(&self) -> Result<bool, MediaKeyError> {
        let signing_for_s = self
            .clock
            .now_s()
            .saturating_sub(self.state.lock().current.since_s);
        if signing_for_s < i64::from(self.config.rotate_after_s) {
            return Ok(false);
        }
        self.rotate().map(|()| true)
    }
}

impl Generation {
    fn fresh(entropy: &SharedEntropy, now_s: i64) -> Self {
        let secret = || {
            let mut bytes = [0; KEY_BYTES];
            entropy.fill(&mut bytes);
            bytes
        };
        Self {
            hmac_id: format!("{:016x}", entropy.next_u64()),
            hmac_key: secret(),
            ed25519_id: format!("{:016x}", entropy.next_u64()),
            ed25519_seed: secret(),
            since_s: now_s,
            not_after_s: NEVER_S,
        }
    }

    fn signing_keys(&self) -> Option<SigningKeys> {
        Some(SigningKeys {
            hmac_id: key_id_bytes(&self.hmac_id)?,
            hmac: hmac::Key::new(hmac::HMAC_SHA256, &self.hmac_key),
            ed25519_id: key_id_bytes(&self.ed25519_id)?,
            ed25519: Ed25519KeyPair::from_seed_unchecked(&self.ed25519_seed).ok()?,
        })
    }

    /// Both keys as verifiers hold them. A key may verify from the start: edges' clocks may be behind ours.
    fn materials(&self, region: RegionCode) -> Vec<MediaKeyMaterial> {
        let Some(keys) = self.signing_keys() else {
            return Vec::new();
        };
        let material = |key_id: &str, algorithm, key: &[u8]| MediaKeyMaterial {
            region,
            key_id: key_id.to_owned(),
            algorithm,
            key: key.to_vec(),
            not_before_s: 0,
            not_after_s: self.not_after_s,
        };
        vec![
            material(&self.hmac_id, MediaAlgorithm::HmacSha256, &self.hmac_key),
            material(
                &self.ed25519_id,
                MediaAlgorithm::Ed25519,
                keys.ed25519.public_key().as_ref(),
            ),
        ]
    }
}

fn corrupt(path: &Path, reason: impl Into<String>) -> MediaKeyError {
    MediaKeyError::Corrupt {
        path: path.display().to_string(),
        reason: reason.into(),
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> MediaKeyError + '_ {
    move |source| MediaKeyError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn read_file(path: &Path) -> Result<Option<KeyFile>, MediaKeyError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(corrupt(
            path,
            format!("its mode is {mode:03o}, so others may read it; expected 600"),
        ));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(corrupt(
            path,
            format!(
                "it has {} bytes; expected at most {FILE_BYTES_MAX}",
                metadata.len()
            ),
        ));
    }
    let bytes = fs::read(path).map_err(io_error(path))?;
    // The parser's message could quote a key; its place is enough.
    let state: KeyFile = serde_json::from_slice(&bytes).map_err(|error| {
        corrupt(
            path,
            format!(
                "not a key file at line {} column {}",
                error.line(),
                error.column()
            ),
        )
    })?;
    if state.version != VERSION {
        return Err(corrupt(
            path,
            format!("its version is {}; expected {VERSION}", state.version),
        ));
    }
    if state.retired.len() > RETIRED_MAX {
        return Err(corrupt(
            path,
            format!("it holds more than {RETIRED_MAX} retired keys"),
        ));
    }
    Ok(Some(state))
}

/// The new file is whole on disk before it takes the old one's name.
fn write_file(path: &Path, state: &KeyFile) -> Result<(), MediaKeyError> {
    let bytes = serde_json::to_vec(state).map_err(|error| corrupt(path, error.to_string()))?;
    let written = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&written)?;
        // A file left over from a crash keeps the mode it had.
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&written, path)?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().map_err(io_error(path))
}
