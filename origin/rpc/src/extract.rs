//! What a service may believe about the viewer behind a request.
//!
//! The edge verified the viewer's token and says who it is in private headers. They are believed only when the
//! connection's certificate names an edge ([`Peer::is_edge`]); from anyone else they are as good as absent.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use http::request::Parts;
use mcsp_api::{Problem, ProblemKind, ViewerIdentity, headers};
use mcsp_identity::Peer;
use mcsp_runtime::{Clock, SharedClock, SystemClock};
use mcsp_telemetry::current_trace;
use url::Url;

/// In a request's extensions: the clock that decides whether an identity has expired. Servers put it there; without
/// it the machine's clock decides.
#[derive(Debug, Clone)]
pub struct RequestClock(pub SharedClock);

/// The viewer, verified by the edge and not expired; otherwise the request ends with 401.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Viewer(pub ViewerIdentity);

/// The viewer, if there is one. An identity that is there but cannot be believed still ends the request with 401: a
/// viewer who thinks to be signed in is told that it is not so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalViewer(pub Option<ViewerIdentity>);

/// Where the request came from, as an edge says; all absent when the peer is not an edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EdgeContext {
    /// The PoP, such as `los1`: from the edge's certificate, not from a header.
    pub pop: Option<String>,
    /// The viewer's country, ISO 3166-1 alpha-2; absent when unknown.
    pub country: Option<String>,
    /// Scheme and authority under which the viewer reached the PoP, such as `https://los1.example:8443`.
    pub public_base: Option<String>,
    /// The viewer's address.
    pub client_address: Option<IpAddr>,
}

impl<S: Sync> FromRequestParts<S> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        identity(parts)?
            .map(Self)
            .ok_or_else(|| unauthenticated("this needs a bearer token in the Authorization header"))
    }
}

impl<S: Sync> FromRequestParts<S> for OptionalViewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        identity(parts).map(Self)
    }
}

impl<S: Sync> FromRequestParts<S> for EdgeContext {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let Some(peer) = edge_peer(parts) else {
            return Ok(Self::default());
        };
        Ok(Self {
            pop: Some(peer.0.account().to_owned()),
            country: one_header(parts, headers::COUNTRY)
                .filter(|c| is_country(c))
                .map(str::to_owned),
            public_base: one_header(parts, headers::PUBLIC_BASE).and_then(origin_of),
            client_address: one_header(parts, headers::CLIENT_ADDRESS)
                .and_then(|text| text.parse().ok()),
        })
    }
}

fn identity(parts: &Parts) -> Result<Option<ViewerIdentity>, Problem> {
    if edge_peer(parts).is_none() || !parts.headers.contains_key(headers::IDENTITY) {
        return Ok(None);
    }
    let value = one_header(parts, headers::IDENTITY)
        .ok_or_else(|| unauthenticated("the identity that the edge sent cannot be read"))?;
    let identity = ViewerIdentity::from_header_value(value).map_err(|error| {
        tracing::warn!(%error, "an edge sent an identity that cannot be read");
        unauthenticated("the identity that the edge sent cannot be read")
    })?;
    let now_s = match parts.extensions.get::<RequestClock>() {
        Some(RequestClock(clock)) => clock.now_s(),
        None => SystemClock.now_s(),
    };
    if identity.expires_s <= now_s {
        return Err(unauthenticated("the access token has expired; refresh it"));
    }
    Ok(Some(identity))
}

fn edge_peer(parts: &Parts) -> Option<&Peer> {
    parts.extensions.get::<Peer>().filter(|peer| peer.is_edge())
}

