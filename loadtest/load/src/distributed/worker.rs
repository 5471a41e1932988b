//! A worker: takes a share of a coordinator's run, and tells what it saw.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_scenario::{AllowList, Scenario};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::frame::{self, BYTES_MAX, STRANGER_BYTES_MAX};
use super::message::{FromCoordinator, FromWorker, PROTOCOL};
use super::token::{self, Nonces, Role, Token};
use crate::args::WorkerArgs;
use crate::engine::{self, Share};
use crate::error::LoadError;
use crate::told::{TELLING_MAX, Told};
use crate::{machine, preflight};

/// Between two tries to reach the coordinator.
const RETRY: Duration = Duration::from_millis(500);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
const HELLO_PATIENCE: Duration = Duration::from_secs(10);
/// How long the other workers are waited for: the coordinator itself gives up before.
const START_PATIENCE: Duration = Duration::from_secs(3_700);
/// How long after its last word the coordinator has to hear it.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// `mcsp-load worker`.
pub(crate) fn work(args: &WorkerArgs) -> Result<u8, LoadError> {
    machine::allow_many_files();
    let token = Token::read(&args.token)?;
    let allow = match &args.allow_file {
        Some(file) => AllowList::load(file)?,
        None => AllowList::loopback_only(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| LoadError::system("the runtime", error))?;
    runtime.block_on(async {
        let io = connect(args).await?;
        serve(io, args, &token, &allow).await
    })?;
    Ok(0)
}

fn away(what: &str) -> impl Fn(io::Error) -> LoadError {
    move |error| LoadError::Unavailable(format!("the coordinator {what}: {error}"))
}

/// Connects; pods start in any order, so one that is not there yet is waited for.
async fn connect(args: &WorkerArgs) -> Result<TcpStream, LoadError> {
    let until = Instant::now() + Duration::from_secs(args.wait_s);
    loop {
        let connecting = TcpStream::connect(args.coordinator.as_str());
        let failed = match tokio::time::timeout(CONNECT_PATIENCE, connecting).await {
            Ok(Ok(io)) => return Ok(io),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no connection in time"),
        };
        let failed = LoadError::Unavailable(format!(
            "the coordinator {} is not there: {failed}",
            args.coordinator
        ));
        if Instant::now() + RETRY >= until || !failed.is_retryable() {
            return Err(failed);
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn serve(
    mut io: TcpStream,
    args: &WorkerArgs,
    token: &Token,
    allow: &AllowList,
) -> Result<(), LoadError> {
    io.set_nodelay(true).map_err(away("is gone"))?;
    let (scenario, workers) = introduce(&mut io, args, token).await?;
    let mut scenario = match Scenario::parse(&scenario, "the coordinator's scenario") {
        Ok(scenario) => scenario,
        Err(error) => return unable(&mut io, error.into()).await,
    };
    // What this machine may load, it says itself.
    scenario.targets.allow_file.clone_from(&args.allow_file);
    if args.ca.is_some() {
        scenario.targets.ca_file.clone_from(&args.ca);
    }
    let looked = async {
        let doors = preflight::admit(&scenario, allow).await?;
        preflight::reach(&doors, "").await
    };
    if let Err(error) = looked.await {
        return unable(&mut io, error).await;
    }
    frame::send(&mut io, &FromWorker::Ready)
        .await
        .map_err(away("is gone"))?;
    let start = started(&mut io).await?;
    let share = Share {
        index: args.index,
        count: workers,
    };
    take_part(io, &Arc::new(scenario), allow, &share, args.threads, start).await
}

/// Says who it is, and hears its share: the scenario as TOML, and how many workers there are.
async fn introduce(
    io: &mut TcpStream,
    args: &WorkerArgs,
    token: &Token,
) -> Result<(String, u32), LoadError> {
    let gone = || LoadError::Unavailable("the coordinator broke off".to_owned());
    let challenge = frame::receive_within(io, STRANGER_BYTES_MAX, HELLO_PATIENCE);
    let nonce = match challenge.await.map_err(away("is no coordinator"))? {
        Some(FromCoordinator::Challenge { protocol, nonce }) if protocol == PROTOCOL => nonce,
        Some(FromCoordinator::Challenge { protocol, .. }) => {
            return Err(LoadError::Unavailable(format!(
                "the coordinator speaks version {protocol} of the protocol, and this worker {PROTOCOL}"
            )));
        }
        _ => return Err(gone()),
    };
    let own = token::nonce();
    let nonces = Nonces {
        coordinator: &nonce,
        worker: &own,
    };
    let hello = FromWorker::Hello {
        protocol: PROTOCOL,
        index: args.index,
        nonce: own.clone(),
        proof: token.proof(Role::Worker, &nonces, args.index),
    };
    frame::send(io, &hello).await.map_err(away("is gone"))?;
    let answer = frame::receive_within(io, BYTES_MAX, HELLO_PATIENCE);
    match answer.await.map_err(away("broke off"))? {
        Some(FromCoordinator::Assign {
            proof,
            scenario,
            workers,
        }) => {
            // Who does not know the secret could have this machine load whatever it likes.
            if !token.is_proof(Role::Coordinator, &nonces, args.index, &proof) {
                return Err(LoadError::Unauthorised(
                    "the coordinator's secret is not this worker's".to_owned(),
                ));
            }
            Ok((scenario, workers))
        }
        Some(FromCoordinator::Refused { why }) => Err(LoadError::Unauthorised(format!(
            "the coordinator turned this worker away: {why}"
        ))),
        _ => Err(gone()),
    }
}

/// Tells the coordinator why not, and fails with it.
async fn unable(io: &mut TcpStream, error: LoadError) -> Result<(), LoadError> {
    let why = error.to_string();
    // Our own failure is what matters.
    let _ = frame::send(io, &FromWorker::Unable { why }).await;
    Err(error)
}

/// Answers pings until the run starts; when that is.
async fn started(io: &mut TcpStream) -> Result<Instant, LoadError> {
    let until = Instant::now() + START_PATIENCE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let told = frame::receive_within(io, STRANGER_BYTES_MAX, left).await;
        match told.map_err(away("broke off"))? {
            Some(FromCoordinator::Ping { number }) => {
                let pong = FromWorker::Pong { number };
                frame::send(io, &pong).await.map_err(away("is gone"))?;
            }
            Some(FromCoordinator::Start { in_us }) => {
                let lead = Duration::from_micros(in_us).min(START_PATIENCE);
                return Ok(Instant::now() + lead);
            }
            Some(FromCoordinator::Refused { why }) => {
                return Err(LoadError::Unauthorised(format!(
                    "the coordinator turned this worker away: {why}"
                )));
            }
            _ => {
                return Err(LoadError::Unavailable(
                    "the coordinator gave up before the start".to_owned(),
                ));
            }
        }
    }
}

async fn take_part(
    io: TcpStream,
    scenario: &Arc<Scenario>,
    allow: &AllowList,
    share: &Share,
    threads: u32,
    start: Instant,
) -> Result<(), LoadError> {
    let (stop, stopped) = watch::channel(false);
    let (tell, mut tellings) = mpsc::channel(TELLING_MAX);
    engine::start(scenario, allow, share, threads, start, &stopped, &tell)?;
    drop(tell);
    let (mut from, mut to) = io.into_split();
    let mut hearing = tokio::spawn(async move {
        hear(&mut from, &stop).await;
        // Without a coordinator nobody wants to know.
        stop.send_replace(true);
    });
    while let Some((_, told)) = tellings.recv().await {
        let sent = match told {
            Told::Partial(partial) => frame::send(&mut to, &FromWorker::Seen { partial }).await,
            Told::Lost(why) => frame::send(&mut to, &FromWorker::Lost { why }).await,
            Told::Done => Ok(()),
        };
        if let Err(error) = sent {
            return Err(away("is gone")(error));
        }
    }
    if hearing.is_finished() {
        return Err(LoadError::Unavailable(
            "the coordinator was lost during the run".to_owned(),
        ));
    }
    frame::send(&mut to, &FromWorker::Done)
        .await
        .map_err(away("is gone"))?;
    // It ends the connection once it has heard that; if it does not, all is told nevertheless.
    if tokio::time::timeout(END_PATIENCE, &mut hearing)
        .await
        .is_err()
    {
        hearing.abort();
    }
    Ok(())
}

/// Hears what the coordinator says during the run, until it is gone.
async fn hear(from: &mut OwnedReadHalf, stop: &watch::Sender<bool>) {
    while let Ok(Some(told)) = frame::receive(from, STRANGER_BYTES_MAX).await {
        if matches!(told, FromCoordinator::Stop) {
            stop.send_replace(true);
        }
    }
}
