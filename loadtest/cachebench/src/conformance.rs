//! `conformance`: our own rows and the public suite against one server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use mcsp_loadtest_cachebench::origin::Origin;
use mcsp_loadtest_cachebench::public_suite::{KIND_OVERTAKEN, PublicSuite};
use mcsp_loadtest_cachebench::report::{self, Conformance, Part};
use mcsp_loadtest_cachebench::server::{Kind, Plan, Purpose};
use mcsp_loadtest_cachebench::{BenchError, suite};

/// How many tests of each kind may fail in the public suite; `check` are questions, not demands.
const PUBLIC_GOALS: [(&str, Option<usize>); 4] = [
    ("required", Some(0)),
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
    /// The folder whose node_modules has http-cache-tests; without it the public suite is not run
    #[arg(long)]
    packages: Option<PathBuf>,
    /// A peer in our node's place
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Only own rows whose title contains this, and nothing else
    #[arg(long)]
    only: Option<String>,
    /// Leave the own rows out
    #[arg(long)]
    public_only: bool,
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
    if let (Some(packages), None) = (&args.packages, &args.only) {
        parts.extend(public(args, kind, packages).await?);
    }
    println!(
        "\n{:<52} {:>6} {:>6} {:>6}  met",
        "suite", "passed", "total", "goal"
    );
    for part in &parts {
        println!(
            "{:<52} {:>6} {:>6} {:>6}  {}",
            part.suite,
            part.passed,
            part.total,
            if part.goal > 0 {
                part.goal.to_string()
            } else {
                "-".to_owned()
            },
            if part.met { "yes" } else { "NO" }
        );
    }
    let whole = Conformance::of("http-cache", GOAL, parts);
    if let Some(path) = &args.report {
        report::write_json(path, &whole)?;
    }
    Ok(whole.met)
}

fn plan<'a>(
    args: &'a Args,
    kind: Kind,
    folder: &'a std::path::Path,
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
    let started = Instant::now();
    let verdicts = suite::run(server.plain, &origin, rows).await;
    server.stop().await;
    for verdict in &verdicts {
        match &verdict.fault {
            None => println!("ok    {}", verdict.title),
            Some(fault) => println!("FAIL  {}\n      {fault}", verdict.title),
        }
    }
    println!("own rows: {:.1} s", started.elapsed().as_secs_f64());
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

async fn public(
    args: &Args,
    kind: Kind,
    packages: &std::path::Path,
) -> Result<Vec<Part>, BenchError> {
    std::fs::create_dir_all(&args.data_dir).map_err(|source| BenchError::File {
        path: args.data_dir.clone(),
        source,
    })?;
    let suite = PublicSuite::start(packages, &args.data_dir).await?;
    let folder = args.data_dir.join("public");
    let server = plan(args, kind, &folder, suite.origin).start().await?;
    let counts = suite.run(server.plain).await?;
    server.stop().await;
    let mut parts = Vec::new();
    for (name, may_fail) in PUBLIC_GOALS {
        let Some(of_kind) = counts.get(name) else {
            continue;
        };
        let goal = may_fail.map_or(0, |may_fail| of_kind.total.saturating_sub(may_fail));
        println!(
            "\nhttp-tests/cache-tests, {name}: {} of {} passed",
            of_kind.passed(),
            of_kind.total
        );
        for failed in &of_kind.failed {
            println!("  {:<44} {}", failed.id, failed.reason);
        }
        parts.push(Part {
            suite: format!("{kind}: http-tests/cache-tests, {name}"),
            passed: of_kind.passed(),
            total: of_kind.total,
            failed: of_kind
                .failed
                .iter()
                .map(|failed| format!("{}: {} ({})", failed.id, failed.name, failed.reason))
                .collect(),
            goal,
            met: of_kind.passed() >= goal,
        });
    }
    Ok(parts)
}
