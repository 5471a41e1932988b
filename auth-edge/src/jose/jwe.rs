//! What RFC 9246 wants of RFC 7516: short secrets in compact form, encrypted directly with a key both sides hold.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use thiserror::Error;

/// The longest object that is read, bytes of text.
const JWE_BYTES_MAX: usize = 1024;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Why something encrypted could not be read. All the same to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JweError {
    /// The key has neither 16 nor 32 bytes.
    #[error("a key for A128GCM has 16 bytes, one for A256GCM has 32")]
    Key,
    /// Not encrypted for this key, not in compact form, or altered.
    #[error("the encrypted value cannot be read")]
    Unreadable,
}

/// A key for `"alg":"dir"` with A128GCM or A256GCM, by its length (RFC 7518 sections 4.5 and 5.3).
pub struct JweKey {
    kid: Option<String>,
    enc: &'static str,
    key: LessSafeKey,
}

impl std::fmt::Debug for JweKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JweKey")
            .field("kid", &self.kid)
            .field("enc", &self.enc)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JweHeader {
    alg: String,
    enc: String,
    kid: Option<String>,
}

impl JweKey {
    /// A key of 16 or 32 bytes; with a name, only what names it too is read.
    ///
    /// # Errors
    /// [`JweError::Key`].
    pub fn new(kid: Option<String>, secret: &[u8]) -> Result<Self, JweError> {
        let (algorithm, enc) = match secret.len() {
            16 => (&AES_128_GCM, "A128GCM"),
            32 => (&AES_256_GCM, "A256GCM"),
            _ => return Err(JweError::Key),
        };
        let key = UnboundKey::new(algorithm, secret).map_err(|_| JweError::Key)?;
        Ok(Self {
            kid,
            enc,
            key: LessSafeKey::new(key),
        })
    }

    /// The text that was encrypted. No compression, no other key management, no other header.
    ///
    /// # Errors
    /// [`JweError::Unreadable`].
    pub fn decrypt(&self, object: &str) -> Result<String, JweError> {
        self.open(object).ok_or(JweError::Unreadable)
    }

    fn open(&self, object: &str) -> Option<String> {
        if object.len() > JWE_BYTES_MAX {
            return None;
        }
        let parts: Vec<&str> = object.splitn(6, '.').collect();
        let [header, "", nonce, text, tag] = parts[..] else {
            return None;
        };
        let parsed: JweHeader =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        let is_named = self.kid.is_none() || parsed.kid.is_none() || parsed.kid == self.kid;
        if parsed.alg != "dir" || parsed.enc != self.enc || !is_named {
            return None;
        }
        let nonce: [u8; NONCE_BYTES] = URL_SAFE_NO_PAD.decode(nonce).ok()?.try_into().ok()?;
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        if tag.len() != TAG_BYTES {
            return None;
        }
        sealed.extend_from_slice(&tag);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed)
            .ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the examples of RFC 9246.
    const KID: &str = "f-WbjxBC3dPuI3d24kP2hfvos7Qz688UTi6aB0hN998";
    const KEY: &str = "4uFxxV7fhNmrtiah2d1fFg";
    const ADDRESS: &str = "eyJlbmMiOiJBMTI4R0NNIiwiYWxnIjoiZGlyIiwia2lkIjoiZi1XYmp4QkMzZFB1STNkMjRrUDJoZnZvczdRejY4OFVUaTZhQjBoTjk5OCJ9..s614z__atK4Cijic.ieSm7o2o7rIqCYbDExdoyQ.JUnPLQzBf2dPhBPRTxHKww";

    fn key() -> JweKey {
        let secret = URL_SAFE_NO_PAD.decode(KEY).expect("base64url");
        JweKey::new(Some(KID.to_owned()), &secret).expect("a key")
    }

    #[test]
    fn the_example_is_read() {
        assert_eq!(key().decrypt(ADDRESS).as_deref(), Ok("[2001:db8::1/32]"));
    }

    #[test]
    fn what_is_altered_or_otherwise_made_is_not() {
        for at in 0..ADDRESS.len() {
            for replacement in ["A", "_", "."] {
                if ADDRESS[at..].starts_with(replacement) {
                    continue;
                }
                let changed = format!("{}{replacement}{}", &ADDRESS[..at], &ADDRESS[at + 1..]);
                assert_eq!(key().decrypt(&changed), Err(JweError::Unreadable), "{at}");
            }
        }
        let (_, rest) = ADDRESS.split_once('.').expect("parts");
        for header in [
            r#"{"alg":"dir","enc":"A256GCM"}"#,
            r#"{"alg":"A128KW","enc":"A128GCM"}"#,
            r#"{"alg":"dir","enc":"A128GCM","zip":"DEF"}"#,
            r#"{"alg":"dir","enc":"A128GCM","kid":"other"}"#,
        ] {
            let object = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header));
            assert_eq!(
                key().decrypt(&object),
                Err(JweError::Unreadable),
                "{header}"
            );
        }
        let long = format!("{ADDRESS}{}", "A".repeat(JWE_BYTES_MAX));
        for object in ["", "....", "a.b.c", &long] {
            assert_eq!(key().decrypt(object), Err(JweError::Unreadable));
        }
        assert_eq!(JweKey::new(None, &[0; 24]).err(), Some(JweError::Key));
    }
}
