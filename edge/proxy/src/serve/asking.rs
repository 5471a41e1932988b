//! What a request on a cached route asks for: its key, what selects among variants, and how its origin is asked.

use std::borrow::Cow;
use std::sync::Arc;

use http::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION,
    RANGE, VIA,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use mcsp_api::Residency;
use mcsp_api::headers::{POP, TRACEPARENT};
use mcsp_edge_cache::engine::Selecting;
use mcsp_edge_fetch::{FetchRequest, Target};
use mcsp_edge_policy::cache_control::RequestDirectives;
use mcsp_edge_policy::cdn_loop::CDN_LOOP;
use mcsp_edge_policy::conditional::remove_conditions;
use mcsp_edge_policy::encoding;
use mcsp_edge_policy::hop_by_hop::{connection_takes_fields, is_hop_by_hop, strip_for_forwarding};
use mcsp_edge_policy::store::{SetCookie, StoreRules};
use mcsp_edge_policy::surrogate::{CAPABILITY, SURROGATE_CAPABILITY};
use mcsp_edge_policy::vary::normal_value;

use crate::context::RequestContext;
use crate::edge::Edge;
use crate::outage::Outage;
use crate::plain::PlainRequest;
use crate::route::{MediaKind, Route};
use crate::shield::Way;
use crate::stage::is_forged;
use crate::target::{host_of, one_cookie_line, via};

const SEGMENT_S: u32 = 24 * 3600;
const MANIFEST_S: u32 = 30;
const ART_S: u32 = 7 * 24 * 3600;
/// How long an error is kept whose origin says nothing of it, and how long any error is at most.
const NEGATIVE_S: u32 = 1;
const NEGATIVE_S_MAX: u32 = 60;

/// What selects among variants: nothing on routes whose origins learn nothing of the client.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selects<'r> {
    Nothing,
    Fields(&'r HeaderMap),
    /// With this in place of `Accept-Language`: see [`mcsp_edge_policy::vary::language`].
    InLanguage(&'r HeaderMap, &'r [u8]),
}

impl Selecting for Selects<'_> {
    fn value(&self, name: &HeaderName) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Nothing => None,
            Self::InLanguage(_, language) if *name == ACCEPT_LANGUAGE => {
                Some(Cow::Borrowed(language))
            }
            Self::Fields(fields) | Self::InLanguage(fields, _) => {
                // What the origin is not told has not selected its answer.
                is_forwarded(name).then(|| normal_value(fields, name))?
            }
        }
    }
}

/// Is it a field that a plain origin gets as the client said it, but for what `Connection` names?
fn is_forwarded(name: &HeaderName) -> bool {
    let is_ours = matches!(*name, PROXY_AUTHORIZATION | EXPECT | CONTENT_LENGTH);
    !is_ours && !is_hop_by_hop(name) && !is_forged(name)
}

/// A client's fields without those that its `Connection` takes out of the message, and those that its route's origin must
/// not see; nothing where that leaves all. They are looked up, waited for and asked with alike: an answer is stored under
/// what its origin was told, or one client would write what is given to others.
pub(super) fn without_untold(route: &Route, request: &Parts) -> Option<HeaderMap> {
    let loses_listed = connection_takes_fields(&request.headers);
    let loses_underscored = !takes_underscored(route) && request.headers.keys().any(is_underscored);
    (loses_listed || loses_underscored).then(|| {
        let mut fields = request.headers.clone();
        if loses_listed {
            strip_for_forwarding(&mut fields);
        }
        if loses_underscored {
            strip_underscored(&mut fields);
        }
        fields
    })
}

/// May fields with `_` in their names reach the route's origin? Our own are not confused by them.
pub(crate) fn takes_underscored(route: &Route) -> bool {
    match route {
        Route::Plain(plain) => plain.route.underscored_fields,
        Route::Media(_) | Route::Web(_) | Route::Api(_) | Route::Storage(_) => true,
    }
}

pub(crate) fn is_underscored(name: &HeaderName) -> bool {
    name.as_str().contains('_')
}

fn strip_underscored(fields: &mut HeaderMap) {
    let underscored: Vec<HeaderName> = fields
        .keys()
        .filter(|name| is_underscored(name))
        .cloned()
        .collect();
    for name in underscored {
        fields.remove(name);
    }
}

/// A request on a cached route.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'r> {
    pub(crate) route: &'r Route,
    /// The cache key.
    pub(crate) key: &'r str,
    pub(crate) request: &'r Parts,
    /// See [`without_untold`].
    fields: &'r HeaderMap,
    pub(crate) selects: Selects<'r>,
    /// What the client says of caching, as far as the route listens.
    pub(crate) directives: RequestDirectives,
    pub(crate) only_if_cached: bool,
    pub(crate) is_head: bool,
}

