//! Answers for people and for programs.

use std::io::{self, Write as _};

use mcsp_api::proto::feed::{GetProgressResponse, NodeProgress, RegionProgress};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Prints how far a purge is.
pub(super) fn progress(json: bool, progress: &GetProgressResponse) {
    let text = if json {
        document(progress).to_string()
    } else {
        text(progress)
    };
    // A reader that went away has seen enough.
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// Prints why there is no answer.
pub(super) fn error(json: bool, message: &str) {
    let mut err = io::stderr().lock();
    let _ = if json {
        writeln!(err, "{}", json!({"error": {"title": message}}))
    } else {
        writeln!(err, "mcsp-origin: {message}")
    };
}

fn document(progress: &GetProgressResponse) -> Value {
    let (applied, known) = counts(progress);
    json!({
        "epoch": progress.epoch,
        "sequence": progress.sequence,
        "is_complete": progress.is_complete,
        "nodes_applied": applied,
        "nodes_known": known,
        "regions": progress.regions.iter().map(region).collect::<Vec<_>>(),
    })
}

fn region(region: &RegionProgress) -> Value {
    json!({
        "region": region.region,
        "fault": Some(&region.fault).filter(|fault| !fault.is_empty()),
        "is_published": region.is_published,
        "nodes": region.nodes.iter().map(node).collect::<Vec<_>>(),
    })
}

fn node(node: &NodeProgress) -> Value {
    let known_ms = |ms: i64| Some(ms).filter(|ms| *ms != 0);
    json!({
        "node": node.node,
        "is_applied": node.is_applied,
        "is_connected": node.is_connected,
        "applied_sequence": node.applied_sequence,
        "applied_ms": known_ms(node.applied_ms),
        "heard_ms": known_ms(node.heard_ms),
    })
}

/// Nodes that have it, of those that were ever heard of.
fn counts(progress: &GetProgressResponse) -> (usize, usize) {
    let nodes = progress.regions.iter().flat_map(|region| &region.nodes);
    let known = nodes.clone().filter(|node| node.heard_ms != 0).count();
    (nodes.filter(|node| node.is_applied).count(), known)
}

/// How many have it, then a line for each region and node that has not.
fn text(progress: &GetProgressResponse) -> String {
    let (applied, known) = counts(progress);
    let mut lines = vec![format!(
        "purge {}: {applied} of {known} nodes have it",
        progress.sequence
    )];
    for region in &progress.regions {
        let name = &region.region;
        if !region.fault.is_empty() {
            lines.push(format!("  {name}: {}", region.fault));
            continue;
        }
        if !region.is_published {
            lines.push(format!("  {name}: its feed does not have it yet"));
        }
        let missing = region.nodes.iter().filter(|node| !node.is_applied);
        lines.extend(missing.map(|node| format!("  {name} {}: {}", node.node, state(node))));
    }
    lines.join("\n")
}

fn state(node: &NodeProgress) -> String {
    if node.heard_ms == 0 {
        return "never heard of; it revalidates what it holds".to_owned();
    }
    let heard = moment(node.heard_ms);
    if node.is_connected {
        return format!(
            "behind, at {}; last heard of at {heard}",
            node.applied_sequence
        );
    }
    format!("away since {heard}, at {}", node.applied_sequence)
}

fn moment(ms: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_else(|| format!("{ms} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_many_have_it_and_where_the_others_are() {
        let node = |node: &str, applied_sequence: u64, heard_ms: i64, is_connected| NodeProgress {
            node: node.to_owned(),
            is_applied: applied_sequence >= 7,
            applied_sequence,
            applied_ms: heard_ms,
            heard_ms,
            is_connected,
        };
        let here = RegionProgress {
            region: "ng-lagos".to_owned(),
            is_published: true,
            nodes: vec![
                node("los1/1", 7, 1_000, true),
                node("los1/2", 6, 2_000, true),
                node("abv1/1", 5, 3_000, false),
                node("ph1", 0, 0, false),
            ],
            ..RegionProgress::default()
        };
        let there = RegionProgress {
            region: "global-london".to_owned(),
            fault: "cannot be asked: cut".to_owned(),
            ..RegionProgress::default()
        };
        let progress = GetProgressResponse {
            epoch: "e".to_owned(),
            sequence: 7,
            is_complete: false,
            regions: vec![here, there],
        };
        assert_eq!(
            text(&progress),
            "purge 7: 1 of 3 nodes have it\n  \
             ng-lagos los1/2: behind, at 6; last heard of at 1970-01-01T00:00:02Z\n  \
             ng-lagos abv1/1: away since 1970-01-01T00:00:03Z, at 5\n  \
             ng-lagos ph1: never heard of; it revalidates what it holds\n  \
             global-london: cannot be asked: cut"
        );
        let document = document(&progress);
        assert_eq!(document["nodes_applied"], 1);
        assert_eq!(document["regions"][0]["nodes"][3]["heard_ms"], Value::Null);
        assert_eq!(document["regions"][1]["fault"], "cannot be asked: cut");
    }
}
