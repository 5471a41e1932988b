//! Members that crash, a log and a database that fail: each event acts exactly once, in order within its key.
//!
//! The seed decides faults, keys and crashes; the order in which tasks run is the scheduler's.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcsp_db::{Db, Tx};
use mcsp_events::consumer::{Consumer, ConsumerOptions, HandleError, Handler, RetryPolicy};
use mcsp_events::{FaultyLog, Record, SharedEventLog};
use mcsp_runtime::{EngineUri, Entropy, FaultPlan, SeededEntropy, ShutdownTrigger};
use tokio::task::JoinHandle;

use crate::support::{DAY, effects, effects_db, event, eventually, live_log, payload, put_effect};

const TOPIC: &str = "t";
const EVENTS: u64 = 120;
const KEYS: u64 = 15;

struct Writer;

#[async_trait]
impl Handler for Writer {
    const GROUP: &'static str = "sim";

    fn topics(&self) -> Vec<String> {
        vec![TOPIC.to_owned()]
    }

    async fn handle(&self, record: &Record, tx: &mut Tx) -> Result<(), HandleError> {
        Ok(put_effect(tx, &record.key, &payload(&record.value)).await?)
    }
}

fn faulty(log: &SharedEventLog, seed: u64) -> SharedEventLog {
    let uri = format!("faulty:redb:/x?seed={seed}&error_rate=0.1&lost_ack_rate=0.1&delay_ms_max=3");
    let (plan, _) = FaultPlan::split(&EngineUri::parse(&uri).unwrap()).unwrap();
    Arc::new(FaultyLog::new(Arc::clone(log), plan))
}

/// Starts a member; dropping its task is a crash: nothing is finished, nobody is told.
fn start(log: &SharedEventLog, db: &Db, seed: u64, number: u64) -> JoinHandle<()> {
    let policy = RetryPolicy {
        tries: 5,
        base_ms: 1,
        max_ms: 10,
    };
    let options = ConsumerOptions {
        session_timeout_ms: 600,
        heartbeat_ms: 20,
        batch_records_max: 4,
        ..ConsumerOptions::default()
    };
    let log = faulty(log, seed.wrapping_mul(1000) + number);
    let consumer = Consumer::new(
        log,
        db.clone(),
        Writer::GROUP,
        &format!("m{number}"),
        policy,
    )
    .with_options(options);
    tokio::spawn(async move {
        let (_trigger, shutdown) = ShutdownTrigger::new();
        consumer.run(Writer, shutdown).await.unwrap();
    })
}

async fn simulate(seed: u64) {
    let (log, _dir) = live_log();
    log.ensure_topic(TOPIC, 5, DAY).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("effects.db");
    let db = effects_db(&format!("sqlite:{}", path.display())).await;
    let entropy = SeededEntropy::new(seed);
    let faults = format!(
        "faulty:sqlite:{}?seed={seed}&error_rate=0.05&lost_ack_rate=0.05",
        path.display()
    );
    let faulty_db = Db::open(&faults).await.unwrap();

    let mut members: Vec<JoinHandle<()>> = (0..3)
        .map(|number| start(&log, &faulty_db, seed, number))
        .collect();
    let mut started = 3;
    let mut expected: HashMap<String, Vec<String>> = HashMap::new();
    for n in 0..EVENTS {
        let key = format!("k{}", entropy.next_u64() % KEYS);
        let payload = format!("{n}");
        expected
            .entry(key.clone())
            .or_default()
            .push(payload.clone());
        // The outbox delivers at least once, so now and then twice.
        let copies = if entropy.next_u64().is_multiple_of(10) {
            2
        } else {
            1
        };
        log.append(vec![event(TOPIC, &key, n, &payload); copies])
            .await
            .unwrap();
        if entropy.next_u64().is_multiple_of(15) {
            let victim = usize::try_from(entropy.next_u64() % 3).unwrap();
            members[victim].abort();
            members[victim] = start(&log, &faulty_db, seed, started);
            started += 1;
            tokio::time::sleep(Duration::from_millis(entropy.next_u64() % 60)).await;
        }
    }
    eventually("all effects", || async {
        effects(&db).await.len() >= EVENTS as usize
    })
    .await;
    // Whatever is still delivered must change nothing.
    let ends = log.describe(TOPIC).await.unwrap();
    eventually("all committed", || async {
        let mut done = true;
        for (partition, state) in (0..).zip(&ends) {
            done &= log
                .committed(Writer::GROUP, TOPIC, partition)
                .await
                .unwrap()
                == state.next_offset;
        }
        done
    })
    .await;
    for member in members {
        member.abort();
    }
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    for (key, payload) in effects(&db).await {
        found.entry(key).or_default().push(payload);
    }
    assert_eq!(found, expected, "seed {seed}");
    let dead: u64 = log
        .describe("t.dlq")
        .await
        .unwrap()
        .iter()
        .map(|state| state.next_offset)
        .sum();
    assert_eq!(dead, 0, "seed {seed}: dead letters");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_acts_exactly_once_in_order_for_five_seeds() {
    for seed in seeds() {
        simulate(seed).await;
    }
}

/// `MCSP_SIMULATION_SEED` replays one seed.
fn seeds() -> Vec<u64> {
    let given = std::env::var("MCSP_SIMULATION_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    given.map_or_else(|| (1..=5).collect(), |seed| vec![seed])
}
