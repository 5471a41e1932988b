//! Wycheproof's vectors for JSON Web Signature, Key and Crypto, as public as they come.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcsp_auth_edge::jose::{CompactJws, HeaderRules, KeyUse, parse_key_set};
use serde_json::{Value, json};
use wycheproof_ng_kdf_jose::json_web::{TestGroup, TestName, TestSet};

/// What became of a vector.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// The key is for an algorithm that is not used here, or no key at all is taken from the set.
    NoSuchKey,
}

/// The vectors call these valid: a character outside base64url was put into the text, and a decoder that skips it still
/// finds the signature right. RFC 7515 section 2 has no such characters, so they are refused here.
const SKIPPED_CHARACTERS: [usize; 2] = [372, 373];
/// The vectors call these invalid for a padding that is not there: their text is that of vector 357, which is valid.
const LOST_PADDING: [usize; 2] = [367, 370];

fn keys_of(group: &TestGroup) -> String {
    let mut key = group
        .public_key
        .clone()
        .or_else(|| group.private_key.clone())
        .expect("a key");
    // Vectors for a private key name the signer's; a verifier never sees that half.
    let strip = |key: &mut Value| {
        for name in ["d", "p", "q", "dp", "dq", "qi"] {
            key.as_object_mut().expect("an object").remove(name);
        }
    };
    if let Some(keys) = key.get_mut("keys").and_then(Value::as_array_mut) {
        keys.iter_mut().for_each(strip);
        return key.to_string();
    }
    strip(&mut key);
    json!({ "keys": [key] }).to_string()
}

/// As a verifier does it: the key that the token names, else the only one.
fn verdict(jwks: &str, token: &str) -> Verdict {
    let Ok(keys) = parse_key_set(jwks, KeyUse::Agreed) else {
        return Verdict::NoSuchKey;
    };
    let Ok(jws) = CompactJws::parse(token, HeaderRules::Foreign) else {
        return Verdict::Refused;
    };
    let named = keys
        .iter()
        .find(|key| jws.kid().is_none_or(|kid| kid == key.kid));
    match named {
        Some(key) if jws.verify(key).is_ok() => Verdict::Accepted,
        _ => Verdict::Refused,
    }
}

/// The algorithm in the header, as the text says.
fn algorithm_of(token: &str) -> String {
    let header = token.split('.').next().expect("a part");
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: Value = serde_json::from_slice(&header).unwrap_or_default();
    header["alg"].as_str().unwrap_or_default().to_owned()
}

/// Runs a set; gives how many were accepted, refused, and had no key that is used here.
fn run(name: TestName) -> (usize, usize, usize) {
    let set = TestSet::load(name).expect("the vectors");
    let mut counts = (0, 0, 0);
    for group in &set.test_groups {
        let jwks = keys_of(group);
        for test in &group.tests {
            let Some(jws) = &test.jws else { continue };
            let token = jws.as_str().map_or_else(|| jws.to_string(), str::to_owned);
            let is_signature_set = matches!(name, TestName::JsonWebSignature);
            if is_signature_set && LOST_PADDING.contains(&test.tc_id) {
                let valid = group.tests.iter().find(|test| test.tc_id == 357);
                assert_eq!(valid.expect("vector 357").jws, test.jws);
                continue;
            }
            let verdict = verdict(&jwks, &token);
            let told = format!("{name:?} {}: {}, {:?}", test.tc_id, test.comment, verdict);
            let is_skipping = is_signature_set && SKIPPED_CHARACTERS.contains(&test.tc_id);
            let is_valid = !test.result.must_fail() && !is_skipping;
            match verdict {
                Verdict::Accepted => {
                    assert!(is_valid, "{told}");
                    counts.0 += 1;
                }
                Verdict::Refused => {
                    assert!(!is_valid, "{told}");
                    counts.1 += 1;
                }
                Verdict::NoSuchKey => {
                    // A key of a kind that is used here is refused only when it is bad.
                    let is_ours =
                        ["HS256", "RS256", "ES256"].contains(&algorithm_of(&token).as_str());
                    assert!(!is_valid || !is_ours, "{told}");
                    counts.2 += 1;
                }
            }
        }
    }
    counts
}

#[test]
fn signatures() {
    let (accepted, refused, without_key) = run(TestName::JsonWebSignature);
    assert_eq!(accepted + refused + without_key, 401 - LOST_PADDING.len());
    // RS384, RS512, PS* and ES512 are none of ours: their keys are not taken, so their tokens cannot be either.
    assert_eq!((accepted, refused), (18, 292));
}

#[test]
fn keys() {
    let (accepted, refused, without_key) = run(TestName::JsonWebKey);
    assert_eq!(accepted + refused + without_key, 26);
    assert_eq!((accepted, refused), (3, 1));
}

#[test]
fn signatures_among_other_cryptography() {
    let (accepted, refused, without_key) = run(TestName::JsonWebCrypto);
    assert_eq!((accepted, refused, without_key), (4, 43, 2));
}
