//! What an auditor can check without the database.

use mcsp_audit::{Anchor, verify_export};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{entry, open};

async fn exported() -> Vec<String> {
    let (audit, _) = open("sqlite::memory:").await;
    for object in ["c1", "c2", "c3"] {
        audit
            .intend(entry(object))
            .await
            .unwrap()
            .commit(json!({"n": 1}))
            .await
            .unwrap();
    }
    audit
        .export(0, 100)
        .await
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn check(lines: &[String]) -> mcsp_audit::VerifyReport {
    verify_export(None, lines.iter().map(String::as_str))
}

#[tokio::test]
async fn an_export_verifies_whole_and_in_parts() {
    let lines = exported().await;
    let whole = check(&lines);
    assert!(whole.is_intact(), "{whole:?}");
    assert_eq!(whole.entries, 6);

    let first_half = check(&lines[..3]);
    let second_half = verify_export(
        Some(&first_half.head),
        lines[3..].iter().map(String::as_str),
    );
    assert!(second_half.is_intact(), "{second_half:?}");
    assert_eq!(second_half.head, whole.head);
    let other = Anchor {
        sequence: 3,
        hash: whole.head.hash.clone(),
    };
    let fault = verify_export(Some(&other), lines[3..].iter().map(String::as_str))
        .fault
        .unwrap();
    assert_eq!(fault.sequence, 4);
    // A part that claims to be the beginning.
    assert_eq!(check(&lines[3..]).fault.unwrap().sequence, 1);
}

/// The form of the hash is a promise to auditors: this is what `sha256sum` says of the netstrings written by hand.
#[tokio::test]
async fn the_hash_is_what_the_documentation_says() {
    let line: Value = serde_json::from_str(&exported().await[0]).unwrap();
    let field = |name: &str| line[name].as_str().unwrap().to_owned();
    let text: String = [
        "mcsp-audit-1".to_owned(),
        "1".to_owned(),
        "1000".to_owned(),
        field("id"),
        "intended".to_owned(),
        "spiffe://mcsp/ns/ng-lagos/sa/upload".to_owned(),
        "residency.decide".to_owned(),
        "c1".to_owned(),
        field("detail_json"),
        "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
        "0".repeat(64),
    ]
    .iter()
    .map(|text| format!("{}:{text},", text.len()))
    .collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    assert_eq!(field("hash"), mcsp_runtime::hex_lower(digest.as_ref()));
}

fn export_once() -> Vec<String> {
    tokio::runtime::Runtime::new().unwrap().block_on(exported())
}

#[test]
fn any_single_change_is_noticed_at_its_place() {
    let lines = export_once();
    let config = ProptestConfig {
        cases: 256,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(line in 0..lines.len(), at in any::<prop::sample::Index>(), byte in 0x20_u8..0x7f)| {
        let mut changed = lines.clone();
        let mut bytes = changed[line].clone().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at].is_ascii() && bytes[at] != byte);
        bytes[at] = byte;
        changed[line] = String::from_utf8(bytes).unwrap();
        let same_meaning = serde_json::from_str::<Value>(&changed[line]).ok() == serde_json::from_str(&lines[line]).ok();
        prop_assume!(!same_meaning);
        let report = check(&changed);
        prop_assert!(!report.is_intact(), "not noticed: {}", changed[line]);
        prop_assert_eq!(report.entries, line as u64);
    });
}

#[test]
fn removal_and_exchange_are_noticed_at_their_place() {
    let lines = export_once();
    for index in 0..lines.len() - 1 {
        let mut removed = lines.clone();
        removed.remove(index);
        assert_eq!(check(&removed).entries, index as u64);
        assert!(!check(&removed).is_intact());
        let mut exchanged = lines.clone();
        exchanged.swap(index, index + 1);
        assert_eq!(check(&exchanged).entries, index as u64);
        assert!(!check(&exchanged).is_intact());
    }
}
