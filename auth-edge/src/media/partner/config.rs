//! Who else may sign media URLs, and for what.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use mcsp_api::media_path::MediaPath;
use mcsp_api::{RegionCode, Residency};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::jose::{JweKey, JwsKey, KeySetError, KeyUse, parse_key_set};
use crate::media::rendition::RenditionLimits;

/// The most partners a node knows.
pub const PARTNERS_MAX: usize = 64;
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A form that a partner's tokens have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartnerForm {
    /// Common Access Token, CTA-5007.
    CommonAccessToken,
    /// URI Signing, RFC 9246.
    UriSigning,
}

/// `[[media_partner]]`: somebody whose tokens are honoured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerConfig {
    /// Its name in logs and metrics: `a-z 0-9 -`, 1 to 32 characters.
    pub id: String,
    /// What its tokens say in `iss`; 1 to 256 characters. A token without an issuer is nobody's.
    pub issuer: String,
    /// What its tokens call us in `aud`; 1 to 256 characters.
    pub audience: String,
    /// The forms it uses; at least one.
    pub forms: Vec<PartnerForm>,
    /// A JWK Set of its keys: public ones, or HMAC secrets agreed with it, not both. Read at the start and with every
    /// reload; with secrets, its mode must be 600. While keys change, both are in it.
    pub keys_file: PathBuf,
    /// Whose items it may sign for, by home region; at least one.
    pub regions: Vec<RegionCode>,
    /// Which residencies its items may have; at least one.
    pub residencies: Vec<Residency>,
    /// How far ahead a token may end, seconds: 60 to 86 400; default 14 400.
    #[serde(default = "default_life_max_s")]
    pub token_life_max_s: u32,
    /// How far clocks may be apart, seconds: 0 to 120; default 30.
    #[serde(default = "default_skew_s")]
    pub skew_s: u32,
    /// The highest picture, pixels; 0, the default, for no limit.
    #[serde(default)]
    pub max_height: u32,
    /// The highest rate of sound, kb/s; 0, the default, for no limit.
    #[serde(default)]
    pub max_audio_kbps: u32,
    /// A file with the key that client addresses are encrypted with (RFC 9246, `cdniip`): base64url of 16 or 32 bytes, mode
    /// 600. Without it, tokens that name an address are refused.
    #[serde(default)]
    pub address_key_file: Option<PathBuf>,
}

fn default_life_max_s() -> u32 {
    14_400
}

fn default_skew_s() -> u32 {
    30
}

/// Why a partner cannot be used.
#[derive(Debug, Error)]
pub enum PartnerError {
    /// A setting cannot be used.
    #[error("media partner {id:?}: {key} is {value}; expected {expected}")]
    Config {
        /// The partner.
        id: String,
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What was expected.
        expected: &'static str,
    },
    /// A file cannot be read.
    #[error("media partner {id:?}: {path}: {source}")]
    Io {
        /// The partner.
        id: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its keys cannot be used.
    #[error("media partner {id:?}: {source}")]
    Keys {
        /// The partner.
        id: String,
        /// Why.
        source: KeySetError,
    },
}

impl PartnerError {
    /// May the same configuration be good later?
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

/// A partner with its keys.
#[derive(Debug)]
pub struct Partner {
    pub(super) config: PartnerConfig,
    pub(super) keys: Vec<JwsKey>,
    pub(super) address_key: Option<JweKey>,
}

impl Partner {
    /// A partner with the keys of a JWK Set and, if any, the key of addresses.
    ///
    /// # Errors
    /// [`PartnerError::Config`] and [`PartnerError::Keys`].
    pub fn new(
        config: PartnerConfig,
        jwks_json: &str,
        address_key: Option<JweKey>,
    ) -> Result<Self, PartnerError> {
        config.validate()?;
        let keys =
            parse_key_set(jwks_json, KeyUse::Agreed).map_err(|source| PartnerError::Keys {
                id: config.id.clone(),
                source,
            })?;
        Ok(Self {
            config,
            keys,
            address_key,
        })
    }

    /// Reads the files that the configuration names. Blocks.
    ///
    /// # Errors
    /// [`PartnerError`].
    pub fn load(config: PartnerConfig) -> Result<Self, PartnerError> {
        config.validate()?;
        let jwks_json = config.read(&config.keys_file)?;
        let address_key = match &config.address_key_file {
            Some(path) => Some(config.read_address_key(path)?),
            None => None,
        };
        let path = config.keys_file.clone();
        let partner = Self::new(config, &jwks_json, address_key)?;
        if partner
            .keys
            .iter()
            .any(|key| key.algorithm == Algorithm::HS256)
        {
            partner.config.check_private("keys_file", &path)?;
        }
        Ok(partner)
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.config.id
    }

    /// What it allows at most, whatever its tokens say.
    pub(super) fn limits(&self) -> RenditionLimits {
        RenditionLimits {
            max_height: self.config.max_height,
            max_audio_kbps: self.config.max_audio_kbps,
        }
    }

    /// May it sign for this item?
    pub(super) fn may_sign_for(&self, path: &MediaPath<'_>) -> bool {
        self.config.regions.contains(&path.content_id.region())
            && self.config.residencies.contains(&path.residency)
    }

