//! The HTML page.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mcsp_loadtest_measure::{Results, VerdictKind};
use mcsp_loadtest_report::{Recorded, html};
use proptest::prelude::*;

use crate::any::{HOSTILE, any_recorded};
use crate::made::{Story, recorded, run};
use crate::xml::{Element, check_page};

fn failing() -> Recorded {
    recorded(Story {
        has_chaos: true,
        has_faults: true,
        seed: 1,
        ..Story::default()
    })
}

fn of_class<'a>(all: &'a [Element], class: &str) -> Vec<&'a Element> {
    let has = |element: &&Element| {
        let classes = element.attributes.get("class");
        classes.is_some_and(|classes| classes.split(' ').any(|own| own == class))
    };
    all.iter().filter(has).collect()
}

fn with_id<'a>(all: &'a [Element], id: &str) -> &'a Element {
    all.iter()
        .find(|element| element.attributes.get("id").is_some_and(|own| own == id))
        .unwrap_or_else(|| panic!("{id}"))
}

#[test]
fn a_failure_is_understood_at_a_glance() {
    let all = check_page(&html(&failing()));
    assert_eq!(
        of_class(&all, "verdict")[0].attributes["class"],
        "verdict fail"
    );
    assert_eq!(of_class(&all, "word")[0].text, "Fail");
    assert_eq!(
        of_class(&all, "say")[0].text,
        "Segments are cut short (3 times), manifests are out of date (1 time), what had to hold did not (2 times), and 4 of 5 SLOs \
         are not met (quick-start, smooth, segments-in-time, …)."
    );
    let slos = with_id(&all, "slos");
    assert!(
        slos.text
            .contains("quick-startStart-up time, p95✕ missed3.11\u{a0}sat most 2\u{a0}s"),
        "{}",
        slos.text
    );
    let found = with_id(&all, "found");
    assert!(found.text.contains("Segments are cut short: 3 times"));
    assert!(found.text.contains("/media/ng/c_ng_0042/v720/31.m4s"));
    assert!(found.text.contains("118,204 bytes of 262,144 came"));
}

#[test]
fn unmet_slos_come_first_and_each_has_a_bar() {
    let all = check_page(&html(&failing()));
    let signs: Vec<&str> = of_class(&all, "sign")
        .iter()
        .map(|sign| sign.text.as_str())
        .collect();
    // Five SLOs, then three that had to hold during two chaos steps.
    assert_eq!(
        signs,
        [
            "✕ missed",
            "✕ missed",
            "✕ missed",
            "✕ missed",
            "✓ met",
            "✕ missed",
            "✕ missed",
            "✓ met"
        ]
    );
    assert_eq!(of_class(&all, "bar").len(), signs.len());
}

#[test]
fn a_single_missed_slo_is_said_with_its_numbers() {
    let mut run = run(Story::default());
    run.scenario.slo.retain(|slo| slo.name == "quick-start");
    run.scenario.slo[0].at_most = Some(500.0);
    let all = check_page(&html(&Recorded::new(Results::conclude(run), "0.1.0")));
    assert_eq!(
        of_class(&all, "say")[0].text,
        "Start-up time, p95 was 982\u{a0}ms, and at most 500\u{a0}ms was asked for."
    );
}

#[test]
fn a_pass_says_so_and_has_every_graph() {
    let all = check_page(&html(&recorded(Story::default())));
    assert_eq!(
        of_class(&all, "verdict")[0].attributes["class"],
        "verdict pass"
    );
    assert_eq!(
        of_class(&all, "say")[0].text,
        "All 5 SLOs are met, and nothing wrong was found."
    );
    for id in [
        "g-startup",
        "g-rebuffer",
        "g-bitrate",
        "g-users",
        "g-arrivals",
        "g-requests",
        "g-hits",
        "g-sources",
        "g-heat-media-w",
        "g-heat-media-n",
        "g-heat-api-w",
        "g-quantiles",
        "g-media",
        "g-lag",
        "g-cpu",
        "g-memory",
        "g-sent",
        "g-received",
        "g-connections",
        "g-up",
    ] {
        let title = with_id(&all, &format!("{id}-t"));
        assert_eq!(title.name, "title", "{id}");
    }
    // Nothing failed: no empty graph, but a sentence.
    assert!(with_id(&all, "time").text.contains("No request failed."));
    assert!(
        with_id(&all, "scenario")
            .text
            .contains("name = \"prime-time\"")
    );
}

