//! What a child's request passes before anything is looked up: the counterpart of the viewers' stages, without a token.

use std::ops::ControlFlow;
use std::time::Duration;

use http::Method;
use http::request::Parts;
use mcsp_api::ProblemKind;
use mcsp_api::media_path::{MEDIA_PREFIX, MediaPath, private};
use mcsp_edge_fetch::FEED_POSITION;
use mcsp_identity::EDGE_NAMESPACE;
use mcsp_telemetry::trace_from_headers;

use super::child::Standing;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::feed_position::{FeedPosition, Reached};
use crate::route::{MediaRoute, Route};
use crate::stage::{self, Flow, Stage, is_plain_path, is_web};

/// In order; the first that answers ends the list. After it, the feed.
const CHILD_STAGES: [Stage; 5] = [
    Stage {
        name: "shield-caller",
        run: caller,
    },
    Stage {
        name: "shield-loop",
        run: stage::refuse_loop,
    },
    Stage {
        name: "shield-classify",
        run: classify,
    },
    Stage {
        name: "shield-residency",
        run: residency,
    },
    Stage {
        name: "shield-region",
        run: stage::pick_region,
    },
];

/// Goes on when the child may have what it asks for, and this node is as far with the feed as the child.
pub(crate) async fn admit(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    stage::run_list(&CHILD_STAGES, edge, request, context)?;
    let Err(detail) = catch_up(edge, request).await else {
        return ControlFlow::Continue(());
    };
    let text = "this node may not have carried out all purges that the caller has";
    let answer = Answer::problem(ProblemKind::Unavailable, detail, text);
    ControlFlow::Break(stage::answered("shield-feed", edge, context, answer))
}

fn refuse(kind: ProblemKind, detail: &'static str, text: &str) -> Flow {
    ControlFlow::Break(Answer::problem(kind, detail, text))
}

fn caller(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    if let Some(theirs) = trace_from_headers(&request.headers) {
        context.trace = theirs.child(&*edge.entropy);
    }
    let standing = context.child.as_ref().map(|child| child.standing);
    match standing {
        Some(Standing::Invited) => ControlFlow::Continue(()),
        Some(Standing::TooMany) => {
            let text = "this node has as much to do as it can";
            refuse(ProblemKind::Unavailable, "busy", text)
        }
        Some(Standing::Uninvited) | None => {
            let text = "only nodes of known PoPs may ask here";
            refuse(ProblemKind::Forbidden, "caller", text)
        }
    }
}

/// Media in the form between edge and origin, and the viewer's page; whoever asks for anything else is no child of ours.
fn classify(_edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return ControlFlow::Break(Answer::method_not_allowed("GET, HEAD"));
    }
    let path = request.uri.path();
    let route = if path.starts_with(MEDIA_PREFIX) {
        let media = MediaPath::parse_origin(path);
        let media = media.filter(|media| {
            let mut hidden = private::PREFIXES.iter();
            !hidden.any(|prefix| media.rest.starts_with(prefix))
        });
        media.map(|media| Route::Media(MediaRoute::new("", media)))
    } else {
        (is_plain_path(path) && is_web(path)).then(|| Route::Web(path.to_owned()))
    };
    let Some(route) = route else {
        return refuse(
            ProblemKind::NotFound,
            "path",
            "nothing is served under this path",
        );
    };
    context.route = Some(route.into());
    ControlFlow::Continue(())
}

/// Bytes under `ng/` go from Nigeria to Nigeria: neither does a node elsewhere have them, nor does one elsewhere get them.
fn residency(edge: &Edge, _request: &Parts, context: &mut RequestContext) -> Flow {
    let Some(Route::Media(media)) = context.route.as_deref() else {
        return ControlFlow::Continue(());
    };
    let country_of_child = context.child.as_ref().and_then(|child| {
        let pops = &edge.home.as_ref()?.pops;
        let is_edge = child.caller.namespace() == EDGE_NAMESPACE;
        pops.get(child.caller.account()).filter(|_| is_edge)
    });
    let here = edge.home.as_ref().map(|home| home.pop.country.as_str());
    let there = country_of_child.map(|pop| pop.country.as_str());
    let is_allowed = [here, there]
        .into_iter()
        .all(|country| media.residency.allows_country(country));
    if is_allowed {
        return ControlFlow::Continue(());
    }
    edge.metrics
        .kept_out
        .with_label_values(&[context.route_label()])
        .inc();
    let text = "that stays in Nigeria";
    refuse(ProblemKind::WrongPop, "residency", text)
}

/// Waits for the feed where the child is further. A child that does not say how far it is, or follows another feed, cannot
/// be told anything that it could keep.
async fn catch_up(edge: &Edge, request: &Parts) -> Result<(), &'static str> {
    let said = request.headers.get(&FEED_POSITION);
    let wanted = said
        .and_then(|said| FeedPosition::parse(said.to_str().ok()?))
        .ok_or("behind")?;
    let listener = edge.shield.listener.as_ref();
    let wait_max = listener.map_or(0, |listener| listener.catch_up_ms);
    let wait_max = Duration::from_millis(wait_max);
    match edge.feed.progress().reach(&wanted, wait_max).await {
        Reached::Yes => Ok(()),
        Reached::Behind | Reached::Elsewhere => Err("behind"),
    }
}
