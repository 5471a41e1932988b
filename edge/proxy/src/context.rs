//! What is known of one request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use mcsp_api::ViewerIdentity;
use mcsp_auth_edge::{MediaAccess, TokenError};
use mcsp_edge_cache::engine::{FillTicket, Filling};
use mcsp_edge_h1::{Oddity, SentLine};
use mcsp_edge_limits::{Class, RequestGuard, Standing};
use mcsp_geo::Place;
use mcsp_telemetry::TraceContext;

use crate::answer::Answer;
use crate::route::Route;
use crate::shield::Child;
use crate::upstream::{Lease, Region};
use crate::visitor::Visitor;
use crate::waf::Inspection;

/// Filled in by the stages as they run.
#[derive(Debug)]
pub struct RequestContext {
    pub(crate) started: Instant,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) is_tls: bool,
    /// What the client's connection tells.
    pub(crate) visitor: Visitor,
    /// The request line as it was sent, where the request has it in another form and pingora was given it.
    pub(crate) sent_line: Option<SentLine>,
    /// Another of our nodes that asks this one, in place of a viewer.
    pub(crate) child: Option<Box<Child>>,
    /// Made for what a viewer will ask for next.
    pub(crate) is_ahead: bool,
    pub(crate) place: Place,
    pub(crate) trace: TraceContext,
    pub(crate) route: Option<Arc<Route>>,
    /// It was counted, or needs not be.
    pub(crate) is_limited: bool,
    /// Which limits it has; absent before they are asked, and where there are none.
    pub(crate) class: Option<Class>,
    /// Which limits turned it away, and why.
    pub(crate) turned: Option<(Class, &'static str)>,
    /// The client was told so often that it asks for too much that its connection is to end.
    pub(crate) ends_connection: bool,
    /// Counts as under way for as long as this is held.
    pub(crate) under_way: Option<RequestGuard>,
    /// How the client stands with its tightest limit, where that is told.
    pub(crate) standing: Option<Standing>,
    /// The request brings a body, as HTTP/2 tells by its frames, with or without a field that says so.
    pub(crate) has_body: bool,
    pub(crate) body_bytes_max: u64,
    pub(crate) body_bytes: u64,
    pub(crate) identity: Option<ViewerIdentity>,
    pub(crate) access: Option<MediaAccess>,
    /// What the answer brings a player whose token was renewed.
    pub(crate) renewed: Option<Box<(HeaderName, HeaderValue)>>,
    /// Its issuer may know the token's key, and is to be asked before anything is answered.
    pub(crate) awaits_keys: bool,
    /// What came of that.
    pub(crate) verdict: Option<Result<ViewerIdentity, TokenError>>,
    pub(crate) region: Option<Arc<Region>>,
    pub(crate) lease: Option<Lease>,
    /// Addresses of the region this request has tried, by place in its list.
    pub(crate) tried: Vec<usize>,
    /// An origin's answer began to arrive: too late for another try.
    pub(crate) has_upstream_head: bool,
    pub(crate) upstream_status: Option<u16>,
    /// Neither the feed nor the origin vouched for the cached object of late.
    pub(crate) is_unverified: bool,
    /// Why the edge answered by itself, or what else `Cache-Status` should say.
    pub(crate) detail: Option<&'static str>,
    pub(crate) cache_status: Option<String>,
    /// The cache's generation when the request went out, where its answer may be kept.
    pub(crate) asked_of: Option<FillTicket>,
    /// Fields of the origin's answer that are for this client and not kept with it.
    pub(crate) own_fields: HeaderMap,
    /// The answer is being kept.
    pub(crate) keeping: Option<Filling>,
    /// Of the answer that was begun; 0 before.
    pub(crate) status: u16,
    /// The firewall looks at it.
    pub(crate) inspection: Option<Box<Inspection>>,
    /// What the client is told in place of what an error would say.
    pub(crate) refusal: Option<Answer>,
}

impl RequestContext {
    #[inline]
    pub(crate) fn new(trace: TraceContext, started: Instant) -> Self {
        Self {
            started,
            peer: None,
            is_tls: false,
            visitor: Visitor::default(),
            sent_line: None,
            child: None,
            is_ahead: false,
            place: Place::default(),
            trace,
            route: None,
            is_limited: false,
            class: None,
            turned: None,
            ends_connection: false,
            under_way: None,
            standing: None,
            has_body: false,
            body_bytes_max: 0,
            body_bytes: 0,
            identity: None,
            access: None,
            renewed: None,
            awaits_keys: false,
            verdict: None,
            region: None,
            lease: None,
            tried: Vec::new(),
            has_upstream_head: false,
            upstream_status: None,
            is_unverified: false,
            detail: None,
            cache_status: None,
            asked_of: None,
            own_fields: HeaderMap::new(),
            keeping: None,
            status: 0,
            inspection: None,
            refusal: None,
        }
    }

    /// What its route takes although it is not as it should be.
    pub(crate) fn oddity(&self) -> Option<Oddity> {
        self.sent_line.as_ref()?.oddity
    }

    /// Is the answer one that pages of other origins may read?
    pub(crate) fn is_cross_origin(&self) -> bool {
        self.route.as_deref().is_some_and(Route::is_cross_origin)
    }

    pub(crate) fn is_media(&self) -> bool {
        self.route.as_deref().is_some_and(Route::is_media)
    }

    /// Does no viewer wait for it?
    pub(crate) fn is_ahead(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.is_ahead)
    }

    pub(crate) fn route_label(&self) -> &str {
        if self.child.is_some() {
            return "shield";
        }
        self.route
            .as_deref()
            .map_or(mcsp_telemetry::ROUTE_UNMATCHED, Route::label)
    }
}
