//! `upstream`: which address, what it is sent, and what a failure means.

use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderName, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, PROXY_AUTHORIZATION, RANGE, VIA,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use mcsp_api::headers::{CLIENT_ADDRESS, COUNTRY, IDENTITY, POP, PUBLIC_BASE, TRACEPARENT};
use mcsp_edge_fetch::plain_peer;
use mcsp_edge_policy::cdn_loop::CDN_LOOP;
use mcsp_edge_policy::hop_by_hop::strip_around_framing;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::{Error, ErrorSource, ErrorType, OrErr, Result, RetryType};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::EdgeProxy;
use super::answering::is_connect_failure;
use crate::context::RequestContext;
use crate::route::Route;
use crate::target::{host_of, one_cookie_line, via};
use crate::upstream::Pool;

use std::sync::Arc;

impl EdgeProxy {
    pub(super) fn pick_peer(&self, context: &mut RequestContext) -> Result<Box<HttpPeer>> {
        let unavailable = |text| Error::e_explain(ErrorType::HTTPStatus(503), text);
        let Some(pool) = pool_of(context) else {
            return unavailable("no origin for this route");
        };
        let Some(lease) = pool.lease(&context.tried) else {
            return unavailable("every address was tried");
        };
        if !context.tried.is_empty() {
            self.edge.metrics.upstream_retries.inc();
        }
        context.tried.push(lease.place());
        let timeouts = self.edge.config.upstream.peer_timeouts();
        let peer = match (context.route.as_deref(), &self.edge.home) {
            (Some(Route::Plain(_)), _) => Some(plain_peer(&lease, &timeouts)),
            (_, Some(home)) => home.peer_identity.load().peer(&lease, &timeouts),
            (_, None) => None,
        };
        context.lease = Some(lease);
        match peer {
            Some(peer) => Ok(Box::new(peer)),
            None => unavailable("the origin has no name to be verified by"),
        }
    }

    /// What the origin is asked, and what it is told of the viewer.
    pub(super) fn prepare_request(
        &self,
        session: &Session,
        request: &mut RequestHeader,
        context: &RequestContext,
    ) -> Result<()> {
        let Some(route) = context.route.as_deref() else {
            return Error::e_explain(ErrorType::InternalError, "a request without a route");
        };
        let path = match route {
            Route::Media(media) => media.origin_path.clone(),
            Route::Storage(storage) => storage.signed_path_and_query.clone(),
            Route::Web(path) => path.clone(),
            Route::Plain(plain) => plain.origin_path().to_owned(),
            Route::Api(_) => path_and_query(session.req_header()),
        };
        if request.method == Method::CONNECT {
            // Its target is a host; and whatever the origin takes this connection for then, nobody else is given it.
            request.insert_header(CONNECTION, "close")?;
        } else {
            let path: PathAndQuery = path
                .parse()
                .or_err(ErrorType::InternalError, "the origin's path")?;
            request.set_uri(path.into());
        }
        for name in withheld(route, &request.headers) {
            request.remove_header(&name);
        }
        if let Some(cookies) = one_cookie_line(&request.headers) {
            request.insert_header(COOKIE, cookies)?;
        }
        let host = match route {
            // Signed by the client, so it is the client's.
            Route::Storage(_) | Route::Plain(_) => host_of(session.req_header()).map(str::to_owned),
            _ => context
                .lease
                .as_ref()
                .map(|lease| lease.pool().server_name().to_owned()),
        };
        if let Some(host) = host {
            request.insert_header(HOST, host)?;
        }
        request.append_header(VIA, via(session.req_header().version))?;
        let passed = self.edge.cdn_loop.value().clone();
        request.append_header(CDN_LOOP.clone(), passed)?;
        self.introduce(session.req_header(), request, context)
    }

