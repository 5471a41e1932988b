//! A run while it lasts.

use std::env;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};

use mcsp_loadtest_report::{
    ChaosState, LiveAction, LiveFrame, LiveView, LiveWorker, PlainView, Stage, draw,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::any::HOSTILE;
use crate::made::{Story, run};

pub(crate) fn live(at_s: u64) -> LiveFrame {
    let run = run(Story {
        has_chaos: true,
        has_faults: true,
        seed: 1,
        ..Story::default()
    });
    let mut live = LiveFrame::new(&run.scenario, &run.seen, at_s * 1_000_000 + 300_000);
    live.workers = (1..=3)
        .map(|number| LiveWorker {
            name: format!("worker-{number}"),
            users: 40 + number,
            lag_p99_ms: Some(0.5 * number as f64),
            lost: None,
        })
        .collect();
    live
}

pub(crate) fn drawn(live: &LiveFrame, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, live, true)).unwrap();
    let buffer = terminal.backend().buffer();
    (0..height)
        .map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

#[test]
fn a_frame_is_of_the_last_whole_seconds() {
    let live = live(55);
    assert_eq!((live.stage, live.elapsed_s), (Stage::Running, 55.3));
    assert!((live.progress() - 55.3 / 120.0).abs() < 1e-9);
    // Of 49 s to 54 s, and from 50 s on all was slow.
    assert!(
        (0.06..0.08).contains(&live.rebuffer_ratio.unwrap()),
        "{:?}",
        live.rebuffer_ratio
    );
    assert!(live.latency_p99_ms.unwrap() > 500.0);
    assert!(
        (7.0..12.0).contains(&live.arrivals_per_s),
        "{}",
        live.arrivals_per_s
    );
    assert!(live.requests_per_s > 100.0 && live.errors_per_s > 2.0);
    assert_eq!(live.latency_history_ms.len(), 54);
    assert_eq!(live.chaos[0].what, "kill edge-1");
    assert_eq!(live.chaos[0].state, ChaosState::On(10));
    assert_eq!(live.chaos[1].state, ChaosState::Ahead(30));
}

#[test]
fn a_terminal_of_80_by_24_has_all_of_it() {
    let mut live = live(55);
    live.latency_history_ms = [5.0, 10.0, 20.0, 40.0, 80.0].map(Some).to_vec();
    assert_eq!(
        drawn(&live, 80, 24).join("\n"),
        "\
\x20prime-time running                                                     q stops
 0:55 / 2:00 ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━─────────────────────────────────────
 Segments are cut short (3 times)
 Manifests are out of date (1 time)
 Chaos: kill edge-1, 10 s more
 Players ──────────────────────────────   Requests ─────────────────────────────
 users               123  8.2/s arrive    requests          122/s  6,218 in all
 start-up         631 ms  p95 2.43 s      errors              7/s  113 in all
 rebuffering      7.05 %  of the time     latency          9.7 ms  p99 1.09 s
 bitrate     1.89 Mbit/s  mean            hits             91.8 %  of media
                                          bandwidth    197 Mbit/s  in bodies
 Latency p99, last 5 s, up to 80 ms ────────────────────────────────────────────
    █
    █
   ██
▂▄███
 Chaos ────────────────────────────────   Found ────────────────────────────────
 kill edge-1            10 s more         3 × truncated-segment  /media/ng/c_ng_
 delay edge-2           in 30 s           1 × stale-manifest  /media/ng/c_ng_004

                                          Workers ──────────────────────────────
                                          worker-3       43 users, 1.5 ms late
                                          worker-2       42 users, 1 ms late
                                          worker-1       41 users, 500 µs late"
    );
}

#[test]
fn a_terminal_of_40_by_12_has_the_numbers() {
    assert_eq!(
        drawn(&live(55), 40, 12).join("\n"),
        "\
\x20prime-time running             q stops
 0:55 / 2:00 ━━━━━━━━━━━━───────────────
 Segments are cut short (3 times)
 Manifests are out of date (1 time)
 users               123  8.2/s arrive
 start-up         631 ms  p95 2.43 s
 rebuffering      7.05 %  of the time
 bitrate     1.89 Mbit/s  mean
 requests          122/s  6,218 in all
 errors              7/s  113 in all
 latency          9.7 ms  p99 1.09 s
 hits             91.8 %  of media"
    );
}

#[test]
fn a_terminal_of_120_by_40_has_room_for_examples() {
    let lines = drawn(&live(55), 120, 40);
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        has("3 × truncated-segment  /media/ng/c_ng_0042/v720/31.m4s"),
        "{lines:?}"
    );
    assert!(has("worker-3       43 users, 1.5 ms late"), "{lines:?}");
    let curve = lines
        .iter()
        .position(|line| line.contains("Latency p99, last 54 s"))
        .unwrap();
    assert!(lines[curve + 1].contains('█'), "{lines:?}");
}

