//! Metrics in Prometheus' text format, as far as they tell what a process uses.

use super::process::Usage;

/// What a node's metrics tell.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Metrics {
    pub(super) usage: Usage,
}

impl Metrics {
    /// Reads what [Prometheus' client libraries](https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics) say
    /// of every process; lines that are something else are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let mut usage = Usage::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse::<f64>))
            else {
                continue;
            };
            if !value.is_finite() || value < 0.0 {
                continue;
            }
            match name {
                "process_cpu_seconds_total" => usage.cpu_s = Some(value),
                "process_resident_memory_bytes" => usage.memory_bytes = Some(value as u64),
                "process_network_receive_bytes_total" => usage.received_bytes = Some(value),
                "process_network_transmit_bytes_total" => usage.sent_bytes = Some(value),
                _ => {}
            }
        }
        Self { usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_process_tells_is_read_and_the_rest_is_skipped() {
        let text = "# HELP process_cpu_seconds_total s\nprocess_cpu_seconds_total 12.5\nprocess_resident_memory_bytes 1e6\n\
                    mcsp_requests_total{route=\"a b\"} 7\nprocess_network_transmit_bytes_total NaN\nbroken\n";
        let usage = Metrics::parse(text).usage;
        assert_eq!(
            (usage.cpu_s, usage.memory_bytes),
            (Some(12.5), Some(1_000_000))
        );
        assert_eq!((usage.sent_bytes, usage.received_bytes), (None, None));
    }
}
