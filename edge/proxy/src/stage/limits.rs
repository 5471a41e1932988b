//! `limits` and `quota`: may this client, and then this user or stream, ask for so much?

use std::net::IpAddr;
use std::ops::ControlFlow;

use http::Method;
use http::request::Parts;
use mcsp_edge_limits::{Class, Fingerprint, Holder, Standing, Turned};

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::route::{ApiRoute, MediaKind, Route};

/// Counts the request by the client's address, before anything costly is done for it; it is under way from here on.
pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let Some(class) = context
        .route
        .as_deref()
        .map(|route| class_of(route, &request.method))
    else {
        return ControlFlow::Continue(());
    };
    count(edge, class, context)
}

/// Counts a request that is answered before it is known what it is for.
pub(super) fn unknown(edge: &Edge, context: &mut RequestContext) -> Flow {
    count(edge, Class::Web, context)
}

fn count(edge: &Edge, class: Class, context: &mut RequestContext) -> Flow {
    context.is_limited = true;
    // What is fetched ahead no viewer asked for, and what another node asks for it has counted.
    if context.is_ahead || context.child.is_some() {
        return ControlFlow::Continue(());
    }
    match edge.limits.request(class, address(context)) {
        Ok((guard, standing)) => {
            context.class = Some(class);
            context.under_way = Some(guard);
            context.standing = standing;
            ControlFlow::Continue(())
        }
        Err(turned) => turn_away(edge, context, class, &turned),
    }
}

/// Refuses, and notes by which limits, and when it is time that the connection ends.
pub(crate) fn turn_away(
    edge: &Edge,
    context: &mut RequestContext,
    class: Class,
    turned: &Turned,
) -> Flow {
    context.turned = Some((class, turned.reason()));
    let connection = context.peer.filter(|_| turned.is_clients());
    context.ends_connection =
        connection.is_some_and(|peer| edge.limits.limiter.is_refused_too_often(peer));
    ControlFlow::Break(Answer::turned_away(turned))
}

/// Counts it by who makes it, once its token was found good.
pub(super) fn quota(edge: &Edge, _request: &Parts, context: &mut RequestContext) -> Flow {
    let Some(class) = context.class else {
        return ControlFlow::Continue(());
    };
    let user = context.identity.as_ref();
    let holder = Holder {
        user: user.map(|identity| Fingerprint::of(identity.user_id.as_str().as_bytes())),
        token: stream_of(context),
    };
    match edge.limits.holder(class, &holder) {
        Ok(standing) => {
            context.standing = Standing::tighter(context.standing, standing);
            ControlFlow::Continue(())
        }
        Err(turned) => turn_away(edge, context, class, &turned),
    }
}

/// The media session; a partner's token that names none of ours is one of its own.
fn stream_of(context: &RequestContext) -> Option<Fingerprint> {
    let session = context.access.as_ref()?.media_session_id();
    match (session, context.route.as_deref()) {
        (Some(id), _) => Some(Fingerprint::of(id.as_str().as_bytes())),
        (None, Some(Route::Media(media))) => Some(Fingerprint::of(media.token.as_bytes())),
        (None, _) => None,
    }
}

fn address(context: &RequestContext) -> Option<IpAddr> {
    context.peer.map(|peer| peer.ip())
}

pub(crate) fn class_of(route: &Route, method: &Method) -> Class {
    match route {
        Route::Media(media) => match media.kind {
            MediaKind::Segment => Class::Segment,
            MediaKind::Manifest => Class::Manifest,
            MediaKind::Art => Class::Art,
        },
        Route::Api(api) => of_call(api, method),
        Route::Storage(_) => Class::Upload,
        Route::Web(_) => Class::Web,
        Route::Plain(_) => Class::Plain,
    }
}

