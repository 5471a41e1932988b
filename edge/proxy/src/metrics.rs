//! What the proxy counts beside rate, errors and duration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use mcsp_edge_traffic::Traffic;
use mcsp_telemetry::{RedHandle, RedMetrics};
use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::route::{MediaKind, Route};
use crate::shield::ShieldMetrics;

/// The counters of one route whose answers are kept, found once: too many requests pass them to look labels up.
#[derive(Debug, Clone)]
pub(crate) struct RouteCounters {
    pub(crate) bytes_sent: IntCounter,
    get: Option<RedHandle>,
    head: Option<RedHandle>,
    /// In the order of [`CACHE_OUTCOMES`].
    cache: [IntCounter; CACHE_OUTCOMES.len()],
}

impl RouteCounters {
    fn new(
        route: &str,
        bytes_sent: &IntCounterVec,
        cache: &IntCounterVec,
        red: Option<&RedMetrics>,
    ) -> Self {
        let red = |method| red.map(|red| red.handle("edge", route, method));
        Self {
            bytes_sent: bytes_sent.with_label_values(&[route]),
            get: red("GET"),
            head: red("HEAD"),
            cache: CACHE_OUTCOMES.map(|outcome| cache.with_label_values(&[route, outcome])),
        }
    }

    pub(crate) fn red(&self, method: &Method) -> Option<&RedHandle> {
        match *method {
            Method::GET => self.get.as_ref(),
            Method::HEAD => self.head.as_ref(),
            _ => None,
        }
    }

    /// Counts how the cache took part; `outcome` is one of [`CACHE_OUTCOMES`].
    pub(crate) fn cache(&self, outcome: &str) {
        let known = CACHE_OUTCOMES.iter().position(|known| *known == outcome);
        if let Some(counter) = known.and_then(|place| self.cache.get(place)) {
            counter.inc();
        }
    }
}

/// How the cache may take part in an answer.
const CACHE_OUTCOMES: [&str; 8] = [
    "hit",
    "miss",
    "stale",
    "revalidated",
    "expired",
    "collapsed",
    "bypass",
    "answered",
];

/// A counter that is told sums, of which several threads may tell the same.
#[derive(Debug, Clone)]
pub(crate) struct SumCounter {
    counter: IntCounter,
    told: Arc<AtomicU64>,
}

impl SumCounter {
    /// Brings the counter up to `sum`.
    pub(crate) fn inc_by_new(&self, sum: u64) {
        let before = self.told.fetch_max(sum, Ordering::Relaxed);
        self.counter.inc_by(sum.saturating_sub(before));
    }
}

/// What the proxy counts.
#[derive(Debug, Clone)]
pub(crate) struct ProxyMetrics {
    pub(crate) answers: IntCounterVec,
    pub(crate) kept_out: IntCounterVec,
    pub(crate) cache: IntCounterVec,
    pub(crate) upstream_failures: IntCounterVec,
    pub(crate) upstream_retries: IntCounter,
    pub(crate) stale: IntCounterVec,
    pub(crate) not_stored: IntCounterVec,
    pub(crate) ranges_refused: IntCounterVec,
    pub(crate) seeks_past: IntCounter,
    pub(crate) bodies_refused: IntCounterVec,
    pub(crate) clients_gone: IntCounterVec,
    pub(crate) fetches_given_up: IntCounter,
    pub(crate) failures_shared: IntCounterVec,
    left_alone: IntCounterVec,
    not_waited: IntCounterVec,
    upstream_silent: IntGaugeVec,
    pub(crate) visits: IntCounterVec,
    pub(crate) listed_requests: IntCounterVec,
    pub(crate) bytes_sent: IntCounterVec,
    pub(crate) log_dropped: SumCounter,
    /// Of requests that are passed on.
    pub(crate) calls: Traffic,
    pub(crate) shield: ShieldMetrics,
    red: Option<RedMetrics>,
    segment: RouteCounters,
    manifest: RouteCounters,
    art: RouteCounters,
    web: RouteCounters,
}

