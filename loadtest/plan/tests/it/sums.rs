use std::path::Path;

use mcsp_loadtest_plan::{Inputs, MeasuredCosts, PlanError, Source, Unit, Year, plan, table};
use proptest::prelude::*;

fn with(given: &[(&str, f64)]) -> Inputs {
    let mut inputs = Inputs::of_year(Year::One);
    for (name, value) in given {
        inputs.set(name, *value).unwrap();
    }
    inputs
}

fn value(inputs: &Inputs, section: &str, name: &str) -> f64 {
    plan(inputs).unwrap().value(section, name).unwrap()
}

#[test]
fn the_stated_scale_comes_out_as_stated() {
    let (one, three) = (Inputs::of_year(Year::One), Inputs::of_year(Year::Three));
    assert!((value(&one, "demand", "egress at peak") - 1.5e12).abs() < 1.0);
    assert!((value(&three, "demand", "egress at peak") - 6e12).abs() < 1.0);
    // 15 % of 1.5 Tbit/s.
    assert!((value(&one, "origin", "origin egress at peak") - 225e9).abs() < 1.0);
    assert!((value(&three, "origin", "origin egress at peak") - 900e9).abs() < 1.0);
    assert!(value(&three, "total", "edge nodes") > value(&one, "total", "edge nodes"));
}

#[test]
fn a_small_plan_is_what_it_is_by_hand() {
    let inputs = with(&[
        ("viewers", 900.0),
        ("nigeria_share", 1.0),
        ("stated_viewer_bit_s", 0.0),
        ("video_share", 1.0),
        ("video_bit_s", 4e6),
        ("pop_hit_ratio", 0.5),
        ("zipf_s", 0.5),
        ("items", 1000.0),
        ("rendition_ratio", 1.0),
        ("media_core_s_gb", 1.0),
        ("handshake_core_us", 1000.0),
        ("session_s", 900.0),
        ("api_requests_viewer_s", 1.0),
        ("api_core_us", 100.0),
        ("core_use_ratio", 0.5),
        ("mean_to_peak_ratio", 0.5),
        ("write_amplification", 1.0),
    ]);
    let of = |section, name| value(&inputs, section, name);
    assert!(
        (of("nigeria", "egress a PoP") - 3.6e9).abs() < 1.0,
        "one of two PoPs is lost"
    );
    // 0.45 GB/s at 1 s/GB; one handshake a second at 1 ms; 900 requests at 100 µs; half used.
    assert!((of("nigeria", "cores a PoP") - (0.45 + 0.001 + 0.09) / 0.5).abs() < 1e-9);
    // 0.5² of 1000 items of 2 GB.
    assert!((of("demand", "cached bytes a PoP") - 500e9).abs() < 1.0);
    // 0.45 GB/s, half at the mean, half missed, a day.
    assert!((of("nigeria", "written a day") - 0.45e9 * 0.25 * 86_400.0).abs() < 1.0);
    assert_eq!(of("nigeria", "disks by write endurance"), 2.0);
    assert_eq!(
        (of("nigeria", "nodes a PoP"), of("nigeria", "nodes")),
        (2.0, 4.0),
        "N+1, two PoPs"
    );
    assert!((of("origin", "storage") - 1000.0 * 2e9 * 2.0 * 2.0).abs() < 1.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_demand_never_needs_less(
        name in prop::sample::select(vec!["viewers", "video_bit_s", "stated_viewer_bit_s", "media_core_s_gb", "api_core_us", "api_requests_viewer_s", "handshake_core_us", "items", "uploads_day", "copies", "write_amplification"]),
        factor in 1.0..20.0_f64,
    ) {
        let few = with(&[]);
        let mut more = few.clone();
        more.set(name, few.get(name) * factor).unwrap();
        let (few, more) = (plan(&few).unwrap(), plan(&more).unwrap());
        for line in &few.lines {
            // A PoP that gets more nodes gives each of them less, and so to its spare one too.
            if line.name.ends_with("a node") || matches!(line.name, "edge disks" | "edge memory") {
                continue;
            }
            let now = more.value(line.section, line.name).unwrap();
            prop_assert!(now >= line.value * (1.0 - 1e-12), "{name} × {factor}: {} {}: {} to {now}", line.section, line.name, line.value);
        }
    }

    #[test]
    fn more_headroom_and_better_hits_spare_links(hit in 0.0..1.0_f64, better in 0.0..1.0_f64, used in 0.1..1.0_f64) {
        let (low, high) = (hit.min(better), hit.max(better));
        let fills = |hit| value(&with(&[("pop_hit_ratio", hit), ("link_use_ratio", used)]), "nigeria", "link for fills a PoP");
        prop_assert!(fills(high) <= fills(low));
        let origin = |offload| value(&with(&[("offload_ratio", offload)]), "origin", "origin egress at peak");
        prop_assert!(origin(high) <= origin(low));
        let hot = |hit| value(&with(&[("pop_hit_ratio", hit)]), "demand", "catalogue share that is hot");
        prop_assert!((0.0..=1.0).contains(&hot(low)) && hot(high) >= hot(low));
    }

    #[test]
    fn everything_is_finite_counted_in_whole_nodes_and_enough(viewers in 1.0..1e8_f64, cores in 1.0..256.0_f64, hit in 0.0..=1.0_f64, zipf_s in 0.0..0.99_f64) {
        let inputs = with(&[("viewers", viewers), ("node_cores", cores), ("pop_hit_ratio", hit), ("zipf_s", zipf_s)]);
        let plan = plan(&inputs).unwrap();
        for line in &plan.lines {
            prop_assert!(line.value.is_finite() && line.value >= 0.0, "{line:?}");
            prop_assert!(!line.formula.is_empty());
        }
        for section in ["nigeria", "elsewhere"] {
            let of = |name| plan.value(section, name).unwrap();
            let working = of("nodes a PoP") - 1.0;
            prop_assert_eq!(working.fract(), 0.0);
            prop_assert!(working * cores >= of("cores a PoP") * (1.0 - 1e-12), "with one node lost");
            prop_assert!(working * of("disks a node") >= of("disks a PoP"));
            prop_assert!(of("disks a node") <= inputs.get("node_disks_max"));
            prop_assert!(of("link a node") <= inputs.get("node_link_bit_s") * (1.0 + 1e-12));
        }
    }

    #[test]
    fn units_are_consistent(scale in 1.0..1000.0_f64) {
        // Larger disks by so much are fewer by so much: bytes over bytes has no unit of its own.
        let base = with(&[]);
        let cache = value(&base, "demand", "cached bytes a PoP");
        let disk = base.get("disk_bytes") * scale;
        let by_size = value(&with(&[("disk_bytes", disk)]), "nigeria", "disks by size");
        prop_assert_eq!(by_size, (cache / (disk * base.get("disk_use_ratio"))).ceil());
        // Bits are eight to a byte, once.
        let egress = value(&base, "nigeria", "egress a PoP");
        let media = value(&with(&[("media_core_s_gb", scale)]), "nigeria", "cores for media");
        prop_assert!((media - egress / 8.0 / 1e9 * scale).abs() < 1e-6 * media);
    }

    #[test]
    fn no_line_is_wider_than_the_terminal(columns in 40_usize..200, viewers in 1.0..1e11_f64) {
        let text = table(&plan(&with(&[("viewers", viewers)])).unwrap(), columns);
        for line in text.lines() {
            prop_assert!(line.chars().count() <= columns, "{line:?}");
            prop_assert!(!line.ends_with(' '));
        }
    }
}

#[test]
fn the_table_shows_every_number_its_formula_and_its_source() {
    let plan = plan(&Inputs::of_year(Year::One)).unwrap();
    let text = table(&plan, 80);
    for word in [
        "1.5 Tbit/s",
        "= 150 000 viewers × 10 Mbit/s",
        "assumed: ",
        "stated: ",
        "NIGERIA",
        "TOTAL",
    ] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["schema"], "mcsp-load/plan/1");
    assert_eq!(json["lines"].as_array().unwrap().len(), plan.lines.len());
    assert_eq!(
        json["inputs"][0]["source"],
        "stated: the product's scale to plan for"
    );
}

