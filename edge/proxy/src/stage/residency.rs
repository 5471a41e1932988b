//! `residency`: bytes under `ng/` are carried by PoPs in Nigeria only. Every other PoP sends the viewer there, connects
//! to no origin and stores nothing. No token is looked at for that: the answer holds no more than the question did, and
//! the PoP in Nigeria refuses a bad one.

use std::ops::ControlFlow;

use http::request::Parts;
use mcsp_api::ProblemKind;
use mcsp_geo::{Client, nearest};

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::media_token;
use crate::route::Route;

pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let residency = match context.route.as_deref() {
        Some(Route::Media(media)) => media.residency,
        Some(Route::Storage(storage)) => storage.residency,
        _ => return ControlFlow::Continue(()),
    };
    // A node without a place is nowhere, which is not Nigeria.
    let home = edge.home.as_ref();
    if residency.allows_country(home.map(|home| home.pop.country.as_str())) {
        return ControlFlow::Continue(());
    }
    edge.metrics
        .kept_out
        .with_label_values(&[context.route_label()])
        .inc();
    let elsewhere = || {
        let text = "this PoP may not carry that; use one in Nigeria";
        ControlFlow::Break(Answer::problem(ProblemKind::WrongPop, "residency", text))
    };
    let Some(home) = home.filter(|_| context.is_media()) else {
        return elsewhere();
    };
    let client = match context.peer {
        Some(peer) => Client::at(peer.ip(), context.place),
        None => Client::default(),
    };
    let candidates = nearest(&home.pops, &client, residency, |pop| pop.id != home.pop.id);
    let Some(base) = candidates.first().and_then(|pop| pop.base_urls.first()) else {
        return elsewhere();
    };
    let mut location = base.as_str().trim_end_matches('/').to_owned();
    match context.route.as_deref() {
        // No cookie goes with it to another host.
        Some(Route::Media(media)) if !media.token.is_empty() => {
            location.push_str(&media.viewer_path_of(media.rest()));
        }
        _ => location.push_str(request.uri.path()),
    }
    if let Some(query) = media_token::query(request).filter(|query| !query.is_empty()) {
        location.push('?');
        location.push_str(&query);
    }
    ControlFlow::Break(Answer::redirect(&location, "residency"))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use http::header::LOCATION;

    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, request};

    fn answer(pop: &str, path: &str) -> Option<(StatusCode, Option<String>)> {
        let fixture = Fixture::new(pop);
        let head = request("GET", path);
        let mut context = fixture.classified(&head);
        match run(&fixture.edge, &head, &mut context) {
            ControlFlow::Continue(()) => None,
            ControlFlow::Break(answer) => {
                let location = answer.headers.iter().find(|(name, _)| *name == LOCATION);
                Some((answer.status, location.map(|(_, value)| value.clone())))
            }
        }
    }

    #[test]
    fn ng_media_is_sent_to_nigeria_with_the_same_path() {
        let path = format!("/media/tok/ng/{CONTENT}/v360/1.m4s");
        let wanted = format!("https://los1.example{path}");
        assert_eq!(
            answer("lhr1", &path),
            Some((StatusCode::TEMPORARY_REDIRECT, Some(wanted)))
        );
        assert_eq!(answer("los1", &path), None);
        assert_eq!(answer("abv1", &path), None);
    }

    #[test]
    fn global_media_is_carried_everywhere() {
        let path = format!("/media/tok/global/{CONTENT}/v360/1.m4s");
        for pop in ["lhr1", "los1", "abv1"] {
            assert_eq!(answer(pop, &path), None);
        }
    }

    #[test]
    fn ng_uploads_are_refused_outside_nigeria() {
        let path = format!("/storage/mcsp-ng/ng/{CONTENT}/source/original");
        assert_eq!(
            answer("lhr1", &path),
            Some((StatusCode::MISDIRECTED_REQUEST, None))
        );
        assert_eq!(answer("los1", &path), None);
    }
}
