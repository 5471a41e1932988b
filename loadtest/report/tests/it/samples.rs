//! Samples for people to look at, in the target folder's `tmp/load-report`.

use std::fs;
use std::path::Path;

use mcsp_loadtest_report::{CompareOptions, compare, html, json, junit, text_summary};

use crate::live::{drawn, live};
use crate::made::{Story, recorded};

#[test]
fn samples_are_written() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("load-report");
    fs::create_dir_all(&folder).unwrap();
    let pass = recorded(Story::default());
    let fail = recorded(Story {
        has_chaos: true,
        has_faults: true,
        seed: 1,
        ..Story::default()
    });
    let slow = recorded(Story {
        slower_us: 200_000,
        seed: 2,
        ..Story::default()
    });
    for (name, run) in [("pass", &pass), ("fail", &fail), ("slow", &slow)] {
        fs::write(folder.join(format!("{name}.html")), html(run)).unwrap();
        fs::write(folder.join(format!("{name}.json")), json(run).unwrap()).unwrap();
        fs::write(folder.join(format!("{name}.xml")), junit(run)).unwrap();
        let text = text_summary(run, 80, true);
        fs::write(folder.join(format!("{name}.txt")), text).unwrap();
    }
    for (width, height) in [(80, 24), (120, 40), (40, 12)] {
        let lines = drawn(&live(55), width, height).join("\n");
        fs::write(folder.join(format!("live-{width}x{height}.txt")), lines).unwrap();
    }
    let comparison = compare(&pass, &slow, CompareOptions::default()).unwrap();
    fs::write(folder.join("compare.txt"), comparison.text(80, true)).unwrap();
}
