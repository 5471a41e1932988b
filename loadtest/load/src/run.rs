//! `mcsp-load run`: from a scenario to a verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcsp_loadtest_chaos::{ChaosEvent, Conductor, StepRecord};
use mcsp_loadtest_measure::{ChaosRecord, Results, Run, Workers};
use mcsp_loadtest_scenario::Scenario;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::args::RunArgs;
use crate::distributed::Coordinator;
use crate::engine::{self, Share};
use crate::error::LoadError;
use crate::gather::{Gathered, Gathering};
use crate::outcome::Telling;
use crate::prepare::Prepared;
use crate::scrape::Scraping;
use crate::show::Show;
use crate::told::TELLING_MAX;
use crate::{machine, outcome, preflight, prepare};

/// From now to the start of a run on this machine: threads have made themselves ready.
const LEAD: Duration = Duration::from_millis(300);
/// Events of chaos steps that may wait.
const EVENTS_MAX: usize = 256;
/// How long steps have to be undone once users are gone.
const UNDO_PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario; the exit status.
pub(crate) fn run(args: &RunArgs) -> Result<u8, LoadError> {
    let prepared = prepare::prepare(args)?;
    machine::allow_many_files();
    let telling = Telling {
        out: folder_for(args, &prepared.scenario),
        is_json: args.json,
        is_quiet: args.quiet,
    };
    // One thread: it adds up, shows and harms; users have threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LoadError::system("the runtime", error))?;
    let results = runtime.block_on(play(args, prepared))?;
    outcome::tell(results, &telling)
}

fn folder_for(args: &RunArgs, scenario: &Scenario) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        PathBuf::from(format!("mcsp-load-results/{}-{now}", scenario.name))
    })
}

async fn play(args: &RunArgs, prepared: Prepared) -> Result<Results, LoadError> {
    let Prepared {
        scenario,
        allow,
        kept_by,
    } = prepared;
    // Nothing is harmed and nobody is loaded before all of it may be.
    let doors = preflight::admit(&scenario, &allow).await?;
    let conductor = Conductor::prepare(&scenario, &allow).await?;
    preflight::reach(&doors, &kept_by).await?;
    let scenario = Arc::new(scenario);
    let mut show = Show::new()?;
    let (tell, tellings) = mpsc::channel(TELLING_MAX);
    let (stop, stopped) = watch::channel(false);
    let (start, names) = match (args.workers.listen, args.workers.workers) {
        (Some(listen), Some(count)) => {
            let coordinator = Coordinator::listen(listen, &args.workers.token).await?;
            let wait = Duration::from_secs(args.workers.wait_s);
            let crew = coordinator.wait(count, wait, &scenario, &mut show).await?;
            let names = crew.names();
            (crew.start(&stopped, &tell), names)
        }
        _ => {
            let start = Instant::now() + LEAD;
            let whole = Share { index: 0, count: 1 };
            engine::start(
                &scenario,
                &allow,
                &whole,
                args.threads,
                start,
                &stopped,
                &tell,
            )?;
            let names = (0..args.threads).map(|thread| format!("thread {thread}"));
            (start, names.collect())
        }
    };
    drop(tell);
    let lead_ms = start.saturating_duration_since(Instant::now()).as_millis();
    let started_unix_ms = unix_ms().saturating_add(u64::try_from(lead_ms).unwrap_or(0));
    let scraping = Scraping::begin(&scenario, &allow, start)?;
    let (events, chaos) = mpsc::channel(EVENTS_MAX);
    // It keeps the nodes' proxies open, so it stays to the end, whether there are steps or not.
    let conductor = Arc::new(conductor);
    let harming = harm(Arc::clone(&conductor), start, stopped, events);
    let expected = u32::try_from(names.len()).unwrap_or(u32::MAX);
    let gathering = Gathering {
        scenario: &scenario,
        start,
        names,
        tellings,
        chaos,
        stop: &stop,
    };
    if !args.quiet && !args.json {
        show.begin();
    }
    let gathered = gathering.gather(&mut show).await;
    drop(show);
    let records = records(&scenario, harming, &stop, gathered.stopped_early.is_some()).await;
    let nodes = scraping.end().await;
    drop(conductor);
    Ok(judge(
        &scenario,
        gathered,
        Circumstances {
            started_unix_ms,
            expected,
            commit: args.commit.clone(),
            nodes,
            chaos: records,
        },
    ))
}

struct Circumstances {
    started_unix_ms: u64,
    expected: u32,
    commit: Option<String>,
    nodes: Vec<mcsp_loadtest_measure::NodeSeries>,
    chaos: Vec<ChaosRecord>,
}

fn judge(scenario: &Scenario, gathered: Gathered, circumstances: Circumstances) -> Results {
    Results::conclude(Run {
        scenario: scenario.clone(),
        started_unix_ms: circumstances.started_unix_ms,
        took_us: u64::try_from(gathered.took.as_micros()).unwrap_or(u64::MAX),
        machine: machine::describe(),
        commit: circumstances.commit,
        workers: Workers {
            expected: circumstances.expected,
            lost: gathered.lost,
            stopped_early: gathered.stopped_early,
        },
        seen: gathered.seen,
        nodes: circumstances.nodes,
        chaos: circumstances.chaos,
    })
}

fn harm(
    conductor: Arc<Conductor>,
    start: Instant,
    stopped: watch::Receiver<bool>,
    events: mpsc::Sender<ChaosEvent>,
) -> JoinHandle<Vec<StepRecord>> {
    tokio::spawn(async move { conductor.play(start, stopped, events).await })
}

/// What became of the chaos steps. Those that are still on are waited for, unless the run was broken off.
async fn records(
    scenario: &Scenario,
    mut harming: JoinHandle<Vec<StepRecord>>,
    stop: &watch::Sender<bool>,
    is_stopped: bool,
) -> Vec<ChaosRecord> {
    if is_stopped {
        stop.send_replace(true);
    }
    let last_s = scenario
        .chaos
        .iter()
        .map(|step| step.at_s.saturating_add(step.for_s))
        .max();
    let patience = UNDO_PATIENCE + Duration::from_secs(last_s.unwrap_or(0));
    let played = match tokio::time::timeout(patience, &mut harming).await {
        Ok(Ok(played)) => played,
        Ok(Err(_)) | Err(_) => {
            // Ending it undoes what is on.
            harming.abort();
            Vec::new()
        }
    };
    let record = |step: StepRecord| {
        let of = scenario.chaos.get(step.step)?;
        Some(ChaosRecord {
            step: step.step,
            from_us: step.from_us,
            until_us: step.until_us,
            action: of.action,
            target: of.target.clone(),
            error: step.error,
            must_hold: Vec::new(),
        })
    };
    played.into_iter().filter_map(record).collect()
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