#[test]
fn what_the_tool_spoilt_is_no_verdict_about_the_system() {
    let mut run = run(Story::default());
    run.workers.lost = vec!["10.0.0.7: connection reset".to_owned()];
    let lost = Recorded::new(Results::conclude(run), "0.1.0");
    assert_eq!(lost.results.verdict.kind, VerdictKind::Incomplete);
    let all = check_page(&html(&lost));
    assert_eq!(of_class(&all, "word")[0].text, "Incomplete");
    assert!(
        of_class(&all, "say")[0]
            .text
            .contains("10.0.0.7: connection reset")
    );
    assert_eq!(lost.exit_status(), 3);
}

#[test]
fn chaos_steps_are_marked_on_every_time_axis() {
    let (calm, stormy) = (
        check_page(&html(&recorded(Story::default()))),
        check_page(&html(&failing())),
    );
    assert_eq!(of_class(&calm, "chaos-edge").len(), 0);
    let graphs = |all: &[Element]| {
        all.iter()
            .filter(|element| {
                element
                    .attributes
                    .get("role")
                    .is_some_and(|role| role == "img")
            })
            .count()
    };
    // All but the distribution, which has no time.
    assert_eq!(
        of_class(&stormy, "chaos-edge").len(),
        (graphs(&stormy) - 1) * 2
    );
    assert_eq!(of_class(&stormy, "number").len(), (graphs(&stormy) - 1) * 2);
}

#[test]
fn only_its_own_style_sheet_is_admitted() {
    let page = html(&failing());
    let all = check_page(&page);
    let style = all.iter().find(|element| element.name == "style").unwrap();
    let hash = STANDARD.encode(digest(&SHA256, style.text.as_bytes()));
    let policy = all
        .iter()
        .find(|element| {
            element
                .attributes
                .get("http-equiv")
                .is_some_and(|name| name == "Content-Security-Policy")
        })
        .unwrap();
    assert_eq!(
        policy.attributes["content"],
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"
        )
    );
    for foreign in ["@import", "url(http", "url(data", "//"] {
        assert!(!style.text.contains(foreign), "{foreign}");
    }
}

#[test]
fn of_many_nodes_those_that_stand_out_are_drawn() {
    let mut run = run(Story::default());
    let node = run.nodes[0].clone();
    run.nodes = (0..30)
        .map(|number| {
            let mut node = node.clone();
            node.name = format!("node-{number:02}");
            for sample in &mut node.samples {
                sample.cpu_cores = Some(f64::from(number));
                sample.is_up = number != 3;
                sample.send_bytes_s = None;
            }
            node
        })
        .collect();
    let all = check_page(&html(&Recorded::new(Results::conclude(run), "0.1.0")));
    let figure = |title: &str| {
        let of = |element: &&Element| element.name == "figure" && element.text.contains(title);
        all.iter().find(of).unwrap().text.clone()
    };
    let processor = figure("Processors in use.");
    assert!(processor.contains("node-29 max 29\u{a0}cores") && processor.contains("node-22 "));
    assert!(!processor.contains("node-21 "));
    assert!(figure("asked for its metrics").contains("node-03 min 0\u{a0}%"));
    assert!(
        with_id(&all, "nodes")
            .text
            .contains("The nodes do not tell: network, sent.")
    );
}

