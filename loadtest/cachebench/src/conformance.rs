//! `conformance`: our own rows and the public suite against one server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use mcsp_loadtest_cachebench::origin::Origin;
use mcsp_loadtest_cachebench::public_suite::{
    Counts, Failed, KIND_OVERTAKEN, KIND_REQUIRED, PublicSuite,
};
use mcsp_loadtest_cachebench::report::{self, Conformance, Part};
use mcsp_loadtest_cachebench::server::{Kind, NodeLimits, Plan, Purpose};
use mcsp_loadtest_cachebench::{BenchError, suite};

use crate::terminal::{by_section, told};

/// How many tests of each kind may fail in the public suite; `check` are questions, not demands.
const PUBLIC_GOALS: [(&str, Option<usize>); 4] = [
    (KIND_REQUIRED, Some(0)),
    ("optimal", Some(5)),
    ("check", None),
    (KIND_OVERTAKEN, None),
];

/// The goal in words.
const GOAL: &str = "every own row; every required test of http-tests/cache-tests, and all but five of the optimal ones";

/// What `conformance` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The program of our node
    #[arg(long)]
    node_program: PathBuf,
    /// Where the servers keep their files
    #[arg(long)]
    data_dir: PathBuf,
    /// http-tests/cache-tests: its npm package's folder, or a checkout of its repository with its packages installed;
    /// without it, it is not run
    #[arg(long, value_name = "DIR")]
    suite: Option<PathBuf>,
    /// A peer in our node's place
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Only own rows whose title contains this, and nothing else
    #[arg(long)]
    only: Option<String>,
    /// Leave the own rows out
    #[arg(long)]
    public_only: bool,
    /// Every own row on a line of its own, not only those that fail
    #[arg(long)]
    verbose: bool,
    /// Where the counts are written, JSON
    #[arg(long)]
    report: Option<PathBuf>,
}

/// A peer by its name on the command line.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Peer {
    /// nginx
    Nginx,
    /// Varnish
    Varnish,
    /// Apache Traffic Server
    Trafficserver,
}

impl Peer {
    fn kind(self) -> Kind {
        match self {
            Self::Nginx => Kind::NginxStock,
            Self::Varnish => Kind::Varnish,
            Self::Trafficserver => Kind::TrafficServer,
        }
    }
}

/// Runs what is asked; true when every goal is met.
pub(crate) async fn run(args: &Args) -> Result<bool, BenchError> {
    let kind = args.peer.map_or(Kind::Node, Peer::kind);
    let mut parts = Vec::new();
    if !args.public_only {
        parts.push(own(args, kind).await?);
    }
    if let (Some(suite), None) = (&args.suite, &args.only) {
        parts.extend(public(args, kind, suite).await?);
    }
    table(&parts);
    let whole = Conformance::of("http-cache", GOAL, parts);
    if let Some(path) = &args.report {
        report::write_json(path, &whole)?;
    }
    Ok(whole.met)
}

fn plan<'a>(
    args: &'a Args,
    kind: Kind,
    folder: &'a Path,
    origin: std::net::SocketAddr,
) -> Plan<'a> {
    Plan {
        kind,
        purpose: Purpose::Conformance,
        folder,
        origin,
        certificate: None,
        core: None,
        node_program: &args.node_program,
        node_limits: NodeLimits::Wide,
        node_extra: "",
    }
}