    /// The keys that a token may have been signed with: the one it names, or all for its algorithm if it names none and
    /// there is no choice.
    pub(super) fn key(&self, kid: Option<&[u8]>, algorithm: Algorithm) -> Option<&JwsKey> {
        if let Some(kid) = kid {
            return self.keys.iter().find(|key| key.kid.as_bytes() == kid);
        }
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        fitting.next().filter(|_| fitting.next().is_none())
    }
}

impl PartnerConfig {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`PartnerError::Config`] with the first value that is out of range.
    pub fn validate(&self) -> Result<(), PartnerError> {
        let name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_id = (1..=32).contains(&self.id.len()) && self.id.chars().all(name);
        let is_text = |text: &str| (1..=256).contains(&text.len());
        let checks = [
            (is_id, "id", self.id.clone(), "1 to 32 of a-z, 0-9 and -"),
            (
                is_text(&self.issuer),
                "issuer",
                self.issuer.clone(),
                "1 to 256 characters",
            ),
            (
                is_text(&self.audience),
                "audience",
                self.audience.clone(),
                "1 to 256 characters",
            ),
            (
                !self.forms.is_empty(),
                "forms",
                "empty".to_owned(),
                "at least one",
            ),
            (
                !self.regions.is_empty(),
                "regions",
                "empty".to_owned(),
                "at least one",
            ),
            (
                !self.residencies.is_empty(),
                "residencies",
                "empty".to_owned(),
                "at least one",
            ),
            (
                (60..=86_400).contains(&self.token_life_max_s),
                "token_life_max_s",
                self.token_life_max_s.to_string(),
                "60 to 86400 seconds",
            ),
            (
                self.skew_s <= 120,
                "skew_s",
                self.skew_s.to_string(),
                "0 to 120 seconds",
            ),
        ];
        for (is_good, key, value, expected) in checks {
            if !is_good {
                return Err(self.fault(key, value, expected));
            }
        }
        Ok(())
    }

    fn fault(&self, key: &'static str, value: String, expected: &'static str) -> PartnerError {
        PartnerError::Config {
            id: self.id.chars().take(32).collect(),
            key,
            value: value.chars().take(256).collect(),
            expected,
        }
    }

    fn io(&self, path: &Path, source: std::io::Error) -> PartnerError {
        PartnerError::Io {
            id: self.id.clone(),
            path: path.to_owned(),
            source,
        }
    }

    fn read(&self, path: &Path) -> Result<String, PartnerError> {
        let length = fs::metadata(path)
            .map_err(|source| self.io(path, source))?
            .len();
        if length > FILE_BYTES_MAX {
            return Err(self.fault(
                "keys_file",
                format!("{length} bytes"),
                "at most 65536 bytes",
            ));
        }
        fs::read_to_string(path).map_err(|source| self.io(path, source))
    }

    fn read_address_key(&self, path: &Path) -> Result<JweKey, PartnerError> {
        self.check_private("address_key_file", path)?;
        let text = self.read(path)?;
        let secret = URL_SAFE_NO_PAD.decode(text.trim()).ok();
        let key = secret.and_then(|secret| JweKey::new(None, &secret).ok());
        let expected = "base64url of 16 or 32 bytes";
        // The value is a secret: it is not told.
        key.ok_or_else(|| self.fault("address_key_file", "unreadable".to_owned(), expected))
    }

    fn check_private(&self, key: &'static str, path: &Path) -> Result<(), PartnerError> {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = fs::metadata(path).map_err(|source| self.io(path, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        let expected = "mode 600, since it holds secrets";
        Err(self.fault(key, format!("of mode {mode:03o}"), expected))
    }
}

/// All partners, by issuer.
#[derive(Debug, Default)]
pub struct Partners {
    by_issuer: HashMap<String, Arc<Partner>>,
}

impl Partners {
    /// These partners. Two may not share an issuer or an id.
    ///
    /// # Errors
    /// [`PartnerError::Config`].
    pub fn new(partners: Vec<Partner>) -> Result<Self, PartnerError> {
        let mut by_issuer: HashMap<String, Arc<Partner>> = HashMap::new();
        for partner in partners {
            let config = &partner.config;
            if by_issuer.values().any(|known| known.id() == config.id) {
                return Err(config.fault("id", config.id.clone(), "an id of its own"));
            }
            if by_issuer.contains_key(&config.issuer) {
                return Err(config.fault("issuer", config.issuer.clone(), "an issuer of its own"));
            }
            if by_issuer.len() >= PARTNERS_MAX {
                return Err(config.fault("id", config.id.clone(), "at most 64 partners"));
            }
            by_issuer.insert(config.issuer.clone(), Arc::new(partner));
        }
        Ok(Self { by_issuer })
    }

    /// Reads all that the configurations name. Blocks.
    ///
    /// # Errors
    /// [`PartnerError`] of the first that cannot be used.
    pub fn load(configs: &[PartnerConfig]) -> Result<Self, PartnerError> {
        let partners: Result<Vec<_>, _> = configs.iter().cloned().map(Partner::load).collect();
        Self::new(partners?)
    }

    /// Whose tokens name this issuer.
    pub(super) fn of_issuer(&self, issuer: &str) -> Option<&Arc<Partner>> {
        self.by_issuer.get(issuer)
    }

    /// Are there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_issuer.is_empty()
    }
}
