//! Long steps of an inspection, on the threads beside the workers.
//!
//! What is inspected goes there as a whole and comes back with the verdict: nothing is copied. A client that does not wait for it
//! leaves its place to others; what was found by then is told.

use std::sync::Arc;
use std::time::Duration;

use mcsp_edge_waf::{Guarded, TurnedAway, Verdict, Work};
use tokio::sync::oneshot;

use super::Firewall;

/// A step that may be long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The request as a whole.
    Request,
    /// The answer's body.
    Response,
}

impl Step {
    pub(super) fn is_long(self, guarded: &Guarded) -> bool {
        match self {
            Self::Request => guarded.is_request_long(),
            Self::Response => guarded.is_response_long(),
        }
    }

    pub(super) fn run(self, guarded: &mut Guarded) -> Verdict {
        match self {
            Self::Request => guarded.request_body_done(),
            Self::Response => guarded.response_body_done(),
        }
    }
}

/// What came of a step, and what was inspected.
#[derive(Debug)]
pub(super) enum Turn {
    Had(Guarded, Verdict),
    None(Guarded, TurnedAway),
}

struct Task {
    firewall: Arc<Firewall>,
    route: Arc<str>,
    guarded: Guarded,
    step: Step,
    tell: oneshot::Sender<Turn>,
}

impl Work for Task {
    fn run(mut self: Box<Self>) {
        if self.tell.is_closed() {
            return self.turned_away(TurnedAway::Left);
        }
        let verdict = self.step.run(&mut self.guarded);
        self.firewall.metrics.beside("inspected").inc();
        if let Err(turn) = self.tell.send(Turn::Had(self.guarded, verdict)) {
            nobody_waits(&self.firewall, &self.route, turn);
        }
    }

    fn turned_away(self: Box<Self>, why: TurnedAway) {
        self.firewall.metrics.beside(why.name()).inc();
        if let Err(turn) = self.tell.send(Turn::None(self.guarded, why)) {
            nobody_waits(&self.firewall, &self.route, turn);
        }
    }
}

/// The client has gone, and its request is still one to be counted and told.
fn nobody_waits(firewall: &Firewall, route: &str, turn: Turn) {
    let (guarded, outcome) = match turn {
        Turn::Had(guarded, Verdict::Block(_)) => (guarded, Some("blocked")),
        Turn::Had(guarded, Verdict::Pass) => (guarded, None),
        Turn::None(guarded, _) => (guarded, Some("left")),
    };
    firewall.conclude(route, guarded, outcome, 0);
}

/// What is told of a step to who waits for it. When he is gone, what was told meanwhile is for nobody.
struct Told<'f> {
    firewall: &'f Firewall,
    route: &'f str,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        // From here on who tells it learns that nobody waits.
        self.turn.close();
        if let Ok(turn) = self.turn.try_recv() {
            nobody_waits(self.firewall, self.route, turn);
        }
    }
}

/// What the firewall has under way beside the workers, while this lives.
struct Counted<'f>(&'f Firewall);

impl<'f> Counted<'f> {
    fn new(firewall: &'f Firewall) -> Self {
        firewall.metrics.beside_now.inc();
        Self(firewall)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.beside_now.dec();
    }
}

impl Firewall {
    /// Does a step: beside the workers if it is long, and here otherwise. Nothing comes back of what was lost with its thread.
    pub(super) async fn take_turn(
        self: &Arc<Self>,
        route: &Arc<str>,
        mut guarded: Guarded,
        step: Step,
    ) -> Option<Turn> {
        let (Some(beside), Some(client)) = (
            self.beside.as_ref().filter(|_| step.is_long(&guarded)),
            guarded.client(),
        ) else {
            let verdict = step.run(&mut guarded);
            return Some(Turn::Had(guarded, verdict));
        };
        let _counted = Counted::new(self);
        let (tell, turn) = oneshot::channel();
        // Dropped after the place below, which tells of what is taken back.
        let mut told = Told {
            firewall: self,
            route,
            turn,
        };
        let task = Task {
            firewall: self.clone(),
            route: route.clone(),
            guarded,
            step,
            tell,
        };
        let mut place = beside.enter(client, Box::new(task));
        let wait = Duration::from_millis(self.guard.site().config().beside.wait_ms_max);
        let turn = match tokio::time::timeout(wait, &mut told.turn).await {
            Ok(turn) => turn,
            Err(_) => {
                place.give_up();
                (&mut told.turn).await
            }
        };
        if turn.is_err() {
            self.metrics.beside("lost").inc();
        }
        turn.ok()
    }
}
