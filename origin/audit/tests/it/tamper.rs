//! The table refuses changes, and the chain shows those that were made by force.

use mcsp_audit::{Anchor, Audit};
use mcsp_db::{Db, DbErrorKind};
use serde_json::json;

use crate::{entry, execute, open};

/// What somebody does first who may write the file.
const DISARM: &str = "DROP TRIGGER audit_entries_no_update; DROP TRIGGER audit_entries_no_delete;
    DROP TRIGGER audit_entries_in_order; PRAGMA ignore_check_constraints = ON;";

async fn log_of_five() -> (Audit, Db, Vec<Anchor>) {
    let (audit, db) = open("sqlite::memory:").await;
    audit
        .intend(entry("c1"))
        .await
        .unwrap()
        .commit(json!({}))
        .await
        .unwrap();
    for object in ["c2", "c3", "c4"] {
        audit.record(entry(object)).await.unwrap();
    }
    let log = audit.list(0, 10).await.unwrap();
    let anchors = log
        .into_iter()
        .map(|record| Anchor {
            sequence: record.sequence,
            hash: record.hash,
        })
        .collect();
    (audit, db, anchors)
}

#[tokio::test]
async fn the_table_refuses_changes() {
    let (audit, db, _) = log_of_five().await;
    for statement in [
        "UPDATE audit_entries SET actor = 'nobody' WHERE sequence = 2",
        "DELETE FROM audit_entries WHERE sequence = 5",
        "DELETE FROM audit_entries",
        "INSERT OR REPLACE INTO audit_entries SELECT sequence, 0, id, phase, actor, action, object, detail_json,
            trace_id, previous_hash, hash FROM audit_entries WHERE sequence = 5",
        "INSERT INTO audit_entries SELECT 7, 0, 'x', phase, actor, action, object, detail_json,
            trace_id, previous_hash, hash FROM audit_entries WHERE sequence = 5",
        "INSERT INTO audit_entries SELECT 0, 0, 'x', phase, actor, action, object, detail_json,
            trace_id, previous_hash, hash FROM audit_entries WHERE sequence = 5",
    ] {
        let error = execute(&db, statement).await.unwrap_err();
        assert_eq!(error.kind(), DbErrorKind::CheckViolation, "{statement}: {error}");
        assert!(error.to_string().contains("audit entries are"), "{statement}: {error}");
    }
    let report = audit.verify().await.unwrap();
    assert!(report.is_intact());
    assert_eq!(report.entries, 5);
}

#[tokio::test]
async fn the_first_bad_entry_is_named() {
    let cases: [(&str, i64); 17] = [
        (
            "UPDATE audit_entries SET actor = 'nobody' WHERE sequence = 2",
            2,
        ),
        (
            "UPDATE audit_entries SET action = 'x' WHERE sequence >= 3",
            3,
        ),
        (
            "UPDATE audit_entries SET object = 'x' WHERE sequence = 1",
            1,
        ),
        (
            "UPDATE audit_entries SET detail_json = '{}' WHERE sequence = 5",
            5,
        ),
        (
            "UPDATE audit_entries SET trace_id = NULL WHERE sequence = 4",
            4,
        ),
        (
            "UPDATE audit_entries SET recorded_ms = 999 WHERE sequence = 4",
            4,
        ),
        ("UPDATE audit_entries SET id = 'x' WHERE sequence = 4", 4),
        (
            "UPDATE audit_entries SET phase = 'aborted' WHERE sequence = 2",
            2,
        ),
        (
            "UPDATE audit_entries SET phase = 'nonsense' WHERE sequence = 2",
            2,
        ),
        (
            "UPDATE audit_entries SET hash = previous_hash WHERE sequence = 3",
            3,
        ),
        (
            "UPDATE audit_entries SET previous_hash = hash WHERE sequence = 3",
            3,
        ),
        (
            "UPDATE audit_entries SET actor = x'ff' WHERE sequence = 3",
            3,
        ),
        ("DELETE FROM audit_entries WHERE sequence = 1", 1),
        ("DELETE FROM audit_entries WHERE sequence IN (3, 4)", 3),
        (
            "UPDATE audit_entries SET sequence = 9 WHERE sequence = 5",
            5,
        ),
        (
            "UPDATE audit_entries SET sequence = -1 WHERE sequence = 5",
            -1,
        ),
        // A field's end moved into its neighbour.
        (
            "UPDATE audit_entries SET action = action || substr(object, 1, 1), object = substr(object, 2) WHERE sequence = 3",
            3,
        ),
    ];
    for (statement, first_bad) in cases {
        let (audit, db, _) = log_of_five().await;
        execute(&db, DISARM).await.unwrap();
        execute(&db, statement).await.unwrap();
        let report = audit.verify().await.unwrap();
        let fault = report
            .fault
            .unwrap_or_else(|| panic!("not noticed: {statement}"));
        assert_eq!(fault.sequence, first_bad, "{statement}: {}", fault.reason);
    }
}

#[tokio::test]
async fn an_anchor_shows_what_the_chain_alone_cannot() {
    // The end is cut off, and other entries are put in its place.
    let (audit, db, anchors) = log_of_five().await;
    execute(&db, DISARM).await.unwrap();
    execute(&db, "DELETE FROM audit_entries WHERE sequence > 3")
        .await
        .unwrap();
    assert!(audit.verify().await.unwrap().is_intact());
    assert!(
        audit
            .verify_against(&anchors[..3])
            .await
            .unwrap()
            .is_intact()
    );
    assert_eq!(
        audit
            .verify_against(&anchors)
            .await
            .unwrap()
            .fault
            .unwrap()
            .sequence,
        4
    );

    for object in ["x", "y", "z"] {
        audit.record(entry(object)).await.unwrap();
    }
    assert!(audit.verify().await.unwrap().is_intact());
    let report = audit.verify_against(&anchors[4..]).await.unwrap();
    assert_eq!(report.fault.unwrap().sequence, 5);
    assert_eq!(report.entries, 4);

    execute(&db, "DELETE FROM audit_entries").await.unwrap();
    assert!(audit.verify().await.unwrap().is_intact());
    assert_eq!(
        audit
            .verify_against(&anchors[1..2])
            .await
            .unwrap()
            .fault
            .unwrap()
            .sequence,
        1
    );
}
