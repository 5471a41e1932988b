//! Token grammars of injected SQL and HTML, by `libinjectionrs`.

/// Longest part of a value that is read, bytes: the grammars decide within the first tokens.
const READ_BYTES_MAX: usize = 64 << 10;

/// The fingerprint of injected SQL.
pub(super) fn sql(value: &[u8]) -> Option<Vec<u8>> {
    let found = libinjectionrs::detect_sqli(&value[..value.len().min(READ_BYTES_MAX)]);
    if !found.is_injection() {
        return None;
    }
    Some(
        found
            .fingerprint
            .map(|fingerprint| fingerprint.as_str().as_bytes().to_vec())
            .unwrap_or_default(),
    )
}

/// Whether HTML that runs script is there.
pub(super) fn scripting(value: &[u8]) -> bool {
    libinjectionrs::detect_xss(&value[..value.len().min(READ_BYTES_MAX)]).is_injection()
}
