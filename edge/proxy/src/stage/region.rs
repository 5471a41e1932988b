//! `region`: whose origin is asked. Every id tells its home region; what names none is for the viewer's own region, which
//! a refresh token tells too; and what has no viewer is for the PoP's.

use std::ops::ControlFlow;

use http::HeaderMap;
use http::header::COOKIE;
use http::request::Parts;
use mcsp_api::rest::REFRESH_COOKIE;
use mcsp_api::{
    ContentId, MediaSessionId, OrganisationId, ProblemKind, RegionCode, UploadId, UserId,
};

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::route::Route;

/// Trades a refresh token. A sign-in with another person's old cookie stays with the PoP's region: the cookie says
/// nothing about who signs in, and its region may be away.
const REFRESH: &str = "/api/v1/auth/refresh";

pub(crate) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let home = match (&edge.home, context.route.as_deref()) {
        (_, Some(Route::Plain(_))) => return ControlFlow::Continue(()),
        (None, _) => return no_route(),
        (Some(home), _) => home,
    };
    let code = match context.route.as_deref() {
        Some(Route::Media(media)) => Some(media.content_id.region()),
        Some(Route::Storage(storage)) => Some(storage.content_id.region()),
        Some(Route::Api(api)) => code_in_path(&api.path)
            .or_else(|| {
                context
                    .identity
                    .as_ref()
                    .map(|identity| identity.user_id.region())
            })
            // Of all calls that come without a token, only this one is for the session of a region.
            .or_else(|| {
                (api.path == REFRESH)
                    .then(|| code_in_cookie(&request.headers))?
                    .filter(|code| home.pops.region_by_code(*code).is_some())
            }),
        Some(Route::Web(_) | Route::Plain(_)) | None => None,
    };
    let region = match code {
        None => home.upstreams.region(&home.pop.region),
        Some(code) => {
            let Some(known) = home.pops.region_by_code(code) else {
                let text = "no region has this id's code";
                return ControlFlow::Break(Answer::problem(
                    ProblemKind::NotFound,
                    "unknown-region",
                    text,
                ));
            };
            home.upstreams.region(&known.id)
        }
    };
    match region {
        Some(region) => {
            context.region = Some(region);
            ControlFlow::Continue(())
        }
        None => no_route(),
    }
}

fn no_route() -> Flow {
    let text = "this PoP has no way to the region that this belongs to";
    ControlFlow::Break(Answer::problem(ProblemKind::Unavailable, "no-route", text))
}

/// The region of a refresh token, `r_{region}_…`: who asks for a new access token has none to tell by.
fn code_in_cookie(headers: &HeaderMap) -> Option<RegionCode> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == REFRESH_COOKIE)
        .and_then(|(_, token)| token.strip_prefix("r_")?.split_once('_')?.0.parse().ok())
}

/// The region of the first id in an API path.
fn code_in_path(path: &str) -> Option<RegionCode> {
    path.split('/').find_map(|step| {
        let content = step.parse::<ContentId>().map(|id| id.region()).ok();
        content
            .or_else(|| step.parse::<UploadId>().map(|id| id.region()).ok())
            .or_else(|| step.parse::<UserId>().map(|id| id.region()).ok())
            .or_else(|| step.parse::<MediaSessionId>().map(|id| id.region()).ok())
            .or_else(|| step.parse::<OrganisationId>().map(|id| id.region()).ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{Fixture, identity, request};

    const UNIQUE: &str = "01k9x3m5y8q2v7r4t6w1z0a3bc";

    #[test]
    fn a_refresh_token_tells_its_region() {
        let fixture = Fixture::new("lhr1");
        let cases = [
            ("mcsp_refresh=r_ng_abc", "ng-lagos"),
            ("a=b; mcsp_refresh=r_ng_a_b; c=d", "ng-lagos"),
            ("mcsp_refresh=r_gl_abc", "global-london"),
            ("mcsp_refresh=nonsense", "global-london"),
            // No region of ours.
            ("mcsp_refresh=r_zz_abc", "global-london"),
            ("other=r_ng_abc", "global-london"),
        ];
        let calls = cases.map(|(cookie, wanted)| (REFRESH, cookie, wanted));
        let login = (
            "/api/v1/auth/login",
            "mcsp_refresh=r_ng_abc",
            "global-london",
        );
        for (path, cookie, wanted) in calls.into_iter().chain([login]) {
            let mut head = request("POST", path);
            head.insert_header("cookie", cookie).unwrap();
            let mut context = fixture.classified(&head);
            assert!(run(&fixture.edge, &head, &mut context).is_continue());
            assert_eq!(
                context.region.as_ref().unwrap().id(),
                wanted,
                "{path} {cookie}"
            );
        }
    }

    #[test]
    fn the_id_decides_then_the_viewer_then_the_pop() {
        let fixture = Fixture::new("lhr1");
        let cases = [
            (
                format!("/api/v1/content/c_ng_{UNIQUE}"),
                None,
                Ok("ng-lagos"),
            ),
            (
                format!("/api/v1/content/c_gl_{UNIQUE}"),
                Some("ng"),
                Ok("global-london"),
            ),
            (
                format!("/api/v1/uploads/session/up_ng_{UNIQUE}/complete"),
                None,
                Ok("ng-lagos"),
            ),
            (
                "/api/v1/uploads/session".to_owned(),
                Some("ng"),
                Ok("ng-lagos"),
            ),
            (
                "/api/v1/users/me".to_owned(),
                Some("gl"),
                Ok("global-london"),
            ),
            ("/api/v1/auth/login".to_owned(), None, Ok("global-london")),
            ("/".to_owned(), None, Ok("global-london")),
            (
                format!("/media/t/global/c_ng_{UNIQUE}/a.m4s"),
                None,
                Ok("ng-lagos"),
            ),
            (
                format!("/storage/mcsp-ng/ng/c_ng_{UNIQUE}/source/original"),
                None,
                Ok("ng-lagos"),
            ),
            (
                format!("/api/v1/content/c_zz_{UNIQUE}"),
                None,
                Err("unknown-region"),
            ),
        ];
        for (path, viewer, wanted) in cases {
            let head = request("GET", &path);
            let mut context = fixture.classified(&head);
            context.identity = viewer.map(identity);
            let flow = run(&fixture.edge, &head, &mut context);
            let got = match &flow {
                ControlFlow::Break(answer) => Err(answer.detail),
                ControlFlow::Continue(()) => Ok(context.region.as_ref().unwrap().id()),
            };
            assert_eq!(got, wanted, "{path}");
        }
    }
}
