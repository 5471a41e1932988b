//! Viewers while the node is attacked: beside the same viewers in quiet, and beside the same viewers while the same attack goes
//! to somebody else.
//!
//! Attackers run on this machine too. What they take from viewers by that, of the core, of the caches, of the kernel, is no fault
//! of the node, and the control shows it: the same attack at the same rate, on a [`sink`](super::sink) that does nothing. And
//! where windows of quiet differ among themselves as much as an attack may make a difference, nothing is judged. All attacks
//! together run at a third of their strength each, since in full they leave a small machine's viewers nothing whoever is
//! attacked; what comes of them in full is told too, with its control, and only that nobody is refused is asked of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;

use super::attack::{self, Counts, Kind, Target};
use super::sink::Sink;
use super::viewers::{self, VIEWERS, Viewers, Window};
use super::{Found, Site, fill};
use crate::error::BenchError;
use crate::report::{Better, Row, median};
use crate::server::{NodeLimits, Server};
use crate::sized::path_of;

/// What viewers' latencies may be of those in quiet, at the 99th percentile.
const QUIET_FACTOR: f64 = 2.0;
/// Between an attack's end and the next window.
const RECOVERY: Duration = Duration::from_millis(1_500);
/// Before the first window, and for answers to what was asked for at the end of one.
const SETTLING: Duration = Duration::from_millis(1_500);

/// How much the 99th percentiles of windows of quiet may differ, the third quartile beside the first: with more, an attack's
/// window could be twice one's and half the other's.
const QUIET_SPREAD_MAX: f64 = 1.6;
/// The same for the median of the control's beside that of quiet: with more, the attackers' own load is what is measured.
const CONTROL_FACTOR_MAX: f64 = 1.8;

/// One kind's figures.
struct Measured {
    kind: Kind,
    passes: Vec<Pass>,
}

/// One pass of one kind.
struct Pass {
    quiet: Window,
    control: Window,
    attacked: Window,
}

/// Measures every kind that is asked for.
///
/// # Errors
/// When a process does not start.
pub(super) async fn run(
    site: &Site<'_>,
    tls: &Arc<ClientConfig>,
    say: &dyn Fn(&str),
) -> Result<Found, BenchError> {
    let options = site.options;
    let node = site
        .node("attacked", NodeLimits::Default, &site.shield()?)
        .await?;
    let address = node
        .tls
        .ok_or_else(|| BenchError::Answer("the node has no listener with TLS".to_owned()))?;
    let sink = Sink::start(&site.certificate.folder).await?;
    let prefixes = site.region.prefixes(VIEWERS)?;
    for bytes in viewers::SIZES {
        fill(&node, &site.region.prefix, bytes, viewers::OBJECTS).await?;
    }
    let watching = Viewers::start(address, &prefixes, tls).await?;
    tokio::time::sleep(SETTLING).await;
    let mut siege = Siege {
        site,
        node: &node,
        node_target: Target {
            plain: node.plain,
            tls: address,
        },
        sink_target: sink.target,
        path: format!("{}/{}", site.region.prefix, path_of(viewers::SIZES[1], 0)),
        network: 10,
        watching: &watching,
    };
    let kinds = options.attacks.iter();
    let mut measured: Vec<Measured> = kinds
        .map(|kind| Measured {
            kind: *kind,
            passes: Vec::new(),
        })
        .collect();
    for measured in &measured {
        let kind = measured.kind;
        say(&format!("{}: {}", kind.name(), kind.strength()));
    }
    for number in 1..=options.passes {
        for measured in &mut measured {
            let pass = siege.pass(measured.kind, number, say).await?;
            measured.passes.push(pass);
        }
    }
    let mut faults = watching.faults();
    drop(watching);
    node.stop().await;
    sink.stop().await;
    faults.truncate(3);
    for fault in faults {
        say(&format!("a viewer was not served: {fault}"));
    }
    Ok(judge(&measured))
}

/// What every window needs.
struct Siege<'s> {
    site: &'s Site<'s>,
    node: &'s Server,
    node_target: Target,
    sink_target: Target,
    path: String,
    /// The second number of the attackers' addresses: new ones each time, which owe nothing yet, since what a burst lets through is
    /// part of an attack.
    network: u8,
    watching: &'s Viewers,
}