async fn own(args: &Args, kind: Kind) -> Result<Part, BenchError> {
    let origin = Arc::new(Origin::start().await?);
    let folder = args.data_dir.join("own");
    let server = plan(args, kind, &folder, origin.address()).start().await?;
    let mut rows = suite::rows();
    if let Some(only) = &args.only {
        rows.retain(|row| row.title().contains(only));
    }
    if rows.is_empty() {
        // Of nothing, everything would hold.
        let only = args.only.as_deref().unwrap_or_default();
        let reason = format!("no own row has {only:?} in its title");
        return Err(BenchError::Answer(reason));
    }
    let started = Instant::now();
    let verdicts = suite::run(server.plain, &origin, rows).await;
    server.stop().await;
    println!(
        "own rows, by the RFCs' sections: {:.0} s",
        started.elapsed().as_secs_f64()
    );
    by_section(&verdicts);
    for verdict in &verdicts {
        match &verdict.fault {
            None if args.verbose => told("  ok    ", &verdict.title),
            None => {}
            Some(fault) => {
                told("  FAIL  ", &verdict.title);
                told("        ", fault);
            }
        }
    }
    let total = verdicts.len();
    let failed: Vec<String> = verdicts
        .into_iter()
        .filter_map(|verdict| Some(format!("{} ({})", verdict.title, verdict.fault?)))
        .collect();
    Ok(Part {
        suite: format!("{kind}: own rows"),
        passed: total - failed.len(),
        total,
        goal: total,
        met: failed.is_empty(),
        failed,
    })
}

async fn public(args: &Args, kind: Kind, folder: &Path) -> Result<Vec<Part>, BenchError> {
    std::fs::create_dir_all(&args.data_dir).map_err(|source| BenchError::File {
        path: args.data_dir.clone(),
        source,
    })?;
    let suite = PublicSuite::start(folder, &args.data_dir).await?;
    let folder = args.data_dir.join("public");
    let server = plan(args, kind, &folder, suite.origin).start().await?;
    let started = Instant::now();
    let counts = suite.run(server.plain).await?;
    server.stop().await;
    println!();
    let (tests, seconds) = (
        counts.values().map(|of_kind| of_kind.total).sum::<usize>(),
        started.elapsed().as_secs_f64(),
    );
    let of = suite.folder().display();
    told(
        "",
        &format!("{tests} tests of http-tests/cache-tests in {of}: {seconds:.0} s"),
    );
    let kinds = judged(&counts)?;
    let mut parts = Vec::new();
    for Judged {
        name,
        of_kind,
        is_demanded,
        goal,
    } in kinds
    {
        let more = if of_kind.failed.is_empty() {
            ""
        } else {
            "; not:"
        };
        let (passed, total) = (of_kind.passed(), of_kind.total);
        println!("  {name}: {passed} of {total} passed{more}");
        not_passed(of_kind, is_demanded);
        parts.push(Part {
            suite: format!("{kind}: cache-tests, {name}"),
            passed: of_kind.passed(),
            total: of_kind.total,
            failed: of_kind.failed.iter().map(in_a_line).collect(),
            goal,
            met: of_kind.passed() >= goal,
        });
    }
    Ok(parts)
}

/// The public suite's tests of one kind, and what they are judged by.
#[derive(Debug)]
struct Judged<'a> {
    name: &'static str,
    of_kind: &'a Counts,
    is_demanded: bool,
    /// How many have to pass.
    goal: usize,
}

/// By what each kind is judged.
///
/// # Errors
/// When a kind that is demanded has no more tests than may fail, or none at all, and when there is one that has no goal here: what
/// was not run, or not looked at, has not passed.
fn judged(counts: &BTreeMap<String, Counts>) -> Result<Vec<Judged<'_>>, BenchError> {
    let fault = |reason: String| {
        Err(BenchError::Answer(format!(
            "http-tests/cache-tests: {reason}"
        )))
    };
    if let Some(other) = counts
        .keys()
        .find(|name| !PUBLIC_GOALS.iter().any(|(known, _)| known == name))
    {
        return fault(format!("tests of the kind {other:?} have no goal here"));
    }
    let mut kinds = Vec::new();
    for (name, may_fail) in PUBLIC_GOALS {
        let of_kind = counts.get(name);
        let total = of_kind.map_or(0, |of_kind| of_kind.total);
        if let Some(may_fail) = may_fail.filter(|may_fail| total <= *may_fail) {
            return fault(format!(
                "{total} tests of the kind {name:?}, of which {may_fail} may fail"
            ));
        }
        // Kinds that nobody demands may be absent.
        kinds.extend(of_kind.map(|of_kind| Judged {
            name,
            of_kind,
            is_demanded: may_fail.is_some(),
            goal: may_fail.map_or(0, |may_fail| total.saturating_sub(may_fail)),
        }));
    }
    Ok(kinds)
}