fn of_call(api: &ApiRoute, method: &Method) -> Class {
    let call = api.path.strip_prefix("/api/v1/").unwrap_or_default();
    let is_post = *method == Method::POST;
    match call {
        "auth/login" | "auth/register" if is_post => Class::Login,
        "auth/refresh" if is_post => Class::Renewal,
        _ if !method.is_safe() => Class::ApiWrite,
        _ if call.starts_with("play/") => Class::Play,
        _ => Class::ApiRead,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::StatusCode;
    use mcsp_api::Residency;
    use mcsp_edge_limits::Level;

    use super::super::run_all;
    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, identity, request};

    fn class(method: &str, path: &str) -> Class {
        let fixture = Fixture::new("los1");
        let head = request(method, path);
        let context = fixture.classified(&head);
        class_of(context.route.as_deref().unwrap(), &head.method)
    }

    #[test]
    fn every_request_has_a_class() {
        let media = |rest: &str| format!("/media/t/global/{CONTENT}/{rest}");
        let storage = format!("/storage/mcsp-ng/ng/{CONTENT}/source/original");
        let cases = [
            ("GET", media("v360/1.m4s"), Class::Segment),
            ("HEAD", media("manifest.m3u8"), Class::Manifest),
            ("GET", media("art/1.jpg"), Class::Art),
            ("GET", "/".to_owned(), Class::Web),
            ("PUT", storage, Class::Upload),
            ("POST", "/api/v1/auth/login".to_owned(), Class::Login),
            ("POST", "/api/v1/auth/register".to_owned(), Class::Login),
            ("GET", "/api/v1/auth/login".to_owned(), Class::ApiRead),
            ("POST", "/api/v1/auth/refresh".to_owned(), Class::Renewal),
            ("POST", "/api/v1/auth/logout".to_owned(), Class::ApiWrite),
            ("GET", format!("/api/v1/play/{CONTENT}"), Class::Play),
            (
                "DELETE",
                "/api/v1/play/sessions/ms".to_owned(),
                Class::ApiWrite,
            ),
            ("GET", "/api/v1/users/me".to_owned(), Class::ApiRead),
            ("PATCH", "/api/v1/users/me".to_owned(), Class::ApiWrite),
            ("GET", "/.well-known/jwks.json".to_owned(), Class::ApiRead),
        ];
        for (method, path, wanted) in cases {
            assert_eq!(class(method, &path), wanted, "{method} {path}");
        }
    }

    fn from(context: &mut RequestContext, host: u8) {
        context.peer = Some(SocketAddr::from(([192, 0, 2, host], 5)));
    }

    fn ask(fixture: &Fixture, host: u8, method: &str, path: &str) -> Option<Answer> {
        let head = request(method, path);
        let mut context = fixture.context();
        from(&mut context, host);
        run_all(&fixture.edge, &head, &mut context).break_value()
    }

    #[test]
    fn who_asks_for_too_much_is_told_when_there_is_more() {
        let fixture = Fixture::new("los1");
        let login = || ask(&fixture, 1, "POST", "/api/v1/auth/login");
        assert_eq!((0..500).take_while(|_| login().is_none()).count(), 200);
        let answer = login().unwrap();
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.detail, "rate-address");
        let header = |name: &str| {
            let found = answer.headers.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(header("retry-after"), Some("1"));
        assert_eq!(header("ratelimit"), Some("\"login-address\";r=0;t=1"));
        assert_eq!(
            header("ratelimit-policy"),
            Some("\"login-address\";q=200;w=20")
        );
        assert_eq!(answer.problem.as_ref().unwrap().retry_after_s, Some(1));
        assert!(ask(&fixture, 2, "POST", "/api/v1/auth/login").is_none());
        // What leads nowhere is counted too.
        let nowhere = |_: &i32| ask(&fixture, 1, "GET", "/nowhere").unwrap().status;
        let counted = (0..3_000).take_while(|at| nowhere(at) == StatusCode::NOT_FOUND);
        assert_eq!(counted.count(), 2_000);
    }

    #[test]
    fn a_user_and_a_stream_have_limits_of_their_own_wherever_they_ask_from() {
        let fixture = Fixture::new("los1");
        let token = fixture.media_token(Residency::Global, 0);
        let path = format!("/media/{token}/global/{CONTENT}/v360/1.m4s");
        let served = (0..1_000_u32).take_while(|at| {
            let host = u8::try_from(at % 200).unwrap();
            ask(&fixture, host, "GET", &path).is_none()
        });
        assert_eq!(served.count(), 400);
        let answer = ask(&fixture, 250, "GET", &path).unwrap();
        assert_eq!(answer.detail, "rate-token");
        // A token that is not good takes nothing from one that is.
        let forged = format!("/media/{token}x/global/{CONTENT}/v360/1.m4s");
        let status = ask(&fixture, 9, "GET", &forged).unwrap().status;
        assert_eq!(status, StatusCode::FORBIDDEN);

        let mut context = fixture.context();
        context.class = Some(Class::Play);
        context.identity = Some(identity("ng"));
        let head = request("GET", &format!("/api/v1/play/{CONTENT}"));
        let starts = (0..100)
            .take_while(|_| quota(&fixture.edge, &head, &mut context).is_continue())
            .count();
        assert_eq!(starts, 50);
        let standing = context.standing.unwrap();
        assert_eq!((standing.quota, standing.remaining), (50, 0));
    }

    #[test]
    fn a_node_with_too_much_to_do_serves_what_runs() {
        let fixture = Fixture::new("los1");
        let token = fixture.media_token(Residency::Global, 0);
        let path = format!("/media/{token}/global/{CONTENT}/v360/1.m4s");
        assert!(ask(&fixture, 1, "GET", &path).is_none());
        let late = mcsp_edge_limits::Pressure {
            lag_ms: 90.0,
            ..Default::default()
        };
        let mut now_ms = 0;
        while fixture.edge.limits.shedder.level() < Level::OtherStreams {
            now_ms += 100;
            fixture.edge.limits.shedder.observe(&late, now_ms);
        }
        assert!(ask(&fixture, 1, "GET", &path).is_none());
        let play = format!("/api/v1/play/{CONTENT}");
        let answer = ask(&fixture, 1, "GET", &play).unwrap();
        assert_eq!(
            (answer.status, answer.detail),
            (StatusCode::SERVICE_UNAVAILABLE, "shed")
        );
        let retry: Vec<_> = answer
            .headers
            .iter()
            .filter(|(name, _)| name == "retry-after")
            .collect();
        assert_eq!(retry.len(), 1);
    }

    #[test]
    fn what_is_fetched_ahead_takes_nothing_from_the_viewer() {
        let fixture = Fixture::new("los1");
        for _ in 0..3_000 {
            let mut context = fixture.context();
            from(&mut context, 1);
            context.is_ahead = true;
            let head = request("GET", "/");
            assert!(run_all(&fixture.edge, &head, &mut context).is_continue());
        }
        assert!(ask(&fixture, 1, "GET", "/").is_none());
    }
}
