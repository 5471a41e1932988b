//! How what the node stands on is: asked for regularly, told by `/readyz` and by metrics.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use mcsp_runtime::Shutdown;
use mcsp_telemetry::{Readiness, registry};
use parking_lot::RwLock;
use prometheus::{IntGaugeVec, Opts};

const EVERY: Duration = Duration::from_secs(2);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// Does the node need what is checked?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Without it, no traffic.
    Hard,
    /// Without it, the services go on with less.
    Soft,
}

type Ask = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One thing that is asked how it is.
#[derive(Clone)]
pub(crate) struct Check {
    name: &'static str,
    need: Need,
    ask: Ask,
}

impl Check {
    pub(crate) fn new<F, W, E>(name: &'static str, need: Need, ask: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = Result<(), E>> + Send + 'static,
        E: fmt::Display,
    {
        Self {
            name,
            need,
            ask: Arc::new(move || {
                let asking = ask();
                Box::pin(async move { asking.await.map_err(|error| error.to_string()) })
            }),
        }
    }
}

/// What was last heard. Cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    last: Arc<RwLock<Readiness>>,
}

impl Health {
    /// Not ready: starting.
    pub(crate) fn starting() -> Self {
        Self {
            last: Arc::new(RwLock::new(Readiness::not_ready("node", "starting"))),
        }
    }

    pub(crate) fn readiness(&self) -> Readiness {
        self.last.read().clone()
    }

    /// Not ready any more: load balancers look elsewhere while what is under way ends.
    pub(crate) fn stopping(&self) {
        *self.last.write() = Readiness::not_ready("node", "stopping");
    }

    /// Asks once.
    pub(crate) async fn ask(&self, checks: &[Check]) {
        let answers = checks.iter().map(|check| async move {
            let answer = tokio::time::timeout(CHECK_TIMEOUT, (check.ask)()).await;
            (
                check,
                answer.unwrap_or_else(|_| Err("no answer within 1 s".to_owned())),
            )
        });
        let mut readiness = Readiness::ready();
        for (check, answer) in join_all(answers).await {
            if let Some(up) = up() {
                up.with_label_values(&[check.name])
                    .set(i64::from(answer.is_ok()));
            }
            readiness = match check.need {
                Need::Hard => readiness.with(check.name, answer),
                Need::Soft => readiness.note(check.name, answer),
            };
        }
        *self.last.write() = readiness;
    }

    /// Asks until shutdown.
    pub(crate) async fn watch(&self, checks: &[Check], shutdown: &Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.wait() => return self.stopping(),
                () = tokio::time::sleep(EVERY) => {}
            }
            tokio::select! {
                () = shutdown.wait() => return self.stopping(),
                () = self.ask(checks) => {}
            }
        }
    }
}

fn up() -> Option<&'static IntGaugeVec> {
    static UP: OnceLock<Option<IntGaugeVec>> = OnceLock::new();
    let make = || {
        let opts = Opts::new(
            "mcsp_dependency_up",
            "1 when the dependency answered last time.",
        );
        let gauge = IntGaugeVec::new(opts, &["dependency"]).ok()?;
        registry().register(Box::new(gauge.clone())).ok()?;
        Some(gauge)
    };
    UP.get_or_init(make).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hard_need_decides_and_a_soft_one_is_told() {
        let check = |name, need, answer: Result<(), &'static str>| {
            Check::new(name, need, move || async move { answer })
        };
        let health = Health::starting();
        assert!(!health.readiness().ready);
        health
            .ask(&[
                check("db", Need::Hard, Ok(())),
                check("kv", Need::Soft, Err("away")),
            ])
            .await;
        let readiness = health.readiness();
        assert!(readiness.ready);
        assert_eq!(readiness.checks["kv"], "away");
        health.ask(&[check("db", Need::Hard, Err("full"))]).await;
        assert!(!health.readiness().ready);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_is_away() {
        let health = Health::starting();
        let silent = Check::new("db", Need::Hard, std::future::pending::<Result<(), String>>);
        health.ask(&[silent]).await;
        assert_eq!(health.readiness().checks["db"], "no answer within 1 s");
    }
}
