//! `classify`: media, API, storage or web; which methods each knows; how large a body may be.

use std::ops::ControlFlow;
use std::sync::Arc;

use http::Method;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use mcsp_api::ProblemKind;
use mcsp_api::media_path::{MEDIA_PREFIX, MediaPath};
use mcsp_auth_edge::media::partner::ELSEWHERE;
use mcsp_edge_h1::Oddity;
use mcsp_edge_limits::Class;

use super::Flow;
use super::limits::class_of;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::lifecycle::LOGIN_BYTES_MAX;
use crate::media_token;
use crate::plain::PlainRequest;
use crate::public_calls::token_use;
use crate::route::{ApiRoute, MediaRoute, Route, StorageRoute};

const API_PREFIX: &str = "/api/v1/";
/// The API's one path outside its prefix (RFC 8615).
const KEY_SET: &str = "/.well-known/jwks.json";
const STORAGE_PREFIX: &str = "/storage/";
const MEDIA_METHODS: &str = "GET, HEAD, OPTIONS";
const STORAGE_METHODS: &str = "GET, HEAD, PUT, OPTIONS";
const WEB_METHODS: &str = "GET, HEAD";
const PLAIN_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const API_METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
/// What marks a request as signed in its query (AWS Signature Version 4, query parameters).
const SIGNATURE_PARAMETER: &str = "X-Amz-Signature=";

pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    let route = match edge.routes.named(request, context.is_tls) {
        Some(plain) => Some(Route::Plain(plain)),
        None => own(edge, request)?.or_else(|| {
            let plain = edge.routes.everywhere(request, context.is_tls);
            plain.map(Route::Plain)
        }),
    };
    let Some(route) = route else {
        let text = "nothing is served under this path";
        return ControlFlow::Break(Answer::problem(ProblemKind::NotFound, "path", text));
    };
    let limits = &edge.config.limits;
    let (methods, body_bytes_max) = match route {
        Route::Plain(plain) => return plain_origin(plain, request, context),
        Route::Media(_) => (MEDIA_METHODS, 0),
        Route::Storage(_) => (STORAGE_METHODS, limits.storage_body_bytes_max),
        Route::Web(_) => (WEB_METHODS, 0),
        Route::Api(_) => (API_METHODS, api_body_bytes_max(edge, &route, request)),
    };
    let is_preflight = route.is_cross_origin() && request.method == Method::OPTIONS;
    context.route = Some(Arc::new(route));
    context.body_bytes_max = body_bytes_max;
    if is_preflight {
        return ControlFlow::Break(Answer::preflight(methods));
    }
    // The most frequent is allowed everywhere.
    let is_allowed = request.method == Method::GET
        || methods
            .split(", ")
            .any(|method| method == request.method.as_str());
    if !is_allowed {
        return ControlFlow::Break(Answer::method_not_allowed(methods));
    }
    check_length(request, body_bytes_max)
}

/// The plain route that a request has, if it has one.
pub(crate) fn plain_route(edge: &Edge, request: &Parts, is_tls: bool) -> Option<PlainRequest> {
    let named = edge.routes.named(request, is_tls);
    named.or_else(|| match own(edge, request) {
        ControlFlow::Continue(None) => edge.routes.everywhere(request, is_tls),
        _ => None,
    })
}

/// One of MCSP's own paths, if the node has a region to ask for them.
fn own(edge: &Edge, request: &Parts) -> ControlFlow<Answer, Option<Route>> {
    if edge.home.is_none() {
        return ControlFlow::Continue(None);
    }
    let route = classify(request);
    let is_plain = match &route {
        // What follows the token has a grammar of its own, by which it was parsed.
        Some(Route::Media(media)) => is_plain_path(media.first_steps(request.uri.path())),
        Some(_) => is_plain_path(request.uri.path()),
        None => !edge.routes.is_empty() || is_plain_path(request.uri.path()),
    };
    if !is_plain {
        let text = "the path has an empty, . or .. step, or an escape that hides one";
        return ControlFlow::Break(Answer::problem(ProblemKind::InvalidRequest, "path", text));
    }
    ControlFlow::Continue(route)
}