impl ProxyMetrics {
    pub(crate) fn register(
        registry: &Registry,
        red: Option<&RedMetrics>,
    ) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let cache = counters(
            "mcsp_edge_cache_total",
            "Cached routes by how the cache took part: hit, miss, stale, revalidated, expired, collapsed, bypass, answered.",
            &["route", "outcome"],
        )?;
        let bytes_sent = counters(
            "mcsp_edge_bytes_sent_total",
            "Body bytes sent to clients, by route.",
            &["route"],
        )?;
        let of_route = |route: &str| RouteCounters::new(route, &bytes_sent, &cache, red);
        Ok(Self {
            answers: counters(
                "mcsp_edge_answers_total",
                "Requests that a stage answered itself, by stage and reason.",
                &["stage", "reason"],
            )?,
            kept_out: counters(
                "mcsp_edge_residency_kept_out_total",
                "Requests for NG bytes at a PoP outside Nigeria, by route.",
                &["route"],
            )?,
            upstream_failures: counters(
                "mcsp_edge_upstream_failures_total",
                "Tries that an origin failed, by region.",
                &["region"],
            )?,
            upstream_retries: counter(
                "mcsp_edge_upstream_retries_total",
                "Requests that were tried on another address.",
            )?,
            stale: counters(
                "mcsp_edge_stale_served_total",
                "Objects served past their life, by why: error (the origin failed), unverified (the feed was away too).",
                &["why"],
            )?,
            not_stored: counters(
                "mcsp_edge_not_stored_total",
                "Answers on cached routes that were asked for to be stored and were not, by why: origin-says-no, private, vary (\"*\", \
                 or absurd), set-cookie, authorization, status, too-large, no-room, …",
                &["reason"],
            )?,
            ranges_refused: counters(
                "mcsp_edge_ranges_refused_total",
                "Range requests answered 416, by why: too-many (more than 16), outside (of what there is).",
                &["reason"],
            )?,
            clients_gone: counters(
                "mcsp_edge_clients_gone_total",
                "Cached routes: clients that went before their answer began, by route.",
                &["route"],
            )?,
            fetches_given_up: counter(
                "mcsp_edge_fetches_given_up_total",
                "Fetches ended before their head came, since nobody waited for it any more.",
            )?,
            failures_shared: counters(
                "mcsp_edge_failures_shared_total",
                "Requests that were told of the failure of a fetch that they had waited for, by how it failed: unreachable, overloaded, \
                 timed_out, unusable, left_alone.",
                &["failure"],
            )?,
            bodies_refused: counters(
                "mcsp_edge_bodies_refused_total",
                "Requests passed on whose body was not framed as it should be, by what was wrong.",
                &["reason"],
            )?,
            seeks_past: counter(
                "mcsp_edge_seeks_past_total",
                "Parts that an origin was asked for past the cache, since the fill that brings them was far behind and its response has no \
                 strong validator.",
            )?,
            left_alone: counters(
                "mcsp_edge_origin_left_alone_total",
                "What an origin was not asked, since it had failed several times for the same object within 2 s: fetch (an object), \
                 refresh (whether one that is served meanwhile is still good), rest (what is missing of a body), resume (a body that \
                 broke off).",
                &["what"],
            )?,
            not_waited: counters(
                "mcsp_edge_not_waited_total",
                "Requests that were given what is held without their origin's word, by why: wait-over (it did not come in time), silent \
                 (the origin answers nobody), crowd (too many wait for it).",
                &["why"],
            )?,
            upstream_silent: {
                let gauges = IntGaugeVec::new(
                    Opts::new(
                        "mcsp_edge_upstream_silent",
                        "1 while an upstream answers nothing of what is asked for the cache, by upstream: a region, or route/ and a \
                         plain route.",
                    ),
                    &["upstream"],
                )?;
                registry.register(Box::new(gauges.clone()))?;
                gauges
            },
            visits: counters(
                "mcsp_edge_visits_total",
                "Connections of viewers by the kind of their network: unlisted, hosting, vpn, proxy, tor, relay.",
                &["network"],
            )?,
            listed_requests: counters(
                "mcsp_edge_listed_requests_total",
                "Requests from networks that are known for hiding who is behind them, by kind.",
                &["network"],
            )?,
            log_dropped: SumCounter {
                counter: counter(
                    "mcsp_edge_access_log_dropped_total",
                    "Access log lines that standard error did not take in time.",
                )?,
                told: Arc::default(),
            },
            calls: Traffic::register(registry, "calls")?,
            shield: ShieldMetrics::register(registry)?,
            segment: of_route("media-segment"),
            manifest: of_route("media-manifest"),
            art: of_route("media-art"),
            web: of_route("web"),
            red: red.cloned(),
            bytes_sent,
            cache,
        })
    }

    /// An origin was not asked for `what`: see `mcsp_edge_origin_left_alone_total`.
    pub(crate) fn left_alone(&self, what: &str) {
        self.left_alone.with_label_values(&[what]).inc();
    }

    /// A request was given what is held without its origin's word: see `mcsp_edge_not_waited_total`.
    pub(crate) fn not_waited(&self, why: &str) {
        self.not_waited.with_label_values(&[why]).inc();
    }

    pub(crate) fn upstream_silent(&self, upstream: &str, is_silent: bool) {
        let gauge = self.upstream_silent.with_label_values(&[upstream]);
        gauge.set(i64::from(is_silent));
    }

    /// The counters of a further route.
    pub(crate) fn counters(&self, route: &str) -> RouteCounters {
        RouteCounters::new(route, &self.bytes_sent, &self.cache, self.red.as_ref())
    }

    /// The counters of a route whose answers are kept.
    pub(crate) fn of_route<'a>(&'a self, route: Option<&'a Route>) -> Option<&'a RouteCounters> {
        match route? {
            Route::Media(media) => Some(match media.kind {
                MediaKind::Segment => &self.segment,
                MediaKind::Manifest => &self.manifest,
                MediaKind::Art => &self.art,
            }),
            Route::Web(_) => Some(&self.web),
            Route::Plain(plain) => Some(&plain.route.counters),
            Route::Api(_) | Route::Storage(_) => None,
        }
    }
}