#[test]
fn nothing_yet_is_a_frame_too() {
    let run = run(Story::default());
    let nothing = mcsp_loadtest_measure::Recorder::new(0).take();
    let live = LiveFrame::new(&run.scenario, &nothing, 0);
    assert_eq!(
        (live.stage, live.users, live.startup_p50_ms),
        (Stage::WarmUp, 0, None)
    );
    let lines = drawn(&live, 80, 24);
    assert!(lines[1].contains("0:00 / 2:00"), "{lines:?}");
}

#[test]
fn no_size_is_too_small_or_too_large() {
    let mut hostile = live(55);
    hostile.scenario = HOSTILE[4].to_owned();
    hostile.workers[0].lost = Some(HOSTILE[1].repeat(20));
    hostile.workers[1].name = HOSTILE[7].repeat(50);
    hostile.latency_history_ms = vec![
        Some(f64::NAN),
        Some(f64::INFINITY),
        None,
        Some(-1.0),
        Some(1e300),
    ];
    hostile.elapsed_s = f64::NAN;
    hostile.rebuffer_ratio = Some(f64::INFINITY);
    hostile.chaos_failed(0, HOSTILE[6]);
    for live in [live(55), hostile, LiveFrame::default()] {
        for width in (1..16).chain([40, 71, 72, 80, 300]) {
            for height in (1..12).chain([24, 100]) {
                for line in drawn(&live, width, height) {
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn lines_are_written_every_five_seconds() {
    let mut out = Vec::new();
    let mut view = PlainView::new(&mut out);
    let mut live = live(55);
    live.scenario = HOSTILE[4].to_owned();
    for tenths in 0..200_u32 {
        live.elapsed_s = f64::from(tenths) / 10.0;
        view.update(&live).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    let starts: Vec<&str> = text.lines().filter_map(|line| line.get(..12)).collect();
    assert_eq!(
        starts,
        [
            "0:00 of 2:00",
            "0:05 of 2:00",
            "0:10 of 2:00",
            "0:15 of 2:00"
        ]
    );
    assert!(
        text.contains("chaos: kill edge-1") && text.contains("3 × truncated-segment"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}

const ROLE: &str = "MCSP_REPORT_TEST_ROLE";
const TAKEN: &str = "\u{1b}[?1049h";
const GIVEN_BACK: &str = "\u{1b}[?1049l";

/// Runs [`on_a_terminal`] on a terminal of its own, types something once the view is there, and gives what the terminal was sent.
fn on_terminal(role: &str, typed: &str) -> String {
    let me = env::current_exe().unwrap();
    let command = format!(
        "stty rows 24 cols 80; exec {} --exact live::on_a_terminal --ignored --nocapture",
        me.display()
    );
    let mut child = Command::new("script")
        .args([
            "--quiet",
            "--flush",
            "--return",
            "--command",
            &command,
            "/dev/null",
        ])
        .env(ROLE, role)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut sent = String::new();
    let mut bytes = [0; 4096];
    let mut is_typed = false;
    // Before the view has the terminal, Ctrl-C is a signal.
    loop {
        let count = stdout.read(&mut bytes).unwrap();
        if count == 0 {
            break;
        }
        sent.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if !is_typed && sent.contains("prime-time") {
            stdin.write_all(typed.as_bytes()).unwrap();
            stdin.flush().unwrap();
            is_typed = true;
        }
    }
    child.wait().unwrap();
    sent
}

#[test]
#[ignore = "the other tests run it on a terminal of its own"]
fn on_a_terminal() {
    let role = env::var(ROLE).unwrap();
    let mut view = LiveView::open(true).unwrap();
    let live = live(55);
    // A minute at most, or more where the machine is busy.
    for _ in 0..6_000 {
        let action = view.update(&live).unwrap();
        assert_ne!(role, "panic", "as it was told");
        if action == LiveAction::Stop {
            drop(view);
            io::stdout().write_all(b"it was stopped").unwrap();
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("nobody stopped it");
}

#[test]
fn keys_stop_a_run_and_the_terminal_is_given_back() {
    for key in ["q", "\u{3}", "\u{1b}", "xyzq"] {
        let sent = on_terminal("keys", key);
        let (before, after) = sent
            .split_once(GIVEN_BACK)
            .unwrap_or_else(|| panic!("{sent:?}"));
        assert!(
            before.contains(TAKEN) && before.contains("prime-time"),
            "{sent:?}"
        );
        assert!(after.contains("it was stopped"), "{key:?} {after:?}");
    }
}

#[test]
fn a_panic_gives_the_terminal_back_before_its_message() {
    let sent = on_terminal("panic", "");
    let (before, after) = sent
        .split_once(GIVEN_BACK)
        .unwrap_or_else(|| panic!("{sent:?}"));
    assert!(before.contains(TAKEN));
    assert!(
        after.contains("as it was told") && !before.contains("as it was told"),
        "{sent:?}"
    );
}

#[test]
fn without_a_terminal_there_is_no_view() {
    let me = env::current_exe().unwrap();
    let output = Command::new("setsid")
        .arg("--wait")
        .arg(me)
        .args(["--exact", "live::on_a_terminal", "--ignored", "--nocapture"])
        .env(ROLE, "none")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error: io::Error| panic!("{error}"));
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("called `Result::unwrap()` on an `Err` value"),
        "{text}"
    );
}
