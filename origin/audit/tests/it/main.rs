//! The audit log from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod export;
mod intents;
mod tamper;

use mcsp_audit::{Audit, AuditEntry};
use mcsp_db::Db;
use mcsp_runtime::{ManualClock, SeededEntropy};
use serde_json::json;

async fn open(uri: &str) -> (Audit, Db) {
    let db = Db::open(uri).await.unwrap();
    let audit = Audit::open(db.clone(), ManualClock::new(1_000), SeededEntropy::new(7))
        .await
        .unwrap();
    (audit, db)
}

fn entry(object: &str) -> AuditEntry {
    AuditEntry {
        actor: "spiffe://mcsp/ns/ng-lagos/sa/upload".to_owned(),
        action: "residency.decide".to_owned(),
        object: object.to_owned(),
        detail: json!({"residency": "NG", "rule": "creator", "naïve": [1, 2.5, null]}),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned()),
    }
}

/// Executes a statement that goes around the log.
async fn execute(db: &Db, statement: &'static str) -> Result<(), mcsp_db::DbError> {
    let mut tx = db.begin().await?;
    sqlx::raw_sql(statement).execute(tx.conn()).await?;
    tx.commit().await
}
