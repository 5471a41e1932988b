//! Metrics in Prometheus' text format, as far as they tell what a process uses.

use super::process::Usage;

/// What a node's metrics tell.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Metrics {
    pub(super) usage: Usage,
}

impl Metrics {
    /// Reads what [Prometheus' client libraries](https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics) say
    /// of every process, and what edge nodes say of their connections, whosever they are; lines that are something else are skipped.
    pub(super) fn parse(text: &str) -> Self {
        let mut usage = Usage::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            // Labels may have spaces in them, and a time may come after the value.
            let (name, rest) = match line.split_once('{') {
                Some((name, rest)) => (name, rest.rsplit_once('}').map(|(_, rest)| rest)),
                None => match line.split_once(' ') {
                    Some((name, rest)) => (name, Some(rest)),
                    None => continue,
                },
            };
            let value = rest.and_then(|rest| rest.split_ascii_whitespace().next());
            let Some(Ok(value)) = value.map(str::parse::<f64>) else {
                continue;
            };
            let more = |sum: &mut Option<f64>| *sum = Some(sum.unwrap_or(0.0) + value);
            if !value.is_finite() || value < 0.0 {
                continue;
            }
            match name {
                "process_cpu_seconds_total" => usage.cpu_s = Some(value),
                "process_resident_memory_bytes" => usage.memory_bytes = Some(value as u64),
                "process_network_receive_bytes_total"
                | "mcsp_edge_network_received_bytes_total" => more(&mut usage.received_bytes),
                "process_network_transmit_bytes_total" | "mcsp_edge_network_sent_bytes_total" => {
                    more(&mut usage.sent_bytes);
                }
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

    #[test]
    fn bytes_of_all_of_an_edge_nodes_connections_are_added_up() {
        let text = "# TYPE mcsp_edge_network_received_bytes_total counter\n\
                    mcsp_edge_network_received_bytes_total{peers=\"clients\"} 7\n\
                    mcsp_edge_network_received_bytes_total{peers=\"up} streams\"} 1e3 1790000000000\n\
                    mcsp_edge_network_sent_bytes_total{peers=\"clients\"} 2000000\nbroken{\n";
        let usage = Metrics::parse(text).usage;
        assert_eq!(
            (usage.received_bytes, usage.sent_bytes),
            (Some(1_007.0), Some(2_000_000.0))
        );
    }
}