impl<'r> Asking<'r> {
    /// Nothing for a route whose answers are not kept.
    pub(crate) fn new(route: &'r Route, request: &'r Parts, fields: &'r HeaderMap) -> Option<Self> {
        let none = RequestDirectives::default();
        let (key, selects, directives) = match route {
            Route::Media(media) => (media.origin_path.as_str(), Selects::Nothing, none),
            Route::Web(path) => (path.as_str(), Selects::Nothing, none),
            Route::Plain(plain) => (
                &*plain.key,
                Selects::Fields(fields),
                RequestDirectives::parse(&request.headers),
            ),
            Route::Api(_) | Route::Storage(_) => return None,
        };
        let listens = matches!(route, Route::Plain(plain) if plain.route.client_directives);
        Some(Self {
            route,
            key,
            request,
            fields,
            selects,
            only_if_cached: directives.only_if_cached,
            directives: if listens { directives } else { none },
            is_head: request.method == Method::HEAD,
        })
    }

    pub(crate) fn plain(&self) -> Option<&'r PlainRequest> {
        match self.route {
            Route::Plain(plain) => Some(plain),
            _ => None,
        }
    }

    /// How this route stores.
    pub(crate) fn rules(&self, edge: &Edge) -> StoreRules {
        let own = |default_lifetime_s| StoreRules {
            honours_request: false,
            heuristic_percent: 0,
            default_lifetime_s,
            negative_lifetime_s: NEGATIVE_S,
            negative_max_s: Some(NEGATIVE_S_MAX),
            stale_if_error_s: edge.config.stale_if_error_s,
            set_cookie: SetCookie::Refuse,
            ..StoreRules::default()
        };
        match self.route {
            // The lives of the specification, for origins that say nothing.
            Route::Media(media) => own(Some(match media.kind {
                MediaKind::Segment => SEGMENT_S,
                MediaKind::Manifest => MANIFEST_S,
                MediaKind::Art => ART_S,
            })),
            // The viewer's page lives only as long as its origin says.
            Route::Web(_) | Route::Api(_) | Route::Storage(_) => own(None),
            Route::Plain(plain) => StoreRules {
                honours_request: plain.route.client_directives,
                ..StoreRules::default()
            },
        }
    }

    /// Whom to ask; nothing when there is no way to the origin.
    pub(crate) fn way(&self, edge: &Edge, context: &RequestContext) -> Option<Way> {
        if let Some(plain) = self.plain() {
            let origin = Target::plain(Arc::clone(&plain.route.pool));
            return Some(Way::to_origin(origin));
        }
        let region = context.region.as_ref()?;
        let home = edge.home.as_ref()?;
        let identity = home.peer_identity.load_full();
        let origin = Target::mtls(Arc::clone(&region.origin), Arc::clone(&identity));
        // A parent asks no parent.
        let parents = home.parents.of_region(region.id());
        let Some(parents) = parents.filter(|_| context.child.is_none()) else {
            return Some(Way::to_origin(origin));
        };
        let residency = match self.route {
            Route::Media(media) => media.residency,
            _ => Residency::Global,
        };
        Some(Way::by_parents(
            origin, parents, identity, self.key, residency,
        ))
    }

    /// Whether its upstream answers at all.
    pub(crate) fn outage<'a>(&self, context: &'a RequestContext) -> Option<&'a Arc<Outage>>
    where
        'r: 'a,
    {
        match self.plain() {
            Some(plain) => Some(&plain.route.outage),
            None => context.region.as_ref().map(|region| &region.outage),
        }
    }

    /// What the origin is asked for all clients alike: without this one's conditions and ranges, and of the codings that it
    /// accepts what all say who get the same variant.
    pub(crate) fn shared_request(
        &self,
        edge: &Edge,
        context: &RequestContext,
    ) -> Option<FetchRequest> {
        let mut request = self.own_request(edge, context)?;
        request.method = Method::GET;
        remove_conditions(&mut request.headers);
        request.headers.remove(RANGE);
        if let Some(codings) = encoding::normal(&request.headers)
            && let Ok(codings) = HeaderValue::try_from(codings)
        {
            request.headers.insert(ACCEPT_ENCODING, codings);
        }
        Some(request)
    }

    /// What is asked for this client alone, and whom; nothing when there is no way to the origin.
    pub(super) fn alone(
        &self,
        edge: &Edge,
        context: &RequestContext,
    ) -> Option<(FetchRequest, Way)> {
        Some((self.own_request(edge, context)?, self.way(edge, context)?))
    }

    /// What the origin is asked for this client alone.
    fn own_request(&self, edge: &Edge, context: &RequestContext) -> Option<FetchRequest> {
        let path = match self.plain() {
            Some(plain) => plain.origin_path(),
            None => self.key,
        };
        let path: PathAndQuery = path.parse().ok()?;
        let mut request = FetchRequest::new(self.request.method.clone(), path);
        request.headers = match self.plain() {
            Some(_) => plain_fields(self.request, self.fields),
            None => own_fields(edge, &self.request.headers),
        };
        request.headers.append(VIA, via(self.request.version));
        let passed = edge.cdn_loop.value().clone();
        request.headers.append(&CDN_LOOP, passed);
        let trace = context.trace.child(&*edge.entropy).header_value();
        if let Ok(trace) = HeaderValue::try_from(trace) {
            request.headers.insert(TRACEPARENT, trace);
        }
        Some(request)
    }
}

