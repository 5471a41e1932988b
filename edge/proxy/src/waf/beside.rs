//! Long steps of an inspection, on the threads beside the workers.
//!
//! What is inspected goes there as a whole and comes back with the verdict: nothing is copied. A client that does not wait for it
//! leaves its place to others, also in the middle of it; what was found by then is told. What is lost with its thread comes back as
//! well, and is no request that rules have passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcsp_edge_waf::{Guarded, TurnedAway, Verdict, Work};
use prometheus::IntGauge;
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
    step: Step,
    /// Nobody waits for it any more.
    left: Arc<AtomicBool>,
    /// Until it is told what came of it.
    handed: Option<(Guarded, oneshot::Sender<Turn>)>,
}

impl Task {
    fn tell(&mut self, outcome: &str, turn: impl FnOnce(Guarded) -> Turn) {
        let Some((guarded, tell)) = self.handed.take() else {
            return;
        };
        self.firewall.metrics.beside(outcome).inc();
        if let Err(turn) = tell.send(turn(guarded)) {
            nobody_waits(&self.firewall, &self.route, turn);
        }
    }

    fn turn_away(&mut self, why: TurnedAway) {
        self.tell(why.name(), |guarded| Turn::None(guarded, why));
    }
}

impl Work for Task {
    fn run(mut self: Box<Self>) {
        let Some((guarded, tell)) = &mut self.handed else {
            return;
        };
        if tell.is_closed() {
            return self.turn_away(TurnedAway::Left);
        }
        guarded.heed(Some(self.left.clone()));
        let verdict = self.step.run(guarded);
        // What comes after this step is not for who waited for it.
        guarded.heed(None);
        let outcome = match guarded.has_ended_early() {
            true => TurnedAway::Left.name(),
            false => INSPECTED,
        };
        self.tell(outcome, |guarded| Turn::Had(guarded, verdict));
    }

    fn turned_away(mut self: Box<Self>, why: TurnedAway) {
        self.turn_away(why);
    }
}

/// The word for what had its turn, in metrics.
pub(super) const INSPECTED: &str = "inspected";

impl Drop for Task {
    fn drop(&mut self) {
        self.turn_away(TurnedAway::Lost);
    }
}

/// The client has gone, and its request is still one to be counted and told.
fn nobody_waits(firewall: &Firewall, route: &str, turn: Turn) {
    let (guarded, outcome) = match turn {
        Turn::Had(guarded, Verdict::Block(_)) => (guarded, Some("blocked")),
        Turn::Had(guarded, Verdict::Pass) => {
            let outcome = guarded.has_ended_early().then_some("left");
            (guarded, outcome)
        }
        Turn::None(guarded, _) => (guarded, Some("left")),
    };
    firewall.conclude(route, guarded, outcome, 0);
}

/// What is told of a step to who waits for it. When he is gone, what was told meanwhile is for nobody.
struct Told<'f> {
    firewall: &'f Firewall,
    route: &'f str,
    left: Arc<AtomicBool>,
    turn: oneshot::Receiver<Turn>,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
        // From here on who tells it learns that nobody waits.
        self.turn.close();
        if let Ok(turn) = self.turn.try_recv() {
            nobody_waits(self.firewall, self.route, turn);
        }
    }
}

/// What the firewall has under way beside the workers, while this lives.
struct Counted(IntGauge);

impl Counted {
    fn new(firewall: &Firewall) -> Self {
        let gauge = firewall.metrics.beside_now.clone();
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request that is answered already, and that rules see for their event.
struct Sight {
    firewall: Arc<Firewall>,
    route: Arc<str>,
    status: u16,
    guarded: Option<Guarded>,
    _counted: Counted,
}

impl Sight {
    fn conclude(&mut self, counted: &str, outcome: Option<&'static str>) {
        if let Some(guarded) = self.guarded.take() {
            self.firewall.metrics.beside(counted).inc();
            let Self { route, status, .. } = self;
            self.firewall.conclude(route, guarded, outcome, *status);
        }
    }
}

impl Work for Sight {
    fn run(mut self: Box<Self>) {
        let guarded = self.guarded.as_mut();
        let verdict = guarded.map(|guarded| Step::Request.run(guarded));
        let outcome = matches!(verdict, Some(Verdict::Block(_))).then_some("blocked");
        self.conclude(INSPECTED, outcome);
    }

    fn turned_away(mut self: Box<Self>, why: TurnedAway) {
        self.conclude(why.name(), Some("turned-away"));
    }
}

impl Drop for Sight {
    fn drop(&mut self) {
        self.conclude(TurnedAway::Lost.name(), Some("turned-away"));
    }
}

impl Firewall {
    /// Does a step: beside the workers if it is long, and here otherwise. Nothing comes back if not even its loss is told.
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
        let left = Arc::new(AtomicBool::new(false));
        // Dropped after the place below, which tells of what is taken back.
        let mut told = Told {
            firewall: self,
            route,
            left: left.clone(),
            turn,
        };
        let task = Task {
            firewall: self.clone(),
            route: route.clone(),
            step,
            left,
            handed: Some((guarded, tell)),
        };
        let mut place = beside.enter(client, Box::new(task));
        match tokio::time::timeout(self.wait(), &mut told.turn).await {
            Ok(turn) => turn.ok(),
            Err(_) => {
                place.give_up();
                (&mut told.turn).await.ok()
            }
        }
    }

    /// The end of a request that is answered already, and of which rules have still to see the whole: beside the workers if that is
    /// long, as soon as there is a turn.
    pub(super) fn see_out(self: &Arc<Self>, route: &Arc<str>, mut guarded: Guarded, status: u16) {
        let beside = self.beside.as_ref();
        let (Some(beside), Some(client)) = (
            beside.filter(|_| Step::Request.is_long(&guarded)),
            guarded.client(),
        ) else {
            let verdict = Step::Request.run(&mut guarded);
            let outcome = matches!(verdict, Verdict::Block(_)).then_some("blocked");
            return self.conclude(route, guarded, outcome, status);
        };
        let sight = Sight {
            firewall: self.clone(),
            route: route.clone(),
            status,
            guarded: Some(guarded),
            _counted: Counted::new(self),
        };
        beside.enter(client, Box::new(sight)).stay();
    }

    /// Longest wait for a turn.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_millis(self.guard.site().config().beside.wait_ms_max)
    }
}
