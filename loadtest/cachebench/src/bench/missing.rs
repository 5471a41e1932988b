//! What a table has to have.
//!
//! Every case that was asked for, and every other that is shown, has to have a figure for each of our routes, and each peer that was
//! asked for has to have been tried. A peer that was tried and could not do it (Varnish behind hitch does not get a thousand
//! connections' 2 MiB through in time) has no figure: the table says why, row by row, and ours is beside the best of the others. That
//! fails nothing, since what a peer cannot do is no bar; but one that was not tried might have been the best, and a case in which
//! every peer failed has nothing that ours could be beside. These, and whatever of ours is not there, are goals that are not met.

use std::collections::BTreeSet;

use super::samples::{Measured, Samples};
use super::{Case, Contender};
use crate::server::Kind;

/// Our routes: both have to do everything.
const OURS: [Contender; 2] = [Contender::Media, Contender::Plain(Kind::Node)];

/// What has to be there and is not, each in a line.
pub(super) fn missing(asked: &[Case], peers: &[Kind], samples: &Samples) -> Vec<String> {
    let tried = samples.cases();
    let cases: BTreeSet<&Case> = asked.iter().chain(tried.keys()).collect();
    let mut lines = Vec::new();
    for case in cases {
        let of_case = match tried.get(case) {
            Some(measured) => missing_in(measured, peers),
            None => vec!["not measured".to_owned()],
        };
        let of_case = of_case
            .iter()
            .map(|what| format!("{}: {what}", case.name()));
        lines.extend(of_case);
    }
    lines
}

fn missing_in(measured: &Measured<'_>, peers: &[Kind]) -> Vec<String> {
    let of = |contender: Contender| measured.iter().find(|(who, _)| *who == contender);
    let has_figures = |contender| of(contender).is_some_and(|(_, tried)| !tried.samples.is_empty());
    let mut lines: Vec<String> = OURS
        .into_iter()
        .filter(|contender| !has_figures(*contender))
        .map(|contender| format!("{} has no figures", contender.name()))
        .collect();
    let peers = peers.iter().map(|kind| Contender::Plain(*kind));
    let is_tried = |contender: &Contender| {
        of(*contender)
            .is_some_and(|(_, tried)| !tried.samples.is_empty() || !tried.failures.is_empty())
    };
    lines.extend(
        peers
            .filter(|contender| !is_tried(contender))
            .map(|contender| format!("{} was not tried", contender.name())),
    );
    let has_peer = measured
        .iter()
        .any(|(who, _)| who.kind() != Kind::Node && has_figures(*who));
    if !has_peer {
        lines.push("no peer has figures".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::samples::tests::sample;
    use crate::bench::{Protocol, Tier, cases};

    const PEERS: [Kind; 3] = [Kind::NginxTuned, Kind::Varnish, Kind::TrafficServer];
    const CASE: Case = Case {
        object_bytes: 2 << 20,
        protocol: Protocol::Tls,
        tier: Tier::Memory,
        connections: 1000,
    };
    const NAME: &str = "2 MiB, h1 TLS 1.3, memory, c=1000";

    fn contenders() -> impl Iterator<Item = Contender> {
        OURS.into_iter().chain(PEERS.map(Contender::Plain))
    }

    /// All but one of these cases' contenders have a figure; what came of that one is as said, or it was not tried.
    fn all_but(cases: &[Case], left_out: Option<Contender>, failure: Option<&str>) -> Samples {
        let mut samples = Samples::default();
        for (case, who) in cases
            .iter()
            .flat_map(|case| contenders().map(|who| (*case, who)))
        {
            let is_left_out = left_out == Some(who);
            match failure {
                Some(reason) if is_left_out => samples.add(case, who, Err(reason.to_owned())),
                None if is_left_out => {}
                _ => samples.add(case, who, Ok(sample(1.0))),
            }
        }
        samples
    }

    #[test]
    fn nothing_is_missing_of_a_whole_table() {
        let samples = all_but(&cases(), None, None);
        assert!(missing(&cases(), &PEERS, &samples).is_empty());
    }

    #[test]
    fn every_case_that_was_asked_for_has_to_be_measured() {
        let all = cases();
        let (left_out, others) = all.split_last().unwrap();
        let samples = all_but(others, None, None);
        let named = [format!("{}: not measured", left_out.name())];
        assert_eq!(missing(&all, &PEERS, &samples), named);
        assert!(missing(others, &PEERS, &samples).is_empty());
        assert_eq!(missing(&all, &PEERS, &Samples::default()).len(), all.len());
    }

    #[test]
    fn ours_has_to_do_everything_by_both_routes() {
        for (ours, name) in OURS
            .into_iter()
            .zip(["ours, signed media", "ours, plain route"])
        {
            for failure in [None, Some("h2load: failed")] {
                let samples = all_but(&[CASE], Some(ours), failure);
                let named = [format!("{NAME}: {name} has no figures")];
                assert_eq!(missing(&[CASE], &PEERS, &samples), named);
            }
        }
    }

    #[test]
    fn a_peer_may_fail_but_not_be_left_out() {
        for peer in PEERS {
            let who = Contender::Plain(peer);
            let samples = all_but(&[CASE], Some(who), None);
            let named = [format!("{NAME}: {peer} was not tried")];
            assert_eq!(missing(&[CASE], &PEERS, &samples), named);
            // Unless it was not asked for.
            let others: Vec<Kind> = PEERS.into_iter().filter(|kind| *kind != peer).collect();
            assert!(missing(&[CASE], &others, &samples).is_empty());
            let samples = all_but(&[CASE], Some(who), Some("h2load: not done in time"));
            assert!(missing(&[CASE], &PEERS, &samples).is_empty());
        }
    }

    #[test]
    fn some_peer_has_to_be_there_to_be_beside() {
        let mut samples = Samples::default();
        for ours in OURS {
            samples.add(CASE, ours, Ok(sample(1.0)));
        }
        for peer in PEERS {
            let failed = Err("h2load: not done in time".to_owned());
            samples.add(CASE, Contender::Plain(peer), failed);
        }
        let named = [format!("{NAME}: no peer has figures")];
        assert_eq!(missing(&[CASE], &PEERS, &samples), named);
    }

    #[test]
    fn what_is_shown_is_whole_although_nobody_asked_for_it_now() {
        let samples = all_but(&[CASE], Some(Contender::Media), None);
        let named = [format!("{NAME}: ours, signed media has no figures")];
        assert_eq!(missing(&[], &PEERS, &samples), named);
    }
}
