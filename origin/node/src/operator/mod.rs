//! What an operator does to a region that runs, from the command line: purges, and who has carried them out.

mod args;
mod client;
mod print;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use mcsp_api::proto::feed::{GetProgressRequest, GetProgressResponse, PurgeRequest};
use mcsp_identity::IdentityError;
use mcsp_rpc::RpcError;
use thiserror::Error;
use tonic::{Code, Status};

pub(crate) use args::{PurgeArgs, StatusArgs};

/// How long one call waits for progress before it is asked again, milliseconds.
const CALL_WAIT_MS: u128 = 1_500;

/// Why there is no answer.
#[derive(Debug, Error)]
enum OperatorError {
    #[error("{0}")]
    Usage(String),
    #[error("--identity: {0}")]
    Identity(#[from] IdentityError),
    #[error("{0}")]
    Rpc(#[from] RpcError),
    #[error("{}", .0.message())]
    Status(Box<Status>),
    #[error("{0}")]
    Process(#[from] std::io::Error),
}

impl From<Status> for OperatorError {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

impl OperatorError {
    /// Of sysexits; `--help` lists them.
    fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Identity(_) | Self::Rpc(_) => 64,
            Self::Status(status) => match status.code() {
                Code::InvalidArgument => 64,
                Code::PermissionDenied | Code::Unauthenticated => 77,
                Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted => 69,
                _ => 1,
            },
            Self::Process(_) => 1,
        }
    }
}

/// Published, and not carried out by every node within the time (`EX_TEMPFAIL`).
const EXIT_NOT_EVERYWHERE: u8 = 75;

/// Publishes a purge and waits for the nodes.
pub(crate) fn purge(args: &PurgeArgs) -> ExitCode {
    conclude(args.common.json, || {
        let purge = args.purge()?;
        let wait = Duration::from_secs(args.wait_s);
        block_on(async {
            let mut client = client::connect(&args.common)?;
            let request = PurgeRequest {
                purge: Some(purge),
                reason: args.reason.clone(),
            };
            let published = client.purge(request).await?.into_inner();
            let sought = (published.epoch, published.sequence);
            wait_for(&mut client, sought, wait).await
        })
    })
}

/// Tells of a purge.
pub(crate) fn status(args: &StatusArgs) -> ExitCode {
    conclude(args.common.json, || {
        let wait = Duration::from_secs(args.wait_s);
        block_on(async {
            let mut client = client::connect(&args.common)?;
            let sought = (String::new(), args.sequence.unwrap_or(0));
            wait_for(&mut client, sought, wait).await
        })
    })
}

/// Asks until every node has it or the time is over.
async fn wait_for(
    client: &mut client::Client,
    sought: (String, u64),
    wait: Duration,
) -> Result<GetProgressResponse, OperatorError> {
    let until = Instant::now() + wait;
    let (mut epoch, mut sequence) = sought;
    loop {
        let left_ms = until.saturating_duration_since(Instant::now()).as_millis();
        let request = GetProgressRequest {
            epoch,
            sequence,
            wait_ms: u32::try_from(left_ms.min(CALL_WAIT_MS)).unwrap_or(0),
        };
        let progress = client.get_progress(request).await?.into_inner();
        if progress.is_complete || left_ms == 0 {
            return Ok(progress);
        }
        // The number stays the one of the first answer, whatever is published meanwhile.
        (epoch, sequence) = (progress.epoch, progress.sequence);
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, OperatorError>>) -> Result<T, OperatorError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

fn conclude(
    json: bool,
    act: impl FnOnce() -> Result<GetProgressResponse, OperatorError>,
) -> ExitCode {
    match act() {
        Ok(progress) => {
            print::progress(json, &progress);
            if progress.is_complete {
                ExitCode::SUCCESS
            } else {
                EXIT_NOT_EVERYWHERE.into()
            }
        }
        Err(error) => {
            print::error(json, &error.to_string());
            error.exit_status().into()
        }
    }
}
