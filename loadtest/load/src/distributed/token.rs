//! The secret that coordinator and workers share.

use std::io::Read as _;
use std::path::Path;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcsp_runtime::{Entropy as _, SystemEntropy};

use crate::args::TokenArgs;
use crate::error::LoadError;

/// The variable that it may stand in.
const VARIABLE: &str = "MCSP_LOAD_TOKEN";
const BYTES_MIN: usize = 16;
const BYTES_MAX: usize = 4_096;

/// A key made of the secret. It is never shown.
pub(super) struct Token(hmac::Key);

/// Who proves something, so that nobody's proof can be sent back to it as another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Coordinator,
    Worker,
}

impl Token {
    /// From the file, else from the variable.
    ///
    /// # Errors
    /// When there is none, or one that is too short to be a secret.
    pub(super) fn read(args: &TokenArgs) -> Result<Self, LoadError> {
        let (secret, from) = match &args.token_file {
            Some(file) => (of_file(file)?, file.display().to_string()),
            None => {
                let secret = std::env::var(VARIABLE).map_err(|_| {
                    LoadError::Usage(format!(
                        "coordinator and workers need a secret that they share: put one of {BYTES_MIN} bytes or more into a file \
                         (--token-file) or into {VARIABLE}, the same for all; for example that of `openssl rand -hex 32`"
                    ))
                })?;
                (secret.into_bytes(), VARIABLE.to_owned())
            }
        };
        Self::new(secret.trim_ascii()).ok_or_else(|| {
            LoadError::Usage(format!(
                "{from}: expected a secret of {BYTES_MIN} to {BYTES_MAX} bytes"
            ))
        })
    }

    fn new(secret: &[u8]) -> Option<Self> {
        let is_long_enough = (BYTES_MIN..=BYTES_MAX).contains(&secret.len());
        is_long_enough.then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// That `role` knows the secret, in base64: an HMAC-SHA256 (RFC 2104) over both sides' nonces and the worker's number.
    pub(super) fn proof(&self, role: Role, nonces: &Nonces<'_>, index: u32) -> String {
        STANDARD.encode(hmac::sign(&self.0, &said(role, nonces, index)))
    }

    /// Whether it is that proof; compared in constant time.
    pub(super) fn is_proof(
        &self,
        role: Role,
        nonces: &Nonces<'_>,
        index: u32,
        proof: &str,
    ) -> bool {
        STANDARD
            .decode(proof)
            .is_ok_and(|proof| hmac::verify(&self.0, &said(role, nonces, index), &proof).is_ok())
    }
}

/// What both sides have drawn.
#[derive(Debug)]
pub(super) struct Nonces<'a> {
    pub(super) coordinator: &'a str,
    pub(super) worker: &'a str,
}

fn said(role: Role, nonces: &Nonces<'_>, index: u32) -> Vec<u8> {
    let role = match role {
        Role::Coordinator => "coordinator",
        Role::Worker => "worker",
    };
    // A JSON list: no two different lists are the same bytes.
    let list = serde_json::json!(["mcsp-load", role, nonces.coordinator, nonces.worker, index]);
    list.to_string().into_bytes()
}

/// 32 random bytes in base64.
pub(super) fn nonce() -> String {
    let mut bytes = [0; 32];
    SystemEntropy.fill(&mut bytes);
    STANDARD.encode(bytes)
}

fn of_file(file: &Path) -> Result<Vec<u8>, LoadError> {
    let failed = |source| LoadError::file(file, source);
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(failed)?;
    open.take(BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_of_one_secret_role_and_worker() {
        let token = Token::new(b"0123456789abcdef").unwrap();
        let other = Token::new(b"0123456789abcdeF").unwrap();
        let (a, b) = (nonce(), nonce());
        assert_ne!(a, b);
        let nonces = Nonces {
            coordinator: &a,
            worker: &b,
        };
        let turned = Nonces {
            coordinator: &b,
            worker: &a,
        };
        let proof = token.proof(Role::Worker, &nonces, 3);
        assert!(token.is_proof(Role::Worker, &nonces, 3, &proof));
        assert!(!other.is_proof(Role::Worker, &nonces, 3, &proof));
        assert!(!token.is_proof(Role::Coordinator, &nonces, 3, &proof));
        assert!(!token.is_proof(Role::Worker, &nonces, 2, &proof));
        assert!(!token.is_proof(Role::Worker, &turned, 3, &proof));
        assert!(!token.is_proof(Role::Worker, &nonces, 3, ""));
        assert!(Token::new(b"short").is_none());
    }
}