/// A cached answer is everybody's: our origins learn of nobody, but for what selects or spares bytes. One field that an
/// origin minds and nobody thought of would let one viewer write the answer that all others get.
fn own_fields(edge: &Edge, asked: &HeaderMap) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for name in [
        http::header::RANGE,
        http::header::IF_RANGE,
        http::header::IF_MATCH,
        http::header::IF_NONE_MATCH,
        http::header::IF_MODIFIED_SINCE,
        http::header::IF_UNMODIFIED_SINCE,
    ] {
        for value in asked.get_all(&name) {
            fields.append(name.clone(), value.clone());
        }
    }
    if let Ok(name) = HeaderValue::from_str(&edge.name) {
        fields.insert(POP, name);
    }
    fields
}

/// A plain origin gets what the client said, but for what is of one hop, and for claims that only our nodes may make.
fn plain_fields(request: &Parts, fields: &HeaderMap) -> HeaderMap {
    let mut fields = fields.clone();
    let unwanted: Vec<HeaderName> = fields
        .keys()
        .filter(|name| !is_forwarded(name))
        .cloned()
        .collect();
    for name in unwanted {
        fields.remove(name);
    }
    if let Some(cookies) = one_cookie_line(&fields) {
        fields.insert(COOKIE, cookies);
    }
    if let Some(host) = host_of(request)
        && let Ok(host) = HeaderValue::from_str(host)
    {
        fields.insert(HOST, host);
    }
    fields.append(&SURROGATE_CAPABILITY, HeaderValue::from_static(CAPABILITY));
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::{Fixture, request};

    #[test]
    fn no_header_of_a_viewer_shapes_an_answer_that_all_share() {
        let fixture = Fixture::new("lhr1");
        let mut head = request("GET", "/assets/app.js?1");
        // The first made an origin answer as gRPC, with 200 and nothing in it, which was then kept for a day.
        for name in [
            "content-type",
            "grpc-timeout",
            "te",
            "accept",
            "accept-encoding",
            "cookie",
            "authorization",
            "x-http-method-override",
            "range",
            "if-none-match",
        ] {
            head.insert_header(name, "1").unwrap();
        }
        let context = fixture.classified(&head);
        let route = context.route.as_deref().unwrap();
        let asking = Asking::new(route, head.as_ref(), &head.headers).unwrap();
        let names = |request: FetchRequest| {
            let mut names: Vec<String> = request.headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let own = asking.own_request(&fixture.edge, &context).unwrap();
        assert_eq!(own.path.as_str(), "/assets/app.js");
        assert_eq!(
            names(own),
            [
                "cdn-loop",
                "if-none-match",
                "range",
                "traceparent",
                "via",
                "x-mcsp-pop"
            ]
        );
        let shared = asking.shared_request(&fixture.edge, &context).unwrap();
        assert_eq!(
            names(shared),
            ["cdn-loop", "traceparent", "via", "x-mcsp-pop"]
        );
    }

    #[test]
    fn queries_make_no_copies() {
        let fixture = Fixture::new("lhr1");
        let key = |path: &str| {
            let head = request("GET", path);
            let context = fixture.classified(&head);
            let route = context.route.as_deref().unwrap();
            Asking::new(route, head.as_ref(), &head.headers).map(|asking| asking.key.to_owned())
        };
        assert_eq!(key("/assets/app.js").as_deref(), Some("/assets/app.js"));
        assert_eq!(key("/assets/app.js?1"), key("/assets/app.js?2"));
        assert_eq!(key("/api/v1/users/me"), None);
    }
}