#[test]
fn lines_go_over_short_gaps_and_not_over_outages() {
    let all = check_page(&html(&failing()));
    let graph = |id: &str| {
        let from = all.iter().position(|element| {
            element
                .attributes
                .get("id")
                .is_some_and(|own| *own == format!("{id}-t"))
        });
        let from = from.unwrap();
        let after = all[from..]
            .iter()
            .position(|element| element.name == "figure");
        all[from..after.map_or(all.len(), |after| from + after)].to_vec()
    };
    // edge-1 was dead for 16 s: its line is in two pieces, that of edge-2 in one.
    let pieces: Vec<usize> = of_class(&graph("g-cpu"), "line")
        .iter()
        .map(|line| line.attributes["d"].matches('M').count())
        .collect();
    assert_eq!(pieces[..2], [2, 1]);
    assert_eq!(of_class(&graph("g-cpu"), "bridge").len(), 0);
}

#[test]
fn labels_do_not_overlap() {
    let all = check_page(&html(&failing()));
    let mut rows: std::collections::BTreeMap<String, f64> = std::collections::BTreeMap::new();
    for element in &all {
        match (
            element.name.as_str(),
            element.attributes.get("class").map(String::as_str),
        ) {
            ("svg", _) => rows.clear(),
            ("text", Some("mid")) => {
                let x: f64 = element.attributes["x"].parse().unwrap();
                let half = element.text.chars().count() as f64 * 3.0;
                let free_from = rows
                    .entry(element.attributes["y"].clone())
                    .or_insert(f64::MIN);
                assert!(x - half >= *free_from, "{}", element.text);
                *free_from = x + half;
            }
            _ => {}
        }
    }
}

#[test]
fn text_stands_out_from_what_is_behind_it() {
    let page = html(&recorded(Story::default()));
    let style = page
        .split_once("<style>")
        .unwrap()
        .1
        .split_once("</style>")
        .unwrap()
        .0;
    let mut schemes = style
        .split("color-scheme: light dark;")
        .nth(1)
        .unwrap()
        .split("prefers-color-scheme: dark");
    for scheme in [schemes.next().unwrap(), schemes.next().unwrap()] {
        let scheme = scheme.split("\n* {").next().unwrap();
        let colour = |name: &str| {
            let value = scheme.split_once(&format!("--{name}: #")).unwrap().1;
            luminance(value.get(..6).unwrap())
        };
        for (name, least) in [
            ("ink", 7.0),
            ("soft", 4.5),
            ("link", 4.5),
            ("good", 4.5),
            ("bad", 4.5),
            ("edge", 4.5),
            ("c0", 3.0),
            ("c1", 3.0),
            ("c2", 3.0),
            ("c3", 3.0),
            ("c4", 3.0),
            ("c5", 3.0),
            ("c6", 3.0),
            ("c7", 3.0),
        ] {
            for behind in ["page", "card"] {
                let (a, b) = (colour(name), colour(behind));
                let contrast = (a.max(b) + 0.05) / (a.min(b) + 0.05);
                assert!(contrast >= least, "{name} on {behind}: {contrast:.2}");
            }
        }
    }
}

/// By WCAG 2.2.
fn luminance(hex: &str) -> f64 {
    let channel = |at: usize| {
        let value =
            f64::from(u8::from_str_radix(hex.get(at..at + 2).unwrap(), 16).unwrap()) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    0.2126 * channel(0) + 0.7152 * channel(2) + 0.0722 * channel(4)
}

#[test]
fn a_run_without_anything_has_a_page() {
    let mut run = run(Story::default());
    run.seen = mcsp_loadtest_measure::Recorder::new(0).take();
    run.nodes.clear();
    run.took_us = 0;
    let page = html(&Recorded::new(Results::conclude(run), ""));
    check_page(&page);
    assert!(page.contains("No request was made after the warm-up."));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_run_has_a_page(recorded in any_recorded()) {
        let page = html(&recorded);
        let all = check_page(&page);
        let text = &all[0].text;
        // What was given is there to be read, and was not taken for markup.
        for hostile in HOSTILE.iter().filter(|hostile| recorded.results.scenario.name == **hostile) {
            let shown: String = hostile
                .chars()
                .map(|c| match c {
                    '\r' | '\n' => ' ',
                    '\u{202e}' => '\u{fffd}',
                    c if c.is_control() => '\u{fffd}',
                    c => c,
                })
                .collect();
            prop_assert!(text.contains(&shown), "{hostile:?}");
        }
    }
}
