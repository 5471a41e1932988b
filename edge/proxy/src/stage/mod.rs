//! The stages that a request passes before anything is fetched.

mod classify;
mod client;
mod normalize;
mod region;
mod residency;
mod revocation;
mod token;

#[cfg(test)]
pub(crate) mod testing;

use std::ops::ControlFlow;

use pingora_http::RequestHeader;

use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;

/// Goes on, or answers.
pub(crate) type Flow = ControlFlow<Answer>;

/// A named stage.
#[derive(Debug, Clone, Copy)]
pub struct Stage {
    /// The stage's name, as logs and the design name it.
    pub name: &'static str,
    pub(crate) run: fn(&Edge, &mut RequestHeader, &mut RequestContext) -> Flow,
}

/// The stages in order. The first that answers ends the list.
pub const REQUEST_STAGES: [Stage; 7] = [
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
    Stage {
        name: "token",
        run: token::run,
    },
    Stage {
        name: "revocation",
        run: revocation::run,
    },
    Stage {
        name: "residency",
        run: residency::run,
    },
    Stage {
        name: "region",
        run: region::run,
    },
];

/// Runs the list.
pub(crate) fn run_all(
    edge: &Edge,
    request: &mut RequestHeader,
    context: &mut RequestContext,
) -> Flow {
    for stage in &REQUEST_STAGES {
        if let ControlFlow::Break(answer) = (stage.run)(edge, request, context) {
            edge.metrics
                .answers
                .with_label_values(&[stage.name, answer.detail])
                .inc();
            context.detail = Some(answer.detail);
            return ControlFlow::Break(answer);
        }
    }
    ControlFlow::Continue(())
}
