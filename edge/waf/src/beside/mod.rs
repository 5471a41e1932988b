//! Threads beside the workers, for work that is long.
//!
//! A worker that ran all rules over a large body would keep everybody else whom it serves waiting. What is handed over here is done
//! by a few threads that stand back behind the workers, in turns that are fair by client, within bounds of what may wait. Whoever
//! cannot have a turn is told why: because of what its own client brought, or of what everybody did.

mod config;
mod priority;
mod queue;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

pub use config::{BesideConfig, Overload};

use queue::{Bounds, Entered, Queue, Ticket};

use crate::ticks::Ticks;

/// Work for a thread beside the workers. One of the two is called, once.
pub trait Work: Send {
    /// Does it.
    fn run(self: Box<Self>);

    /// It is not done. Called where it was handed over or taken back, or by whoever took its place.
    fn turned_away(self: Box<Self>, why: TurnedAway);
}

/// Why work is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TurnedAway {
    /// Its client has its share of the places, or of the time: it is to come again later.
    Share,
    /// All places are taken, by clients that have no more than this one.
    Full,
    /// It waited for too long, behind clients that had no more than this one.
    Late,
    /// Nobody wants it any more.
    Left,
    /// It was lost with the thread that had it.
    Lost,
}

impl TurnedAway {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Share, Self::Full, Self::Late, Self::Left, Self::Lost];

    /// Its name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Full => "full",
            Self::Late => "late",
            Self::Left => "left",
            Self::Lost => "lost",
        }
    }
}

/// An IPv6 network of 48 bits has as many times the places of one client.
const WIDER_PLACES: usize = 4;

struct Shared {
    state: Mutex<State>,
    /// There is something to do, or nothing ever again.
    changed: Condvar,
    /// Processor time of the thread that asks: what work costs.
    effort: Arc<dyn Ticks>,
}

struct State {
    queue: Queue<Box<dyn Work>>,
    is_over: bool,
}

/// The threads. They end with what they are at when this is dropped.
pub struct Beside {
    shared: Arc<Shared>,
}

impl fmt::Debug for Beside {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Beside").finish_non_exhaustive()
    }
}

impl Beside {
    /// Starts them; none if the configuration wants none. `effort` is the processor time of the thread that asks.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(config: &BesideConfig, effort: Arc<dyn Ticks>) -> io::Result<Option<Self>> {
        if config.threads == 0 {
            return Ok(None);
        }
        let bounds = Bounds {
            places_max: config.places_max,
            client_places_max: config.client_places_max,
            wider_places_max: config
                .client_places_max
                .saturating_mul(WIDER_PLACES)
                .min(config.places_max),
            // The other half is for everybody else.
            client_running_max: config.threads.div_ceil(2),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                queue: Queue::new(bounds),
                is_over: false,
            }),
            changed: Condvar::new(),
            effort,
        });
        // Those that there are end if another cannot be had.
        let beside = Self { shared };
        for number in 0..config.threads {
            let shared = beside.shared.clone();
            let thread = std::thread::Builder::new().name(format!("waf-beside-{number}"));
            // Whatever goes wrong between two pieces of work, the next is not to wait for nobody.
            thread.spawn(
                move || {
                    while catch_unwind(AssertUnwindSafe(|| serve(&shared))).is_err() {}
                },
            )?;
        }
        Ok(Some(beside))
    }

    /// Whether a client has less here than its share.
    #[must_use]
    pub fn has_share_left(&self, client: IpAddr) -> bool {
        self.shared.state.lock().queue.has_share_left(client.into())
    }

    /// Hands over a client's work. If there is no place for it, it is turned away before this returns.
    #[must_use = "work is taken back when its place is dropped"]
    pub fn enter(&self, client: IpAddr, work: Box<dyn Work>) -> Place {
        let entered = self.shared.state.lock().queue.enter(client.into(), work);
        let (ticket, turned_away) = match entered {
            Entered::Yes(ticket) => (Some(ticket), None),
            Entered::For(ticket, other) => (Some(ticket), Some((TurnedAway::Share, other))),
            Entered::No(why, work) => (None, Some((why, work))),
        };
        if ticket.is_some() {
            self.shared.changed.notify_one();
        }
        if let Some((why, work)) = turned_away {
            work.turned_away(why);
        }
        Place {
            shared: self.shared.clone(),
            ticket,
        }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.shared.state.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

/// The place of what was handed over. When it is dropped, what still waits there is taken back.
pub struct Place {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

impl fmt::Debug for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ticket, .. } = self;
        formatter
            .debug_struct("Place")
            .field("ticket", ticket)
            .finish()
    }
}

impl Place {
    /// The wait was long enough: what has not had its turn yet is turned away.
    pub fn give_up(&mut self) {
        if let Some((why, work)) = self.withdraw() {
            work.turned_away(why);
        }
    }

    /// Nobody waits for it, and it is to be done all the same.
    pub fn stay(mut self) {
        self.ticket = None;
    }

    fn withdraw(&mut self) -> Option<(TurnedAway, Box<dyn Work>)> {
        let ticket = self.ticket.take()?;
        self.shared.state.lock().queue.withdraw(ticket)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((_, work)) = self.withdraw() {
            work.turned_away(TurnedAway::Left);
        }
    }
}

fn serve(shared: &Shared) {
    priority::stand_back();
    loop {
        let mut state = shared.state.lock();
        let (ticket, work) = loop {
            if state.is_over {
                return;
            }
            match state.queue.next() {
                Some(next) => break next,
                None => shared.changed.wait(&mut state),
            }
        };
        drop(state);
        let mut taken = Taken {
            shared,
            ticket,
            cost_us: 0,
        };
        let began_us = shared.effort.now_us();
        // What work leaves half done is its own.
        let _ = catch_unwind(AssertUnwindSafe(|| work.run()));
        taken.cost_us = shared.effort.now_us().saturating_sub(began_us);
    }
}

/// What a thread is at. Whatever becomes of it, its place is free when this is dropped.
struct Taken<'s> {
    shared: &'s Shared,
    ticket: Ticket,
    cost_us: u64,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let queue = &mut self.shared.state.lock().queue;
        queue.done(self.ticket, self.cost_us);
        // What its client had waiting behind it may go on, on any thread.
        self.shared.changed.notify_one();
    }
}
