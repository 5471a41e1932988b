//! Announcing, resolving, recording; under concurrency and faults.

use std::collections::BTreeSet;

use mcsp_audit::{Audit, AuditEntry, AuditError, Phase};
use mcsp_db::Db;
use mcsp_runtime::{ManualClock, SeededEntropy};
use serde_json::json;

use crate::{entry, open};

#[tokio::test]
async fn an_act_has_two_entries_and_a_decision_one() {
    let (audit, _) = open("sqlite::memory:").await;
    let done = audit.intend(entry("c1")).await.unwrap();
    let given_up = audit.intend(entry("c2")).await.unwrap();
    let id = done.record().id.clone();
    done.commit(json!({"bytes": 5})).await.unwrap();
    given_up.abort("disk full").await.unwrap();
    audit.record(entry("c3")).await.unwrap();

    let log = audit.list(0, 100).await.unwrap();
    let seen: Vec<_> = log
        .iter()
        .map(|r| (r.sequence, r.phase, r.object.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Phase::Intended, "c1"),
            (2, Phase::Intended, "c2"),
            (3, Phase::Committed, "c1"),
            (4, Phase::Aborted, "c2"),
            (5, Phase::Recorded, "c3"),
        ]
    );
    assert_eq!(log[2].id, id);
    assert_eq!(log[2].detail_json, r#"{"bytes":5}"#);
    assert_eq!(log[3].detail_json, r#"{"reason":"disk full"}"#);
    assert_eq!(log[4].recorded_ms, 1_000);
    assert_eq!(
        log[4].trace_id.as_deref(),
        Some("4bf92f3577b34da6a3ce929d0e0e4736")
    );
    let report = audit.verify().await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(
        (report.entries, report.head.sequence, report.open_intents),
        (5, 5, 0)
    );
    assert_eq!(audit.list(3, 1).await.unwrap(), log[3..4]);
    assert_eq!(
        audit.list_object("c2", 0, 10).await.unwrap(),
        [log[1].clone(), log[3].clone()]
    );
    assert_eq!(audit.list_object("c2", 2, 10).await.unwrap(), log[3..4]);
}

#[tokio::test]
async fn a_dropped_intent_stays_open_until_it_is_resolved() {
    let clock = ManualClock::new(1_000);
    let db = Db::open("sqlite::memory:").await.unwrap();
    let audit = Audit::open(db, clock.clone(), SeededEntropy::new(7))
        .await
        .unwrap();
    let intent = audit.intend(entry("c1")).await.unwrap();
    let id = intent.record().id.clone();
    drop(intent);
    assert_eq!(audit.open_intents(1_000, 10).await.unwrap(), []);
    let open = audit.open_intents(1_001, 10).await.unwrap();
    assert_eq!(
        open.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(),
        [id.as_str()]
    );
    assert_eq!(audit.verify().await.unwrap().open_intents, 1);

    let resolved = audit.resolve(&id, true, json!("found done")).await.unwrap();
    assert_eq!(resolved.phase, Phase::Committed);
    // Again, as after a lost acknowledgement.
    assert_eq!(
        audit.resolve(&id, true, json!("found done")).await.unwrap(),
        resolved
    );
    let other_way = audit.resolve(&id, false, json!(null)).await.unwrap_err();
    assert!(
        matches!(other_way, AuditError::AlreadyResolved { sequence: 2, .. }),
        "{other_way}"
    );
    let unknown = audit.resolve("00", true, json!(null)).await.unwrap_err();
    assert!(
        matches!(unknown, AuditError::UnknownIntent { .. }),
        "{unknown}"
    );
    // A decision is not an intent.
    let decision = audit.record(entry("c2")).await.unwrap();
    let unknown = audit
        .resolve(&decision.id, true, json!(null))
        .await
        .unwrap_err();
    assert!(
        matches!(unknown, AuditError::UnknownIntent { .. }),
        "{unknown}"
    );
    assert_eq!(audit.open_intents(i64::MAX, 10).await.unwrap(), []);
    assert_eq!(audit.verify().await.unwrap().entries, 3);
}

#[tokio::test]
async fn an_entry_in_a_transaction_shares_its_fate() {
    let (audit, db) = open("sqlite::memory:").await;
    let mut tx = db.begin().await.unwrap();
    audit.record_in(&mut tx, entry("c1")).await.unwrap();
    drop(tx);
    assert_eq!(audit.list(0, 10).await.unwrap(), []);
    let mut tx = db.begin().await.unwrap();
    audit.record_in(&mut tx, entry("c1")).await.unwrap();
    audit.record_in(&mut tx, entry("c2")).await.unwrap();
    tx.commit().await.unwrap();
    let report = audit.verify().await.unwrap();
    assert!(report.is_intact());
    assert_eq!(report.entries, 2);
}

#[tokio::test]
async fn a_field_that_cannot_be_used_is_named() {
    let (audit, _) = open("sqlite::memory:").await;
    let good = || entry("c1");
    let cases = [
        (
            "actor",
            AuditEntry {
                actor: String::new(),
                ..good()
            },
        ),
        (
            "action",
            AuditEntry {
                action: "x".repeat(513),
                ..good()
            },
        ),
        (
            "object",
            AuditEntry {
                object: "a\0b".to_owned(),
                ..good()
            },
        ),
        (
            "trace_id",
            AuditEntry {
                trace_id: Some(String::new()),
                ..good()
            },
        ),
        (
            "detail",
            AuditEntry {
                detail: json!("x".repeat(64 * 1024)),
                ..good()
            },
        ),
    ];
    for (field, entry) in cases {
        let error = audit.intend(entry).await.unwrap_err();
        assert!(
            matches!(error, AuditError::Invalid { field: named, .. } if named == field),
            "{error}"
        );
        assert!(!error.is_retryable());
    }
    assert_eq!(audit.list(0, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_beside_each_other_make_one_chain() {
    let (audit, _) = open("sqlite::memory:").await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let audit = audit.clone();
        writers.spawn(async move {
            for number in 0..10 {
                let intent = audit
                    .intend(entry(&format!("{writer}-{number}")))
                    .await
                    .unwrap();
                intent.commit(json!({})).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let report = audit.verify().await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.entries, report.open_intents), (160, 0));
}

/// The promise is: what was acknowledged is in the log, once; and what failed is there at most once.
#[tokio::test]
async fn faults_lose_nothing_acknowledged_and_double_nothing() {
    for seed in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("sqlite:{}/a.db", folder.path().display());
        let (audit, _) = open(&format!(
            "faulty:{file}?seed={seed}&error_rate=0.3&lost_ack_rate=0.3"
        ))
        .await;
        let (mut acts, mut resolved, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
        for number in 0..60 {
            match audit.intend(entry(&number.to_string())).await {
                Ok(intent) => {
                    acts.insert(intent.record().id.clone());
                    if let Ok(record) = intent.commit(json!({})).await {
                        resolved.insert(record.id);
                    }
                }
                Err(error) => {
                    assert!(error.is_retryable(), "seed {seed}: {error}");
                    refused += 1;
                }
            }
        }
        assert!(
            refused > 0 && resolved.len() < acts.len(),
            "seed {seed}: no fault had an effect"
        );

        let (plain, _) = open(&file).await;
        assert!(plain.verify().await.unwrap().is_intact(), "seed {seed}");
        let log = plain.list(0, 1000).await.unwrap();
        let ids = |phase: Phase| -> Vec<String> {
            log.iter()
                .filter(|record| record.phase == phase)
                .map(|record| record.id.clone())
                .collect()
        };
        let (intended, committed) = (ids(Phase::Intended), ids(Phase::Committed));
        let unique: BTreeSet<String> = intended.iter().cloned().collect();
        assert_eq!(
            unique.len(),
            intended.len(),
            "seed {seed}: an intent is there twice"
        );
        assert!(
            acts.is_subset(&unique),
            "seed {seed}: an act without its announcement"
        );
        let committed: BTreeSet<String> = committed.into_iter().collect();
        assert!(
            resolved.is_subset(&committed),
            "seed {seed}: an acknowledged outcome is lost"
        );
    }
}
