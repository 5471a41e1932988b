//! Partners as they are configured: files, their modes, and keys that must not stand together.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mcsp_auth_edge::jose::{KeyUse, parse_key_set};
use mcsp_auth_edge::media::partner::{
    PARTNERS_MAX, Partner, PartnerConfig, PartnerError, Partners,
};
use serde_json::{Value, json};

use crate::partner_support::{config, partner, secret};
use crate::support::{b64, ed25519, es256};

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
}

fn in_folder(folder: &Path) -> PartnerConfig {
    let mut config = config();
    config["keys_file"] = json!(folder.join("keys.json"));
    config["address_key_file"] = json!(folder.join("address.key"));
    serde_json::from_value(config).expect("a configuration")
}

fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

#[test]
fn files_with_secrets_are_their_owners_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (keys, address) = (
        folder.path().join("keys.json"),
        folder.path().join("address.key"),
    );
    let load = || Partners::load(&[in_folder(folder.path())]);
    assert!(load().expect_err("no file").is_retryable());
    write(&keys, &jwks(&[secret("k1")]), 0o600);
    write(&address, &format!("{}\n", b64(&[1; 16])), 0o600);
    assert!(!load().expect("a partner").is_empty());
    for (path, key) in [(&keys, "keys_file"), (&address, "address_key_file")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("its mode");
        let fault = load().expect_err("readable by others");
        assert!(fault.to_string().contains(key), "{fault}");
        assert!(!fault.is_retryable());
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    // Public keys may be read by anybody.
    write(&keys, &jwks(&[ed25519("ed").jwk, es256("ec").jwk]), 0o644);
    assert!(load().is_ok());
    for bad in ["", "AAAA", "!!!", &b64(&[1; 24])] {
        write(&address, bad, 0o600);
        let fault = load().expect_err("no key").to_string();
        assert!(fault.contains("address_key_file"), "{fault}");
        assert!(
            bad.is_empty() || !fault.contains(bad),
            "secrets are not told: {fault}"
        );
    }
    write(&address, &b64(&[1; 32]), 0o600);
    write(&keys, &" ".repeat(70_000), 0o600);
    assert!(load().is_err());
}

#[test]
fn secrets_and_public_keys_do_not_stand_together() {
    let ed = ed25519("ed").jwk;
    for keys in [
        vec![secret("k1"), ed.clone()],
        vec![secret("k1"), secret("k1")],
        vec![json!({ "kty": "oct", "kid": "short", "k": b64(&[1; 31]) })],
        vec![json!({ "kty": "oct", "kid": "empty", "k": "" })],
        vec![json!({ "kty": "oct", "kid": "k", "alg": "HS512", "k": b64(&[1; 64]) })],
        vec![json!({ "kty": "oct", "k": b64(&[1; 32]) })],
    ] {
        assert!(
            parse_key_set(&jwks(&keys), KeyUse::Agreed).is_err(),
            "{keys:?}"
        );
    }
    assert_eq!(
        parse_key_set(&jwks(&[secret("k1"), secret("k2")]), KeyUse::Agreed)
            .expect("two secrets, one to come")
            .len(),
        2
    );
    // What is published holds no secret, nor the private half of anything.
    assert!(parse_key_set(&jwks(&[secret("k1")]), KeyUse::Public).is_err());
    let mut leaked = ed;
    leaked["d"] = json!(b64(&[1; 32]));
    for key_use in [KeyUse::Public, KeyUse::Agreed] {
        assert!(parse_key_set(&jwks(&[leaked.clone()]), key_use).is_err());
    }
    let config: PartnerConfig = serde_json::from_value(config()).expect("a configuration");
    assert!(matches!(
        Partner::new(config, &jwks(&[]).replace("[]", "{}"), None),
        Err(PartnerError::Keys { .. })
    ));
}

#[test]
fn no_two_partners_share_a_name() {
    let named = |id: &str, issuer: &str| {
        let mut config = config();
        config["id"] = json!(id);
        config["issuer"] = json!(issuer);
        partner(config, &[secret("k1")])
    };
    assert!(Partners::new(vec![named("a", "a"), named("b", "b")]).is_ok());
    for (id, issuer, key) in [("a", "b", "id"), ("b", "a", "issuer")] {
        let fault = Partners::new(vec![named("a", "a"), named(id, issuer)]).expect_err("twice");
        assert!(matches!(fault, PartnerError::Config { key: named, .. } if named == key));
    }
    let many = (0..=PARTNERS_MAX).map(|i| named(&format!("p{i}"), &format!("i{i}")));
    assert!(Partners::new(many.collect()).is_err());
    let unknown = json!({ "id": "a", "unknown": 1 });
    assert!(serde_json::from_value::<PartnerConfig>(unknown).is_err());
}
