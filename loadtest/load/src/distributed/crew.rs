//! Workers that are ready, and what becomes of them.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::frame::{self, BYTES_MAX};
use super::message::{FromCoordinator, FromWorker};
use crate::error::LoadError;
use crate::told::{Telling, Told};

/// How often a message's way is measured; the shortest counts.
const PINGS: u32 = 5;
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// From now to the start of the run.
const LEAD: Duration = Duration::from_secs(1);
/// Workers tell something each second; one that is silent for this long is lost.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A worker that is ready.
pub(super) struct Member {
    pub(super) index: u32,
    address: SocketAddr,
    io: TcpStream,
    /// There and back.
    way: Duration,
}

impl Member {
    pub(super) fn new(index: u32, address: SocketAddr, io: TcpStream) -> Self {
        Self {
            index,
            address,
            io,
            way: Duration::ZERO,
        }
    }

    pub(super) fn name(&self) -> String {
        format!("worker {} ({})", self.index, self.address)
    }

    pub(super) async fn refuse(&mut self, why: String) {
        // Whether it hears it or not, it is not wanted.
        let _ = frame::send(&mut self.io, &FromCoordinator::Refused { why }).await;
    }

    async fn measure(&mut self) -> std::io::Result<()> {
        let mut shortest = Duration::MAX;
        for number in 0..PINGS {
            let begun = Instant::now();
            frame::send(&mut self.io, &FromCoordinator::Ping { number }).await?;
            match frame::receive_within(&mut self.io, BYTES_MAX, PING_PATIENCE).await? {
                Some(FromWorker::Pong { number: same }) if same == number => {}
                _ => return Err(std::io::Error::other("it broke off")),
            }
            shortest = shortest.min(begun.elapsed());
        }
        self.way = shortest;
        Ok(())
    }
}

/// All workers of a run, ready.
pub(crate) struct Crew {
    members: Vec<Member>,
}

impl Crew {
    /// Measures how far away they are.
    ///
    /// # Errors
    /// When one is gone already.
    pub(super) async fn new(mut members: Vec<Member>) -> Result<Self, LoadError> {
        for member in &mut members {
            if let Err(error) = member.measure().await {
                return Err(LoadError::Unavailable(format!(
                    "{} was lost before the start: {error}",
                    member.name()
                )));
            }
        }
        Ok(Self { members })
    }

    /// Their names, by number.
    pub(crate) fn names(&self) -> Vec<String> {
        self.members.iter().map(Member::name).collect()
    }

    /// Has all of them start at one moment, which is given back, and passes on what they tell.
    pub(crate) fn start(
        self,
        stop: &watch::Receiver<bool>,
        tell: &mpsc::Sender<Telling>,
    ) -> Instant {
        let start = Instant::now() + LEAD;
        for (number, member) in self.members.into_iter().enumerate() {
            let (stop, tell) = (stop.clone(), tell.clone());
            tokio::spawn(async move {
                let ended = follow(member, start, stop, number, &tell).await;
                let told =
                    ended.map_or_else(|error| Told::Lost(lost(&error, start)), |()| Told::Done);
                // If nobody listens any more, nobody needs to know.
                let _ = tell.send((number, told)).await;
            });
        }
        start
    }
}

fn lost(error: &std::io::Error, start: Instant) -> String {
    format!("lost after {:.0} s: {error}", start.elapsed().as_secs_f64())
}

/// One worker from its start to its end.
async fn follow(
    member: Member,
    start: Instant,
    mut stop: watch::Receiver<bool>,
    number: usize,
    tell: &mpsc::Sender<Telling>,
) -> std::io::Result<()> {
    let way = member.way;
    let (mut from, mut to) = member.io.into_split();
    // It hears it half a way later.
    let left = start.saturating_duration_since(Instant::now() + way / 2);
    let in_us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
    frame::send(&mut to, &FromCoordinator::Start { in_us }).await?;
    tokio::select! {
        ended = listen(&mut from, start, number, tell) => ended,
        never = pass_on(&mut stop, &mut to) => never,
    }
}

async fn listen(
    from: &mut OwnedReadHalf,
    start: Instant,
    number: usize,
    tell: &mpsc::Sender<Telling>,
) -> std::io::Result<()> {
    loop {
        let silence = SILENCE_MAX + start.saturating_duration_since(Instant::now());
        let told = match frame::receive_within(from, BYTES_MAX, silence).await? {
            Some(FromWorker::Seen { partial }) => Told::Partial(partial),
            Some(FromWorker::Done) => return Ok(()),
            Some(FromWorker::Lost { why }) => return Err(std::io::Error::other(why)),
            Some(_) => return Err(std::io::Error::other("it said what it should not")),
            None => return Err(std::io::Error::other("its connection ended")),
        };
        if tell.send((number, told)).await.is_err() {
            return Ok(());
        }
    }
}

/// Tells a worker when the run ends early. Otherwise it never ends.
async fn pass_on(stop: &mut watch::Receiver<bool>, to: &mut OwnedWriteHalf) -> std::io::Result<()> {
    // Whoever could stop it is gone when the run is over.
    if stop.wait_for(|stop| *stop).await.is_ok() {
        frame::send(to, &FromCoordinator::Stop).await?;
    }
    std::future::pending().await
}
