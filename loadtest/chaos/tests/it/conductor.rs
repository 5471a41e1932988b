//! Whole scenarios.

use std::time::Duration;

use mcsp_loadtest_chaos::{ChaosEvent, Conductor, Process, Turn};
use mcsp_loadtest_scenario::{AllowList, Scenario};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};

use crate::harm::{Victim, until};

const LONG: Duration = Duration::from_secs(60);

fn scenario(rest: &str) -> Scenario {
    let text = format!(
        "name = \"t\"\nduration_s = 60\n[targets]\napi = \"http://127.0.0.1:1/\"\n\
         [[arrivals]]\nkind = \"constant\"\nrate_per_s = 1.0\n{rest}"
    );
    Scenario::parse(&text, "test").unwrap()
}

/// Waits for a state: signals are acted on when the kernel comes to it.
async fn comes(mut holds: impl FnMut() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, waited).await.expect("in time");
}

fn frozen_node(pid_file: &std::path::Path, for_s: u64) -> Scenario {
    scenario(&format!(
        "[[nodes]]\nname = \"edge\"\npid_file = {pid_file:?}\naddress = \"127.0.0.1:9\"\nproxy = \"127.0.0.1:0\"\n\
         [[chaos]]\nat_s = 0\naction = \"freeze\"\ntarget = \"edge\"\nfor_s = {for_s}\n\
         [[chaos]]\nat_s = 0\naction = \"delay\"\ndelay_ms = 30\ntarget = \"edge\"\nfor_s = {for_s}\n\
         [[chaos]]\nat_s = 0\naction = \"throttle\"\nkbit_s = 100\ntarget = \"edge\"\nfor_s = 40\n"
    ))
}

#[tokio::test]
async fn steps_are_done_at_their_times_told_and_undone_by_a_stop() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.pid");
    let _victim = Victim::sleeping(&file);
    let process = Process::from_pid_file(&file).unwrap();
    let conductor = Conductor::prepare(&frozen_node(&file, 5), &AllowList::loopback_only())
        .await
        .unwrap();
    let (stop, stopped) = watch::channel(false);
    let (events, mut told) = mpsc::channel(16);
    let proxy = conductor.proxy("edge").unwrap();
    let watch = async {
        let mut seen: Vec<ChaosEvent> = Vec::new();
        while seen
            .iter()
            .filter(|event| event.turn == Turn::Began)
            .count()
            < 3
        {
            seen.push(told.recv().await.unwrap());
        }
        comes(|| process.is_frozen()).await;
        assert_eq!((proxy.faults().delay_ms, proxy.faults().kbit_s), (30, 100));
        while seen
            .iter()
            .filter(|event| event.turn == Turn::Ended)
            .count()
            < 2
        {
            seen.push(told.recv().await.unwrap());
        }
        comes(|| !process.is_frozen()).await;
        assert_eq!(
            (proxy.faults().delay_ms, proxy.faults().kbit_s),
            (0, 100),
            "each undoes its own"
        );
        stop.send(true).unwrap();
    };
    let play = conductor.play(Instant::now(), stopped, events);
    let (records, ()) = timeout(LONG, async { tokio::join!(play, watch) })
        .await
        .unwrap();
    assert!(proxy.faults().is_clean());
    assert_eq!(records.len(), 3);
    assert!(
        records.iter().all(|record| record.error.is_none()),
        "{records:?}"
    );
    assert!(
        (5_000_000..35_000_000).contains(&records[0].until_us),
        "{records:?}"
    );
    assert!(records[2].until_us < 40_000_000, "a stop does not wait");
}

#[tokio::test]
async fn a_run_that_is_dropped_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.pid");
    let _victim = Victim::sleeping(&file);
    let process = Process::from_pid_file(&file).unwrap();
    let conductor = Conductor::prepare(&frozen_node(&file, 50), &AllowList::loopback_only())
        .await
        .unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (events, mut told) = mpsc::channel(16);
    {
        let play = conductor.play(Instant::now(), stopped, events);
        tokio::pin!(play);
        let mut began = 0;
        while began < 3 {
            tokio::select! {
                _ = &mut play => panic!("it ended by itself"),
                event = told.recv() => began += i32::from(event.unwrap().turn == Turn::Began),
            }
        }
        comes(|| process.is_frozen()).await;
    }
    let is_clean = || {
        conductor
            .proxy("edge")
            .is_some_and(|proxy| proxy.faults().is_clean())
    };
    comes(|| !process.is_frozen() && is_clean()).await;
}

#[tokio::test]
async fn what_cannot_be_had_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let allow = AllowList::loopback_only();
    let gone = Conductor::prepare(&frozen_node(&folder.path().join("no.pid"), 1), &allow).await;
    assert!(gone.unwrap_err().to_string().contains("no.pid"));
    let file = folder.path().join("edge.pid");
    let _victim = Victim::sleeping(&file);
    let node = format!("[[nodes]]\nname = \"edge\"\npid_file = {file:?}\n");
    let clock = format!(
        "{node}[[chaos]]\nat_s = 0\naction = \"clock-skew\"\nskew_s = 60\ntarget = \"edge\"\n"
    );
    let error = Conductor::prepare(&scenario(&clock), &allow)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("libfaketime"), "{error}");
    let twice = "[[chaos]]\nat_s = 1\naction = \"freeze\"\ntarget = \"edge\"\nfor_s = 5\n\
                 [[chaos]]\nat_s = 4\naction = \"stop\"\ntarget = \"edge\"\nfor_s = 5\n";
    let error = Conductor::prepare(&scenario(&format!("{node}{twice}")), &allow)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("one after the other"), "{error}");
    let abroad =
        "[[nodes]]\nname = \"edge\"\naddress = \"192.0.2.1:443\"\nproxy = \"127.0.0.1:0\"\n";
    let error = Conductor::prepare(&scenario(abroad), &allow)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("allow"), "{error}");
    until("nothing was harmed", || {
        !Process::from_pid_file(&file).unwrap().is_frozen()
    });
}