/// The header's value if it is there exactly once.
fn one_header<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    let mut values = parts.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn is_country(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// Scheme and authority of an `http` or `https` URL without anything behind them.
fn origin_of(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_bare = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.fragment().is_none();
    is_bare.then(|| url.origin().ascii_serialization())
}

fn unauthenticated(detail: &str) -> Problem {
    let problem = Problem::new(ProblemKind::Unauthenticated).detail(detail);
    match current_trace() {
        Some(trace) => problem.trace_id(trace.trace_id_hex()),
        None => problem,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use mcsp_api::{Role, UserId};
    use mcsp_identity::SpiffeId;
    use mcsp_runtime::{ManualClock, SeededEntropy};

    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn viewer(expires_s: i64) -> ViewerIdentity {
        let region = "ng".parse().expect("a region");
        ViewerIdentity {
            user_id: UserId::generate(region, &*ManualClock::new(1), &*SeededEntropy::new(1)),
            role: Role::Creator,
            session_id: "s1".to_owned(),
            organisation_id: None,
            expires_s,
        }
    }

    fn parts(namespace: Option<&str>, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::new(());
        request
            .extensions_mut()
            .insert(RequestClock(ManualClock::new(NOW_S * 1000)));
        if let Some(namespace) = namespace {
            let id = SpiffeId::new("mcsp.internal", namespace, "los1").expect("a name");
            request.extensions_mut().insert(Peer(id));
        }
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_str(value).expect("a value"));
        }
        request.into_parts().0
    }

    async fn extract(mut parts: Parts) -> (Result<Viewer, u16>, Result<OptionalViewer, u16>) {
        (
            Viewer::from_request_parts(&mut parts, &())
                .await
                .map_err(|p| p.status),
            OptionalViewer::from_request_parts(&mut parts, &())
                .await
                .map_err(|p| p.status),
        )
    }

    #[tokio::test]
    async fn an_edge_is_believed_until_the_identity_expires() {
        let identity = viewer(NOW_S + 1);
        let header = identity.to_header_value();
        let (viewer_there, optional) =
            extract(parts(Some("edge"), &[(headers::IDENTITY, &header)])).await;
        assert_eq!(viewer_there, Ok(Viewer(identity.clone())));
        assert_eq!(optional, Ok(OptionalViewer(Some(identity))));

        let expired = viewer(NOW_S).to_header_value();
        let (viewer_there, optional) =
            extract(parts(Some("edge"), &[(headers::IDENTITY, &expired)])).await;
        assert_eq!((viewer_there, optional), (Err(401), Err(401)));
    }

    #[tokio::test]
    async fn nobody_else_is_believed() {
        let header = viewer(NOW_S + 1).to_header_value();
        for namespace in [None, Some("ng-lagos"), Some("edges")] {
            let (viewer_there, optional) =
                extract(parts(namespace, &[(headers::IDENTITY, &header)])).await;
            assert_eq!(
                (viewer_there, optional),
                (Err(401), Ok(OptionalViewer(None))),
                "{namespace:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_is_there_twice_is_401() {
        let header = viewer(NOW_S + 1).to_header_value();
        for headers in [
            vec![(headers::IDENTITY, "not base64 !")],
            vec![(headers::IDENTITY, "e30")],
            vec![
                (headers::IDENTITY, header.as_str()),
                (headers::IDENTITY, header.as_str()),
            ],
        ] {
            let (viewer_there, optional) = extract(parts(Some("edge"), &headers)).await;
            assert_eq!(
                (viewer_there, optional),
                (Err(401), Err(401)),
                "{headers:?}"
            );
        }
        let (viewer_there, optional) = extract(parts(Some("edge"), &[])).await;
        assert_eq!(
            (viewer_there, optional),
            (Err(401), Ok(OptionalViewer(None)))
        );
    }

    #[tokio::test]
    async fn the_edges_context_is_read_from_edges_only() {
        let sent = [
            (headers::POP, "lhr1"),
            (headers::COUNTRY, "NG"),
            (headers::PUBLIC_BASE, "https://los1.example:8443"),
            (headers::CLIENT_ADDRESS, "2001:db8::1"),
        ];
        let mut from_edge = parts(Some("edge"), &sent);
        let context = EdgeContext::from_request_parts(&mut from_edge, &())
            .await
            .expect("infallible");
        // The certificate's name, whatever the header says.
        assert_eq!(context.pop.as_deref(), Some("los1"));
        assert_eq!(context.country.as_deref(), Some("NG"));
        assert_eq!(
            context.public_base.as_deref(),
            Some("https://los1.example:8443")
        );
        assert_eq!(context.client_address, "2001:db8::1".parse().ok());

        let mut from_service = parts(Some("ng-lagos"), &sent);
        let context = EdgeContext::from_request_parts(&mut from_service, &())
            .await
            .expect("infallible");
        assert_eq!(context, EdgeContext::default());
    }

    #[test]
    fn a_base_is_scheme_and_authority_only() {
        assert_eq!(
            origin_of("http://127.0.0.1:8080/").as_deref(),
            Some("http://127.0.0.1:8080")
        );
        for text in [
            "",
            "los1",
            "ftp://x",
            "https://x/path",
            "https://u:p@x",
            "https://x?q",
            "javascript:alert(1)",
        ] {
            assert_eq!(origin_of(text), None, "{text:?}");
        }
    }
}