impl Siege<'_> {
    /// Quiet, then the control and the attack, which change places from pass to pass.
    async fn pass(
        &mut self,
        kind: Kind,
        number: usize,
        say: &dyn Fn(&str),
    ) -> Result<Pass, BenchError> {
        let quiet_from = Instant::now();
        tokio::time::sleep(self.site.options.window).await;
        let quiet_to = Instant::now();
        let is_control_first = number % 2 == 1;
        let (first, second) = match is_control_first {
            true => (self.sink_target, self.node_target),
            false => (self.node_target, self.sink_target),
        };
        let first = self.window(kind, first).await?;
        let second = self.window(kind, second).await?;
        let (control, attacked) = match is_control_first {
            true => (first, second),
            false => (second, first),
        };
        let pass = Pass {
            quiet: self.watching.window(quiet_from, quiet_to),
            control: control.seen,
            attacked: attacked.seen,
        };
        let duration_s = self.site.options.window.as_secs_f64();
        say(&format!(
            "pass {number}: {}: quiet {}; control {} ({}); attacked {} ({}, node at {:.0} % of its core)",
            kind.name(),
            told(&pass.quiet),
            told(&pass.control),
            told_rate(&control.counts, duration_s),
            told(&pass.attacked),
            told_rate(&attacked.counts, duration_s),
            attacked.node_cpu * 100.0,
        ));
        Ok(pass)
    }

    async fn window(&mut self, kind: Kind, target: Target) -> Result<Attacked, BenchError> {
        let duration = self.site.options.window;
        let (from, cpu_s) = (Instant::now(), self.node.cpu_s());
        let certificate = &self.site.certificate.folder;
        let counts = attack::have(
            kind,
            target,
            certificate,
            &self.path,
            self.network,
            duration,
        );
        let counts = counts.await?;
        let to = Instant::now();
        let node_cpu = (self.node.cpu_s() - cpu_s) / to.duration_since(from).as_secs_f64();
        self.network = self.network.checked_add(1).unwrap_or(10);
        tokio::time::sleep(RECOVERY).await;
        Ok(Attacked {
            seen: self.watching.window(from, to),
            counts,
            node_cpu,
        })
    }
}

/// One window of an attack.
struct Attacked {
    seen: Window,
    counts: Counts,
    node_cpu: f64,
}

fn told(window: &Window) -> String {
    format!(
        "p50 {:.0} p99 {:.0} µs (own {:.0}), {} of {} failed",
        window.latencies.us(0.5),
        window.latencies.us(0.99),
        window.lateness.us(0.99),
        window.failed,
        window.failed + window.latencies.count()
    )
}

fn told_rate(counts: &Counts, duration_s: f64) -> String {
    format!(
        "{:.0} connections/s of which {:.0} ended, {:.0} requests/s",
        counts.connected as f64 / duration_s,
        counts.ended as f64 / duration_s,
        counts.requests as f64 / duration_s
    )
}

/// Rows of all kinds, and whether they say anything.
fn judge(measured: &[Measured]) -> Found {
    let all = measured.iter().flat_map(|one| &one.passes);
    let quiet: Vec<&Window> = all.map(|pass| &pass.quiet).collect();
    let quiet_p99: Vec<f64> = quiet.iter().map(|one| one.latencies.us(0.99)).collect();
    let quiet_p50: Vec<f64> = quiet.iter().map(|one| one.latencies.us(0.5)).collect();
    let [first, third] = quartiles(&quiet_p99);
    let mut found = Found::default();
    if third > first * QUIET_SPREAD_MAX {
        found.unjudged = Some(format!(
            "in quiet, viewers' p99 was between {first:.0} and {third:.0} µs in half of the windows: other work disturbs"
        ));
    }
    for Measured { kind, passes } in measured {
        let middle =
            |figure: &dyn Fn(&Pass) -> f64| median(&passes.iter().map(figure).collect::<Vec<_>>());
        let figures = Figures {
            quiet: [median(&quiet_p50), median(&quiet_p99)],
            control: [0.5, 0.99].map(|share| middle(&|pass| pass.control.latencies.us(share))),
            attacked: [0.5, 0.99].map(|share| middle(&|pass| pass.attacked.latencies.us(share))),
            failed: passes.iter().map(|pass| pass.attacked.failed).sum(),
        };
        if found.unjudged.is_none() && kind.is_judged() {
            found.unjudged = figures.doubt(*kind);
        }
        found.rows.extend(figures.rows(*kind));
    }
    found
}

/// The first and the third; 0 of none.
fn quartiles(samples: &[f64]) -> [f64; 2] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    [1, 3].map(|quarter| {
        let at = (sorted.len() * quarter / 4).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    })
}

/// Medians of one kind: at the median and at the 99th percentile, µs.
#[derive(Debug, Clone, Copy)]
struct Figures {
    quiet: [f64; 2],
    control: [f64; 2],
    attacked: [f64; 2],
    failed: usize,
}

impl Figures {
    /// Whether a missed goal may be the machine's doing.
    fn doubt(&self, kind: Kind) -> Option<String> {
        let (quiet, control, attacked) = (self.quiet[1], self.control[1], self.attacked[1]);
        let is_missed = attacked > quiet * QUIET_FACTOR;
        (is_missed && control > quiet * CONTROL_FACTOR_MAX).then(|| {
            format!(
                "{}: viewers' p99 was {control:.0} µs while somebody else was attacked, {quiet:.0} in quiet: the attackers' own load is what is measured",
                kind.name()
            )
        })
    }