/// A test that did not pass, for the report.
fn in_a_line(failed: &Failed) -> String {
    let Failed {
        id,
        name,
        reason,
        because,
    } = failed;
    match because {
        Some(because) => format!("{id}: {name} ({reason}); {because}"),
        None => format!("{id}: {name} ({reason})"),
    }
}

/// Tells of the tests of a kind that did not pass, those with the same reasons together; of those that nobody demands,
/// only which.
fn not_passed(of_kind: &Counts, is_demanded: bool) {
    let mut groups: Vec<(Vec<&str>, &str, &str)> = Vec::new();
    for failed in &of_kind.failed {
        let because = failed.because.unwrap_or_default();
        let reason = match is_demanded || !because.is_empty() {
            true => failed.reason.as_str(),
            false => "",
        };
        let same = |group: &&mut (Vec<&str>, &str, &str)| (group.1, group.2) == (reason, because);
        match groups.iter_mut().find(same) {
            Some((ids, _, _)) => ids.push(&failed.id),
            None => groups.push((vec![&failed.id], reason, because)),
        }
    }
    for (ids, reason, because) in groups {
        told("    ", &ids.join(", "));
        told("      ", reason);
        told("      ", because);
    }
}

/// The counts at the end.
fn table(parts: &[Part]) {
    println!(
        "\n{:<50} {:>6} {:>6} {:>6}  met",
        "suite", "passed", "total", "goal"
    );
    for part in parts {
        let goal = match part.goal {
            0 => "-".to_owned(),
            goal => goal.to_string(),
        };
        let met = match (part.goal, part.met) {
            (0, _) => "-",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        println!(
            "{:<50} {:>6} {:>6} {goal:>6}  {met}",
            part.suite, part.passed, part.total
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(kinds: &[(&str, usize)]) -> BTreeMap<String, Counts> {
        let of = |total| Counts {
            total,
            failed: Vec::new(),
        };
        let kinds = kinds.iter();
        kinds
            .map(|(name, total)| ((*name).to_owned(), of(*total)))
            .collect()
    }

    #[test]
    fn kinds_that_are_demanded_have_to_be_there() {
        let whole = counts(&[("required", 200), ("optimal", 78), ("check", 70)]);
        let found = judged(&whole).unwrap();
        let found = found
            .iter()
            .map(|kind| (kind.name, kind.is_demanded, kind.goal));
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                ("required", true, 200),
                ("optimal", true, 73),
                ("check", false, 0)
            ]
        );
        assert!(judged(&counts(&[("required", 1), ("optimal", 6)])).is_ok());
        for (kinds, named) in [
            (&[][..], "0 tests of the kind \"required\""),
            (&[("optimal", 78)], "0 tests of the kind \"required\""),
            (&[("required", 200)], "0 tests of the kind \"optimal\""),
            (
                &[("required", 200), ("optimal", 5)],
                "5 tests of the kind \"optimal\", of which 5 may fail",
            ),
        ] {
            let reason = judged(&counts(kinds)).unwrap_err().to_string();
            assert!(reason.contains(named), "{reason}");
        }
    }

    #[test]
    fn a_kind_that_is_new_is_not_passed_over() {
        let kinds = [("required", 200), ("optimal", 78), ("recommended", 1)];
        let reason = judged(&counts(&kinds)).unwrap_err().to_string();
        assert!(reason.contains("\"recommended\""), "{reason}");
    }
}
