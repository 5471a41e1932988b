//! A client that retries, over stores that fail and lose answers: what was acknowledged is there, once.

use bytes::Bytes;
use mcsp_api::Role;
use mcsp_api::rest::{ContentStatus, UploadSession};
use mcsp_objects::Faults;
use serde_json::Value;

use crate::stage::{Call, GLOBAL, Make, SESSIONS, Stage, request};

const TRIES_MAX: u32 = 200;

/// Asks until the answer is not "try again"; adds how often it was to `refusals`.
async fn persist(
    stage: &Stage,
    refusals: &mut u32,
    call: impl Fn() -> Call<'static>,
) -> (u16, Value) {
    for _ in 0..TRIES_MAX {
        let (status, body) = stage.ask(call()).await;
        if status < 500 {
            return (status, body);
        }
        assert_eq!(status, 503, "{body}");
        *refusals += 1;
    }
    panic!("no answer in {TRIES_MAX} tries");
}

/// Tells how often the client had to try again.
async fn upload_over_faults(seed: u64) -> u32 {
    let mut refusals = 0;
    let stage = Stage::make(Make {
        db_uri: format!("faulty:sqlite::memory:?seed={seed}&error_rate=0.1&lost_ack_rate=0.1"),
        audit_uri: format!(
            "faulty:sqlite::memory:?seed={}&error_rate=0.1&lost_ack_rate=0.1",
            seed + 1_000
        ),
        faults: Some(Faults {
            seed,
            error_rate: 0.2,
            ..Faults::default()
        }),
        ..Make::region("ng-lagos")
    })
    .await;
    let creator: &'static _ = Box::leak(Box::new(stage.person(Role::Creator)));
    let open = || {
        Call::post(SESSIONS)
            .by(creator)
            .with(request(10))
            .keyed("k-1")
    };
    let (status, body) = persist(&stage, &mut refusals, open).await;
    assert_eq!(status, 201, "seed {seed}: {body}");
    let session: UploadSession = serde_json::from_value(body).unwrap();
    assert_eq!(
        stage
            .put(&session.parts[0], Bytes::from_static(b"0123456789"))
            .await,
        200
    );

    let path: &'static str =
        Box::leak(format!("{SESSIONS}/{}/complete", session.upload_id).into_boxed_str());
    let (status, body) = persist(&stage, &mut refusals, || Call::post(path).by(creator)).await;
    assert_eq!(status, 200, "seed {seed}: {body}");
    let _ = persist(&stage, &mut refusals, || Call::post(path).by(creator)).await;
    for _ in 0..TRIES_MAX {
        if stage
            .service
            .reconcile_once()
            .await
            .is_ok_and(|report| report.failed == 0)
        {
            break;
        }
    }

    // The relay meets the same faults; at least once is what it promises, so count the ids.
    let relay =
        mcsp_events::outbox::OutboxRelay::new(stage.db.clone(), stage.log.clone(), "upload");
    let mut quiet = 0;
    for _ in 0..TRIES_MAX {
        match relay.step().await {
            Ok(0) => quiet += 1,
            Ok(_) => quiet = 0,
            Err(error) => assert!(error.is_retryable(), "seed {seed}: {error}"),
        }
        if quiet == 3 {
            break;
        }
    }
    let mut ids = Vec::new();
    for partition in 0..12 {
        let records = stage
            .log
            .read(
                "media.upload.initiated",
                partition,
                0,
                100,
                std::time::Duration::ZERO,
            )
            .await
            .unwrap();
        ids.extend(
            records
                .iter()
                .map(|record| mcsp_events::envelope::event_id(record).unwrap()),
        );
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 1, "seed {seed}");
    let key = format!("global/{}/source/original", session.content_id);
    assert_eq!(stage.stored(GLOBAL, &key).await, Some(10), "seed {seed}");
    let draft = stage
        .content
        .record(&session.content_id.parse().unwrap())
        .await
        .unwrap();
    assert_eq!(draft.status(), ContentStatus::Draft, "seed {seed}");
    refusals
}

#[tokio::test]
async fn retries_over_failing_stores_upload_once() {
    let mut refusals = 0;
    for seed in 1..=12 {
        refusals += upload_over_faults(seed).await;
    }
    assert!(
        refusals >= 12,
        "only {refusals} calls failed, so this proves little"
    );
}