/// A plain origin knows its own methods; only what would turn the connection into something else is kept from it.
fn plain_origin(plain: PlainRequest, request: &Parts, context: &mut RequestContext) -> Flow {
    let body_bytes_max = plain.route.body_bytes_max;
    context.route = Some(Arc::new(Route::Plain(plain)));
    context.body_bytes_max = body_bytes_max;
    let is_connect = request.method == Method::CONNECT;
    let may_connect = context.oddity() == Some(Oddity::Connect);
    if request.method == Method::TRACE || is_connect && !may_connect {
        return ControlFlow::Break(Answer::method_not_allowed(PLAIN_METHODS));
    }
    check_length(request, body_bytes_max)
}

/// Is there only one way to read the path? Slashes and dots may not be escaped (RFC 3986 section 6.2.2 would make them
/// equal to plain ones), and no step may be empty, `.` or `..`; the last may be empty.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let Some(steps) = path.as_bytes().strip_prefix(b"/") else {
        return false;
    };
    let mut start = 0;
    for (at, byte) in steps.iter().enumerate() {
        match byte {
            b'/' => {
                if matches!(&steps[start..at], b"" | b"." | b"..") {
                    return false;
                }
                start = at + 1;
            }
            b'%' if hides(&steps[at + 1..]) => return false,
            b'\\' => return false,
            _ => {}
        }
    }
    !matches!(&steps[start..], b"." | b"..")
}

/// Is what follows a `%` the escape of a dot, a slash, a backslash or a zero?
fn hides(after: &[u8]) -> bool {
    let digits = after.get(..2);
    digits.is_some_and(|digits| {
        [b"2e", b"2f", b"5c", b"00"]
            .iter()
            .any(|hidden| digits.eq_ignore_ascii_case(*hidden))
    })
}

/// A name and a password are short, and their body is held until it is whole.
fn api_body_bytes_max(edge: &Edge, route: &Route, request: &Parts) -> u64 {
    let max = edge.config.limits.api_body_bytes_max;
    match class_of(route, &request.method) {
        Class::Login => max.min(LOGIN_BYTES_MAX),
        _ => max,
    }
}

/// A length that is said beforehand is judged beforehand; one that is not is counted as it comes.
fn check_length(request: &Parts, body_bytes_max: u64) -> Flow {
    let Some(length) = request.headers.get(CONTENT_LENGTH) else {
        return ControlFlow::Continue(());
    };
    match length
        .to_str()
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
    {
        Some(length) if length <= body_bytes_max => ControlFlow::Continue(()),
        Some(_) => ControlFlow::Break(Answer::problem(
            ProblemKind::PayloadTooLarge,
            "body-too-large",
            &format!("the body may have {body_bytes_max} bytes here"),
        )),
        None => {
            let text = "Content-Length is not a number";
            ControlFlow::Break(Answer::problem(
                ProblemKind::InvalidRequest,
                "content-length",
                text,
            ))
        }
    }
}

fn classify(request: &Parts) -> Option<Route> {
    let path = request.uri.path();
    if path.starts_with(MEDIA_PREFIX) {
        return media(request).map(Route::Media);
    }
    let call = if path == KEY_SET {
        path.strip_prefix('/')
    } else {
        path.strip_prefix(API_PREFIX)
    };
    if let Some(call) = call {
        return Some(Route::Api(ApiRoute {
            token_use: token_use(&request.method, call),
            path: path.to_owned(),
        }));
    }
    if path.starts_with(STORAGE_PREFIX) {
        return storage(path, request.uri.query()).map(Route::Storage);
    }
    is_web(path).then(|| Route::Web(path.to_owned()))
}