#[test]
fn what_cannot_be_planned_is_refused_by_name() {
    let mut inputs = Inputs::of_year(Year::One);
    assert!(matches!(
        inputs.set("viwers", 1.0),
        Err(PlanError::Unknown { .. })
    ));
    for (name, value) in [
        ("viewers", 0.0),
        ("pop_hit_ratio", 1.1),
        ("core_use_ratio", 0.0),
        ("viewers", f64::NAN),
    ] {
        assert!(
            matches!(inputs.set(name, value), Err(PlanError::Range { .. })),
            "{name} = {value}"
        );
    }
    inputs.set("nigeria_pops_lost", 2.0).unwrap();
    assert!(
        plan(&inputs)
            .unwrap_err()
            .to_string()
            .contains("nigeria_pops_lost = 2")
    );
}

#[test]
fn a_measured_cost_takes_the_place_of_the_assumed_one_and_says_so() {
    let path = Path::new("target/bench/edge-cache.json");
    let text = r#"{"commit": "abc", "cores": 2, "rows": [
        {"case": "ours, signed media: 2 MiB, h2 TLS 1.3, memory, c=32", "metric": "CPU", "unit": "s/GB", "ours": 0.5, "peer": 1},
        {"case": "ours, signed media: 2 MiB, h1 TLS 1.3, disk, c=32", "metric": "CPU", "unit": "s/GB", "ours": 0.75, "peer": 1},
        {"case": "ours, plain route: 2 MiB, h1, disk, c=32", "metric": "CPU", "unit": "s/GB", "ours": 9.0, "peer": 1},
        {"case": "ours, plain route: 1 KiB, h1 TLS 1.3, disk, c=32", "metric": "CPU", "unit": "s/GB", "ours": 90.0, "peer": 1}]}"#;
    let costs = MeasuredCosts::parse(text, path).unwrap();
    let inputs = Inputs::of_year(Year::One).with_measured(&costs);
    let figure = inputs
        .figures()
        .iter()
        .find(|figure| figure.name == "media_core_s_gb")
        .unwrap();
    assert_eq!((figure.value, figure.unit), (0.75, Unit::SPerGb));
    assert!(
        matches!(&figure.source, Source::Measured(source) if source.contains("edge-cache.json at abc"))
    );
    let mut given = inputs.clone();
    given.set("media_core_s_gb", 0.3).unwrap();
    assert!(
        given
            .figures()
            .iter()
            .any(|figure| figure.source == Source::Given)
    );
    assert!(
        MeasuredCosts::load(Path::new("/no/such/file"))
            .unwrap()
            .is_none()
    );
    assert!(MeasuredCosts::parse("{\"rows\": []}", path).is_err());
}