    /// Our own headers; whatever the client said in their names is gone since `normalize`.
    fn introduce(
        &self,
        asked: &RequestHeader,
        request: &mut RequestHeader,
        context: &RequestContext,
    ) -> Result<()> {
        let edge = &self.edge;
        request.insert_header(
            TRACEPARENT,
            context.trace.child(&*edge.entropy).header_value(),
        )?;
        // A plain origin knows nothing of our headers.
        if matches!(context.route.as_deref(), Some(Route::Plain(_))) {
            return Ok(());
        }
        request.insert_header(POP, edge.name.as_str())?;
        if let Some(country) = context.place.country {
            request.insert_header(COUNTRY, country.as_str())?;
        }
        if let Some(peer) = context.peer {
            request.insert_header(CLIENT_ADDRESS, peer.ip().to_canonical().to_string())?;
        }
        let public_base = crate::stage::public_base(edge, asked, context.is_tls);
        if let Ok(base) = HeaderValue::from_str(&public_base) {
            request.insert_header(PUBLIC_BASE, base)?;
        }
        if let Some(identity) = &context.identity {
            request.insert_header(IDENTITY, identity.to_header_value())?;
        }
        Ok(())
    }

    /// An origin answered: it lives, unless it says that it does not.
    pub(super) fn judge_upstream(
        &self,
        session: &mut Session,
        response: &ResponseHeader,
        context: &mut RequestContext,
    ) -> Result<()> {
        if response.status.is_informational() {
            return Ok(());
        }
        context.upstream_status = Some(response.status.as_u16());
        let is_away = matches!(response.status.as_u16(), 502..=504);
        if is_away
            && session.req_header().method.is_safe()
            && may_try_another(context, &self.edge.config)
        {
            let mut error = Error::create(
                ErrorType::HTTPStatus(response.status.as_u16()),
                ErrorSource::Upstream,
                None,
                None,
            );
            error.retry = RetryType::Decided(true);
            return Err(error);
        }
        context.has_upstream_head = true;
        if let Some(lease) = &context.lease
            && !is_away
        {
            lease.succeeded();
        }
        Ok(())
    }

    /// Takes out of an answer what is of the origin's connection alone (RFC 9110 section 7.6.1), as pingora does of requests.
    /// It frames the body, and carries upgrades.
    pub(super) fn forget_hop(response: &mut ResponseHeader) {
        let is_upgrade = response.status == StatusCode::SWITCHING_PROTOCOLS;
        let mut fields = response.headers.clone();
        strip_around_framing(&mut fields, is_upgrade);
        let gone: Vec<HeaderName> = response
            .headers
            .keys()
            .filter(|name| !fields.contains_key(*name))
            .cloned()
            .collect();
        for name in gone {
            response.remove_header(&name);
        }
    }

    /// A try that never reached its address may be made on another, whatever was asked.
    pub(super) fn retry_elsewhere(
        &self,
        context: &mut RequestContext,
        mut error: Box<Error>,
        is_harmless: bool,
    ) -> Box<Error> {
        self.count_failure(context);
        error.set_retry(is_harmless && may_try_another(context, &self.edge.config));
        error
    }

    pub(super) fn judge_failure(
        &self,
        peer: &HttpPeer,
        session: &Session,
        error: Box<Error>,
        context: &mut RequestContext,
        is_reused: bool,
    ) -> Box<Error> {
        let mut error = error.more_context(format!("origin {}", peer._address));
        if *error.esource() != ErrorSource::Upstream {
            error.set_retry(false);
            return error;
        }
        // What was begun cannot be begun again: neither an answer that the client or the cache has the head of, nor an
        // act that the origin may have carried out, nor a body that is gone.
        let is_fresh_start = !context.has_upstream_head && session.response_written().is_none();
        let is_repeatable = session.req_header().method.is_idempotent()
            && !session.as_ref().retry_buffer_truncated();
        let is_harmless = is_fresh_start && (is_connect_failure(error.etype()) || is_repeatable);
        if is_harmless && is_reused && error.retry == RetryType::ReusedOnly {
            // The origin closed an idle connection as we took it up: no fault of the address, so it may be asked again.
            if let Some(lease) = context.lease.take() {
                context.tried.retain(|place| *place != lease.place());
            }
            error.set_retry(true);
            return error;
        }
        self.retry_elsewhere(context, error, is_harmless)
    }

