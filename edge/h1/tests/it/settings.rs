//! Limits and metrics.

use mcsp_edge_h1::{CloseReason, Closed, H1Metrics, Limits, Refusal};
use prometheus::Registry;

#[test]
fn defaults_are_valid_and_what_is_not_is_named() {
    Limits::default().validate().unwrap();
    let limits = Limits {
        target_bytes_max: 7999,
        ..Limits::default()
    };
    assert_eq!(
        limits.validate().unwrap_err().to_string(),
        "target_bytes_max = 7999: expected 8000 to 65000"
    );
}

#[test]
fn refusals_and_ends_are_counted_by_reason() {
    let registry = Registry::new();
    let metrics = H1Metrics::register(&registry).unwrap();
    metrics.refused(Refusal::BareLf);
    metrics.closed(&Closed {
        reason: CloseReason::Refused(Refusal::BareLf),
        requests: 0,
    });
    let counts: Vec<(String, String, f64)> = registry
        .gather()
        .iter()
        .flat_map(|family| {
            family.get_metric().iter().map(|metric| {
                let reason = metric.get_label()[0].value().to_owned();
                (
                    family.name().to_owned(),
                    reason,
                    metric.get_counter().get_value(),
                )
            })
        })
        .collect();
    let count = |name: &str, reason: &str| {
        let found = counts.iter().find(|row| row.0 == name && row.1 == reason);
        found.map(|row| row.2)
    };
    assert_eq!(count("mcsp_edge_h1_refused_total", "bare_lf"), Some(1.0));
    assert_eq!(count("mcsp_edge_h1_closed_total", "refused"), Some(1.0));
    for refusal in Refusal::ALL {
        assert!(
            count("mcsp_edge_h1_refused_total", refusal.label()).is_some(),
            "{refusal}"
        );
    }
}