    fn rows(&self, kind: Kind) -> Vec<Row> {
        // With its strength, so that no figure stands without it.
        let case = format!("viewers during {}: {}", kind.name(), kind.strength());
        let required = kind.is_judged().then_some(QUIET_FACTOR);
        let row = |name: &str, unit: &str, ours: f64, peer: (&str, f64), goal: f64| {
            let peer = [(peer.0.to_owned(), peer.1)];
            Row::best_of(&case, name, unit, ours, &peer, (Better::Less, goal))
        };
        let quiet = |at: usize| ("the same viewers in quiet", self.quiet[at]);
        let control = (
            "the same viewers while somebody else is attacked",
            self.control[1],
        );
        let failed = self.failed as f64;
        [
            row("p50", "µs", self.attacked[0], quiet(0), QUIET_FACTOR)
                .map(|row| row.required(None)),
            row("p99", "µs", self.attacked[1], quiet(1), QUIET_FACTOR)
                .map(|row| row.required(required)),
            row(
                "p99 beside the control's",
                "µs",
                self.attacked[1],
                control,
                QUIET_FACTOR,
            )
            .map(|row| row.required(None)),
            // Nothing may fail, whatever does in quiet.
            row(
                "failed",
                "requests",
                failed,
                ("the same viewers in quiet", 0.0),
                1.0,
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shield::latencies::Latencies;

    fn window(p99_us: f64, failed: usize) -> Window {
        Window {
            latencies: Latencies::of(vec![(p99_us * 1_000.0) as u64; 100]),
            lateness: Latencies::default(),
            failed,
        }
    }

    fn found(passes: &[(f64, f64, f64)], failed: usize) -> Found {
        found_of(Kind::RapidReset, passes, failed)
    }

    fn found_of(kind: Kind, passes: &[(f64, f64, f64)], failed: usize) -> Found {
        let pass = |(quiet, control, attacked): &(f64, f64, f64)| Pass {
            quiet: window(*quiet, 0),
            control: window(*control, 0),
            attacked: window(*attacked, failed),
        };
        let passes = passes.iter().map(pass).collect();
        judge(&[Measured { kind, passes }])
    }

    fn is_met(found: &Found) -> bool {
        found.rows.iter().all(|row| row.acceptable)
    }

    #[test]
    fn viewers_may_wait_twice_as_long_and_none_may_fail() {
        let good = (100.0, 110.0, 190.0);
        let spoiled_once = found(&[good, good, (100.0, 110.0, 900.0)], 0);
        assert!(is_met(&spoiled_once) && spoiled_once.unjudged.is_none());
        let slow = found(&[(100.0, 110.0, 210.0)], 0);
        assert!(!is_met(&slow) && slow.unjudged.is_none());
        assert!(!is_met(&found(&[good], 1)));
    }

    #[test]
    fn what_the_machine_disturbs_is_not_judged() {
        let unquiet = [100.0, 300.0, 90.0, 250.0].map(|quiet| (quiet, 110.0, 120.0));
        let told = found(&unquiet, 0).unjudged;
        assert!(told.is_some_and(|told| told.contains("between 100 and 300")));
        // The attackers' load alone makes viewers wait.
        let shared = found(&[(100.0, 190.0, 210.0)], 0).unjudged;
        assert!(shared.is_some_and(|told| told.contains("190 µs while somebody else")));
        // What is good all the same is good.
        let good = found(&[(100.0, 190.0, 195.0)], 0);
        assert!(is_met(&good) && good.unjudged.is_none());
    }

    #[test]
    fn all_attacks_in_full_are_told_and_only_failures_are_judged() {
        let (slow, load) = ((100.0, 110.0, 900.0), (100.0, 900.0, 950.0));
        for pass in [slow, load] {
            let told = found_of(Kind::TogetherFull, &[pass], 0);
            assert!(is_met(&told) && told.unjudged.is_none());
            assert!(told.rows.iter().any(|row| row.ours == pass.2));
            assert!(!is_met(&found_of(Kind::TogetherFull, &[pass], 1)));
        }
        assert!(!is_met(&found_of(Kind::Together, &[slow], 0)));
        assert!(found_of(Kind::Together, &[load], 0).unjudged.is_some());
    }

    #[test]
    fn figures_say_how_strong_the_attack_was() {
        for kind in Kind::ALL {
            let rows = found_of(kind, &[(100.0, 110.0, 120.0)], 0).rows;
            assert!(rows.iter().all(|row| row.case.contains(&kind.strength())));
        }
    }
}
