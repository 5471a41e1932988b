//! The stages that a request passes before anything is fetched.

mod classify;
mod client;
mod limits;
mod normalize;
mod region;
mod residency;
mod revocation;
mod token;

#[cfg(test)]
pub(crate) mod testing;

use std::ops::ControlFlow;

use http::request::Parts;
use mcsp_api::ViewerIdentity;
use mcsp_auth_edge::TokenError;

pub(crate) use normalize::{is_forged, public_base, strip, strip_untold};

pub(crate) use classify::{is_plain_path, is_web, plain_route};
pub(crate) use limits::turn_away;
pub(crate) use normalize::refuse_loop;
pub(crate) use region::run as pick_region;

use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::waf;

/// Goes on, or answers.
pub(crate) type Flow = ControlFlow<Answer>;

/// A named stage.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// The stage's name, as logs and the design name it.
    pub name: &'static str,
    pub(crate) run: fn(&Edge, &Parts, &mut RequestContext) -> Flow,
}

/// The stage that a request takes up again when its token's keys have come.
const TOKEN: &str = "token";

/// The stages in order. The first that answers ends the list.
pub const REQUEST_STAGES: [Stage; 10] = [
    Stage {
        name: "client",
        run: client::run,
    },
    Stage {
        name: "normalize",
        run: normalize::run,
    },
    Stage {
        name: "classify",
        run: classify::run,
    },
    // Before what costs more than a count.
    Stage {
        name: "limits",
        run: limits::run,
    },
    // Before anything is looked up: what is hostile costs no more than its inspection.
    Stage {
        name: "waf",
        run: waf::run,
    },
    // Before the token: a PoP that may not carry the bytes need not hold what verifies them; the one it names does.
    Stage {
        name: "residency",
        run: residency::run,
    },
    Stage {
        name: TOKEN,
        run: token::run,
    },
    Stage {
        name: "revocation",
        run: revocation::run,
    },
    // Only now: nobody pays for a token that is not good.
    Stage {
        name: "quota",
        run: limits::quota,
    },
    Stage {
        name: "region",
        run: region::run,
    },
];

/// Runs the list for viewers.
pub(crate) fn run_all(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let flow = run_list(&REQUEST_STAGES, edge, request, context);
    if flow.is_continue() || context.is_limited {
        return flow;
    }
    // Answered before it was known what it is for: that too may be asked only so often.
    match limits::unknown(edge, context) {
        ControlFlow::Continue(()) => flow,
        ControlFlow::Break(answer) => ControlFlow::Break(answered("limits", edge, context, answer)),
    }
}

/// After [`run_all`] answered: a token whose key is not known here, whose issuer may know it. Only what has passed every stage
/// before the token's makes anybody ask.
pub(crate) fn awaiting(request: &Parts, context: &mut RequestContext) -> Option<String> {
    token::awaiting(request, context)
}

/// Goes on with the token's stage; its issuer was asked, and `verdict` is what came of it.
pub(crate) fn resume(
    edge: &Edge,
    request: &Parts,
    context: &mut RequestContext,
    verdict: Result<ViewerIdentity, TokenError>,
) -> Flow {
    context.verdict = Some(verdict);
    let at = REQUEST_STAGES.iter().position(|stage| stage.name == TOKEN);
    let rest = at.and_then(|at| REQUEST_STAGES.get(at..));
    run_list(rest.unwrap_or_default(), edge, request, context)
}

/// Runs a list; the first stage that answers ends it.
pub(crate) fn run_list(
    stages: &[Stage],
    edge: &Edge,
    request: &Parts,
    context: &mut RequestContext,
) -> Flow {
    for stage in stages {
        if let ControlFlow::Break(answer) = (stage.run)(edge, request, context) {
            if context.awaits_keys {
                return ControlFlow::Break(answer);
            }
            return ControlFlow::Break(answered(stage.name, edge, context, answer));
        }
    }
    ControlFlow::Continue(())
}

/// Counts that a stage answers, and notes why.
pub(crate) fn answered(
    stage: &str,
    edge: &Edge,
    context: &mut RequestContext,
    answer: Answer,
) -> Answer {
    edge.metrics
        .answers
        .with_label_values(&[stage, answer.detail])
        .inc();
    context.detail = Some(answer.detail);
    answer
}

/// What a stage that had to wait for the request's body says: see [`answered`].
pub(crate) fn told(stage: &str, edge: &Edge, context: &mut RequestContext, flow: Flow) -> Flow {
    flow.map_break(|answer| answered(stage, edge, context, answer))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::testing::{CONTENT, Fixture, request};
    use super::*;

    fn status(fixture: &Fixture, path: &str) -> Option<StatusCode> {
        let head = request("GET", path);
        let mut context = fixture.context();
        let flow = run_all(&fixture.edge, &head, &mut context);
        flow.break_value().map(|answer| answer.status)
    }

    #[test]
    fn a_pop_that_may_not_carry_the_bytes_needs_no_key_to_say_so() {
        let ng = format!("/media/unverifiable/ng/{CONTENT}/v360/1.m4s");
        let global = format!("/media/unverifiable/global/{CONTENT}/v360/1.m4s");
        let london = Fixture::without_keys("lhr1");
        assert_eq!(status(&london, &ng), Some(StatusCode::TEMPORARY_REDIRECT));
        assert_eq!(
            status(&london, &global),
            Some(StatusCode::SERVICE_UNAVAILABLE)
        );
        for pop in ["los1", "abv1"] {
            assert_eq!(
                status(&Fixture::new(pop), &ng),
                Some(StatusCode::FORBIDDEN),
                "{pop}"
            );
        }
        assert_eq!(
            status(&Fixture::new("lhr1"), &global),
            Some(StatusCode::FORBIDDEN)
        );
    }
}