    fn count_failure(&self, context: &mut RequestContext) {
        if let Some(lease) = context.lease.take() {
            lease.failed();
        }
        let region = context.region.as_ref().map_or("none", |region| region.id());
        self.edge
            .metrics
            .upstream_failures
            .with_label_values(&[region])
            .inc();
    }
}

fn pool_of(context: &RequestContext) -> Option<Arc<Pool>> {
    if let Some(Route::Plain(plain)) = context.route.as_deref() {
        return Some(Arc::clone(&plain.route.pool));
    }
    let region = context.region.as_ref()?;
    match context.route.as_deref() {
        Some(Route::Storage(_)) => region.storage.clone(),
        _ => Some(Arc::clone(&region.origin)),
    }
}

/// Has the request tries left, and its region an address that it has not tried?
pub(super) fn may_try_another(
    context: &RequestContext,
    config: &crate::config::ProxyConfig,
) -> bool {
    context.tried.len() < config.upstream.tries_max
        && pool_of(context).is_some_and(|pool| pool.has_another(&context.tried))
}

/// All that the origin of a cached answer learns of the request, beside its path: what selects or spares bytes.
const ASKED_OF_CACHED: [HeaderName; 7] = [
    HOST,
    RANGE,
    IF_RANGE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
];
/// Would end our wait for the origin at a time of the client's choice.
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What origins have no use for: credentials that were checked here, and on cached routes all that could make one
/// viewer's answer differ from another's. There the list is of what stays: one header that an origin minds and nobody
/// thought of would let one viewer write the answer that all others get.
fn withheld(route: &Route, headers: &HeaderMap) -> Vec<HeaderName> {
    match route {
        Route::Api(_) => vec![PROXY_AUTHORIZATION, AUTHORIZATION, GRPC_TIMEOUT],
        Route::Storage(_) => vec![PROXY_AUTHORIZATION, AUTHORIZATION, COOKIE, GRPC_TIMEOUT],
        // Its credentials are its own business; the ones for a proxy were for us (RFC 9110 section 11.7.1).
        Route::Plain(_) => vec![PROXY_AUTHORIZATION],
        Route::Media(_) | Route::Web(_) => headers
            .keys()
            .filter(|name| !ASKED_OF_CACHED.contains(name))
            .cloned()
            .collect(),
    }
}

fn path_and_query(request: &RequestHeader) -> String {
    request
        .uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public_calls::TokenUse;
    use crate::route::ApiRoute;
    use crate::stage::testing::request;

    fn left(route: &Route, names: &[&str]) -> Vec<String> {
        let mut head = request("GET", "/");
        for name in names {
            head.insert_header((*name).to_owned(), "1").unwrap();
        }
        for name in withheld(route, &head.headers) {
            head.remove_header(&name);
        }
        let mut left: Vec<_> = head.headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn no_header_of_a_viewer_shapes_an_answer_that_all_share() {
        // The first made an origin answer as gRPC, with 200 and nothing in it, which was then kept for a day.
        let names = [
            "content-type",
            "grpc-timeout",
            "te",
            "upgrade",
            "accept",
            "cookie",
            "authorization",
            "x-http-method-override",
            "range",
            "if-none-match",
        ];
        let web = Route::Web("/".to_owned());
        assert_eq!(left(&web, &names), ["if-none-match", "range"]);
    }

    #[test]
    fn calls_keep_their_headers_and_lose_what_was_checked_here() {
        let api = Route::Api(ApiRoute {
            path: "/api/v1/users/me".to_owned(),
            token_use: TokenUse::Required,
        });
        let names = ["authorization", "grpc-timeout", "cookie", "content-type"];
        assert_eq!(left(&api, &names), ["content-type", "cookie"]);
    }
}