/// Is it of the viewer's page?
pub(crate) fn is_web(path: &str) -> bool {
    path == "/" || path.starts_with("/watch/") || path.starts_with("/assets/")
}

fn media(request: &Parts) -> Option<MediaRoute> {
    let (token, path) = MediaPath::parse_viewer(request.uri.path())?;
    if token != ELSEWHERE {
        return Some(MediaRoute::new(token, path));
    }
    let token = media_token::elsewhere(request).unwrap_or_default();
    Some(MediaRoute::new(&token, path))
}

/// `/storage/{bucket}/{residency}/{content_id}/…`; the bucket must be that of the residency, so that one cannot be
/// reached by the other's name.
fn storage(path: &str, query: Option<&str>) -> Option<StorageRoute> {
    let signed_path = path.strip_prefix("/storage")?;
    let (bucket, key) = signed_path.strip_prefix('/')?.split_once('/')?;
    let object = MediaPath::parse_object_name(key)?;
    if bucket.strip_prefix("mcsp-") != Some(object.residency.prefix()) {
        return None;
    }
    let query = query.unwrap_or_default();
    let separator = if query.is_empty() { "" } else { "?" };
    Some(StorageRoute {
        residency: object.residency,
        content_id: object.content_id.clone(),
        signed_path_and_query: format!("{signed_path}{separator}{query}"),
        is_presigned: query
            .split('&')
            .any(|pair| pair.starts_with(SIGNATURE_PARAMETER)),
    })
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, request};

    fn outcome(
        method: &str,
        path: &str,
        length: Option<&str>,
    ) -> Result<String, (StatusCode, &'static str)> {
        let fixture = Fixture::new("lhr1");
        let mut head = request(method, path);
        if let Some(length) = length {
            head.insert_header("content-length", length).unwrap();
        }
        let mut context = fixture.context();
        match run(&fixture.edge, &head, &mut context) {
            ControlFlow::Continue(()) => Ok(context.route_label().to_owned()),
            ControlFlow::Break(answer) => Err((answer.status, answer.detail)),
        }
    }

    #[test]
    fn every_path_has_one_class_and_the_rest_is_404() {
        let media = |rest: &str| format!("/media/tok/global/{CONTENT}/{rest}");
        let storage = |bucket: &str, name: &str| {
            format!("/storage/{bucket}/{name}/{CONTENT}/source/original")
        };
        let not_found = Err((StatusCode::NOT_FOUND, "path"));
        let cases = [
            ("GET", media("manifest.m3u8"), Ok("media-manifest")),
            ("HEAD", media("manifest.mpd"), Ok("media-manifest")),
            ("GET", media("v360/1.m4s"), Ok("media-segment")),
            ("GET", media("art/1.jpg"), Ok("media-art")),
            ("GET", "/media/tok/elsewhere/x".to_owned(), not_found),
            ("GET", format!("/media/global/{CONTENT}/a.m4s"), not_found),
            ("GET", "/api/v1/users/me".to_owned(), Ok("api")),
            ("GET", "/api/v2/users/me".to_owned(), not_found),
            ("GET", "/.well-known/jwks.json".to_owned(), Ok("api")),
            ("GET", "/.well-known/other".to_owned(), not_found),
            ("PUT", storage("mcsp-global", "global"), Ok("storage")),
            ("PUT", storage("mcsp-ng", "ng"), Ok("storage")),
            ("PUT", storage("mcsp-global", "ng"), not_found),
            ("PUT", storage("mcsp-ng", "global"), not_found),
            ("PUT", storage("other", "global"), not_found),
            ("GET", "/".to_owned(), Ok("web")),
            ("GET", "/watch/x".to_owned(), Ok("web")),
            ("GET", "/assets/app.js".to_owned(), Ok("web")),
            ("GET", "/metrics".to_owned(), not_found),
            ("GET", "/admin".to_owned(), not_found),
            (
                "POST",
                media("v360/1.m4s"),
                Err((StatusCode::METHOD_NOT_ALLOWED, "method")),
            ),
            (
                "DELETE",
                storage("mcsp-global", "global"),
                Err((StatusCode::METHOD_NOT_ALLOWED, "method")),
            ),
            (
                "POST",
                "/".to_owned(),
                Err((StatusCode::METHOD_NOT_ALLOWED, "method")),
            ),
            (
                "TRACE",
                "/api/v1/users/me".to_owned(),
                Err((StatusCode::METHOD_NOT_ALLOWED, "method")),
            ),
            (
                "OPTIONS",
                media("v360/1.m4s"),
                Err((StatusCode::NO_CONTENT, "preflight")),
            ),
            (
                "OPTIONS",
                storage("mcsp-global", "global"),
                Err((StatusCode::NO_CONTENT, "preflight")),
            ),
        ];
        for (method, path, wanted) in cases {
            let wanted = wanted.map(str::to_owned);
            assert_eq!(outcome(method, &path, None), wanted, "{method} {path}");
        }
    }

    #[test]
    fn a_body_that_is_said_to_be_too_large_is_refused_at_once() {
        let too_large = Err((StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"));
        let cases = [
            ("POST", "/api/v1/uploads/session", "1048576", Ok("api")),
            ("POST", "/api/v1/auth/login", "16384", Ok("api")),
            ("POST", "/api/v1/auth/login", "16385", too_large),
            ("POST", "/api/v1/uploads/session", "1048577", too_large),
            ("GET", "/", "1", too_large),
            (
                "POST",
                "/api/v1/auth/login",
                "many",
                Err((StatusCode::BAD_REQUEST, "content-length")),
            ),
        ];
        for (method, path, length, wanted) in cases {
            assert_eq!(
                outcome(method, path, Some(length)),
                wanted.map(str::to_owned),
                "{method} {path} {length}"
            );
        }
    }

    #[test]
    fn what_is_signed_is_passed_on_as_it_came() {
        let path = format!("/mcsp-ng/ng/{CONTENT}/source/original");
        let query = "partNumber=1&X-Amz-Signature=ab%2Bc";
        let route = storage(&format!("/storage{path}"), Some(query)).unwrap();
        assert_eq!(route.signed_path_and_query, format!("{path}?{query}"));
        assert!(route.is_presigned);
        assert!(
            !storage(&format!("/storage{path}"), None)
                .unwrap()
                .is_presigned
        );
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "/",
            "/a",
            "/a/b",
            "/a/b/",
            "/a%20b",
            "/..a",
            "/a/...",
            "/a/..b/",
            "/a%2",
            "/a%",
            "/watch/c_ng_1",
        ] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in [
            "",
            "a",
            "//",
            "/a//b",
            "/./a",
            "/a/..",
            "/../a",
            "/%2e%2E/a",
            "/a%2Fb",
            "/a\\b",
            "/a%5cb",
            "/a%00",
            "/a/.",
            "/a%2e",
            "/%5C/a",
        ] {
            assert!(!is_plain_path(path), "{path}");
        }
    }

    /// Of a media path only the token is looked at: what follows it is parsed by a closed grammar.
    #[test]
    fn a_token_that_could_be_read_in_two_ways_is_refused() {
        for token in ["", ".", "..", "%2e", "a%2Fb", "a\\b", "%00"] {
            let path = format!("/media/{token}/global/{CONTENT}/v360/1.m4s");
            let refused = Err((StatusCode::BAD_REQUEST, "path"));
            assert_eq!(outcome("GET", &path, None), refused, "{path}");
        }
        for token in ["-", "a.b", "..a", "a%20b", "a=b~"] {
            let path = format!("/media/{token}/global/{CONTENT}/v360/1.m4s");
            let taken = Ok("media-segment".to_owned());
            assert_eq!(outcome("GET", &path, None), taken, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in ".{0,100}") {
            let _ = is_plain_path(&path);
        }
    }
}
