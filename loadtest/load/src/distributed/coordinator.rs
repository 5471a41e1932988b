//! The coordinator, until all its workers are there.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mcsp_loadtest_scenario::Scenario;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::crew::{Crew, Member};
use super::frame::{self, BYTES_MAX, STRANGER_BYTES_MAX};
use super::message::{FromCoordinator, FromWorker, PROTOCOL};
use super::token::{self, Nonces, Role, Token};
use crate::args::TokenArgs;
use crate::error::LoadError;
use crate::show::Show;

/// Connections that have not proved anything yet; more wait.
const STRANGERS_MAX: usize = 64;
/// How long one of these has for its proof.
const PROOF_PATIENCE: Duration = Duration::from_secs(5);
/// How long a worker may take to make itself ready: names are looked up.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked whether the person wants an end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits for workers.
pub(crate) struct Coordinator {
    listener: TcpListener,
    token: Arc<Token>,
}

/// A worker that proved itself and is ready, or what it was instead.
enum Came {
    Ready(Member),
    /// It has the secret and cannot run its share.
    Unable(String),
    /// It was turned away, or broke off.
    Stranger(SocketAddr, String),
}

impl Coordinator {
    /// Listens.
    ///
    /// # Errors
    /// No secret; an address that cannot be listened on.
    pub(crate) async fn listen(address: SocketAddr, args: &TokenArgs) -> Result<Self, LoadError> {
        let token = Arc::new(Token::read(args)?);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| LoadError::system(format!("listening on {address}"), error))?;
        // Port 0 takes any.
        let address = listener.local_addr().unwrap_or(address);
        eprintln!("waiting for workers at {address}");
        Ok(Self { listener, token })
    }

    /// Waits until workers 0 to `count` − 1 are there and ready.
    ///
    /// # Errors
    /// When they do not come in time, when one cannot run its share, and when the person does not want to wait any longer.
    pub(crate) async fn wait(
        self,
        count: u32,
        patience: Duration,
        scenario: &Scenario,
        show: &mut Show,
    ) -> Result<Crew, LoadError> {
        let text: Arc<str> = scenario.to_toml()?.into();
        let until = Instant::now() + patience;
        let mut members: BTreeMap<u32, Member> = BTreeMap::new();
        let mut strangers: JoinSet<Came> = JoinSet::new();
        let mut looking = tokio::time::interval(LOOK_EVERY);
        looking.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while members.len() < usize::try_from(count).unwrap_or(usize::MAX) {
            tokio::select! {
                accepted = self.listener.accept(), if strangers.len() < STRANGERS_MAX => {
                    // A connection that is gone already is nobody's fault here.
                    if let Ok((io, from)) = accepted {
                        let (token, text) = (Arc::clone(&self.token), Arc::clone(&text));
                        strangers.spawn(async move { greet(io, from, &token, &text, count).await });
                    }
                }
                Some(came) = strangers.join_next() => match came {
                    Ok(Came::Ready(mut member)) => {
                        if members.contains_key(&member.index) {
                            let why = format!("there is a worker {} already", member.index);
                            member.refuse(why).await;
                            continue;
                        }
                        eprintln!("{} is ready", member.name());
                        members.insert(member.index, member);
                    }
                    Ok(Came::Unable(why)) => return Err(LoadError::Unavailable(why)),
                    Ok(Came::Stranger(from, why)) => eprintln!("{from} was turned away: {why}"),
                    Err(_) => {}
                },
                _ = looking.tick() => {
                    if show.is_signalled() {
                        return Err(LoadError::Interrupted);
                    }
                }
                () = tokio::time::sleep_until(until) => {
                    let missing = (0..count).filter(|index| !members.contains_key(index));
                    let missing: Vec<String> = missing.map(|index| index.to_string()).collect();
                    return Err(LoadError::Unavailable(format!(
                        "{} of {count} workers came within {} s; missing: {}. Do they know this address, the secret, and their \
                         numbers (--index 0 to {})?",
                        members.len(),
                        patience.as_secs(),
                        missing.join(", "),
                        count - 1
                    )));
                }
            }
        }
        Crew::new(members.into_values().collect()).await
    }
}

async fn greet(
    mut io: TcpStream,
    from: SocketAddr,
    token: &Token,
    scenario: &str,
    count: u32,
) -> Came {
    match tokio::time::timeout(PROOF_PATIENCE, admit(&mut io, token, count)).await {
        Ok(Ok((index, proof))) => assign(io, from, index, proof, scenario, count).await,
        Ok(Err(error)) => Came::Stranger(from, error.to_string()),
        Err(_) => Came::Stranger(from, "it did not say who it is in time".to_owned()),
    }
}

/// A worker's number, and our own proof for it.
async fn admit(io: &mut TcpStream, token: &Token, count: u32) -> io::Result<(u32, String)> {
    io.set_nodelay(true)?;
    let own = token::nonce();
    let challenge = FromCoordinator::Challenge {
        protocol: PROTOCOL,
        nonce: own.clone(),
    };
    frame::send(io, &challenge).await?;
    let Some(FromWorker::Hello {
        protocol,
        index,
        nonce,
        proof,
    }) = frame::receive(io, STRANGER_BYTES_MAX).await?
    else {
        return Err(io::Error::other("it is no worker"));
    };
    let nonces = Nonces {
        coordinator: &own,
        worker: &nonce,
    };
    let why = if protocol != PROTOCOL {
        format!("it speaks version {protocol} of the protocol, and the coordinator {PROTOCOL}")
    } else if !token.is_proof(Role::Worker, &nonces, index, &proof) {
        "its secret is not the coordinator's".to_owned()
    } else if index >= count {
        format!("its number is {index}, and there are {count} workers, from 0")
    } else {
        return Ok((index, token.proof(Role::Coordinator, &nonces, index)));
    };
    frame::send(io, &FromCoordinator::Refused { why: why.clone() }).await?;
    Err(io::Error::other(why))
}

async fn assign(
    mut io: TcpStream,
    from: SocketAddr,
    index: u32,
    proof: String,
    scenario: &str,
    workers: u32,
) -> Came {
    let told = FromCoordinator::Assign {
        proof,
        scenario: scenario.to_owned(),
        workers,
    };
    let answer = async {
        frame::send(&mut io, &told).await?;
        frame::receive_within(&mut io, BYTES_MAX, READY_PATIENCE).await
    };
    match answer.await {
        Ok(Some(FromWorker::Ready)) => Came::Ready(Member::new(index, from, io)),
        Ok(Some(FromWorker::Unable { why })) => Came::Unable(format!(
            "worker {index} ({from}) cannot run its share: {why}"
        )),
        Ok(_) => Came::Stranger(from, "it broke off".to_owned()),
        Err(error) => Came::Stranger(from, error.to_string()),
    }
}
