//! Whatever bytes come in a field, each reader answers, and its answer keeps the bounds it states.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use mcsp_edge_policy::age::{Exchange, age_field_s, initial_age_ms};
use mcsp_edge_policy::cache_control::{RequestDirectives, ResponseDirectives};
use mcsp_edge_policy::cmcd::{Cmcd, NEXT_OBJECTS_MAX};
use mcsp_edge_policy::conditional::{Validators, evaluate, if_range_holds};
use mcsp_edge_policy::fields::DELTA_SECONDS_MAX;
use mcsp_edge_policy::freshness::Freshness;
use mcsp_edge_policy::hop_by_hop::strip_for_storing;
use mcsp_edge_policy::invalidation::invalidated;
use mcsp_edge_policy::range::{ContentRange, Fitted, RANGES_MAX, RangeRequest};
use mcsp_edge_policy::store::{Candidate, StoreRules, decide};
use mcsp_edge_policy::targeted::ResponseControl;
use mcsp_edge_policy::update::{head_effect, merge, selects};
use mcsp_edge_policy::vary::{VARY_FIELDS_MAX, Vary, language, normal_value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::NOW_MS;

const NAMES: [&str; 28] = [
    "accept-encoding",
    "accept-language",
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "cmcd-request",
    "connection",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "cookie",
    "date",
    "etag",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "mcsp-cache-control",
    "range",
    "set-cookie",
    "surrogate-control",
    "vary",
];

/// Bytes that the grammars are made of come more often than chance would have them.
fn value() -> impl Strategy<Value = HeaderValue> {
    let words = prop_oneof![
        Just("max-age="),
        Just("no-cache"),
        Just("private=\""),
        Just("bytes="),
        Just("bytes "),
        Just("W/\""),
        Just("\""),
        Just(", "),
        Just(";"),
        Just("="),
        Just("-"),
        Just("/"),
        Just("*"),
        Just("q="),
        Just("Sun, 06 Nov 1994 08:49:37 GMT"),
        Just("99999999999999999999"),
        Just("5"),
        Just("0"),
        Just(":"),
        Just("("),
        Just("nor="),
        Just("%"),
        Just("\\"),
        Just(" "),
    ];
    let text = vec(words, 0..12).prop_map(|words| words.concat().into_bytes());
    prop_oneof![text, vec(any::<u8>(), 0..60)].prop_filter_map("a field value", |bytes| {
        HeaderValue::from_bytes(&bytes).ok()
    })
}

fn message() -> impl Strategy<Value = HeaderMap> {
    vec((0..NAMES.len(), value()), 0..12).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (index, value) in fields {
            headers.append(HeaderName::from_static(NAMES[index]), value);
        }
        headers
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn readers_of_requests(request in message(), total in 0_u64..2_000, status in 200_u16..600) {
        let stored = Validators::of(&request, NOW_MS);
        let status = StatusCode::from_u16(status).unwrap();
        for method in [Method::GET, Method::HEAD, Method::POST] {
            let _ = evaluate(&method, &request, status, &stored, NOW_MS);
        }
        let _ = if_range_holds(&request, &stored, NOW_MS);
        let directives = RequestDirectives::parse(&request);
        prop_assert!(directives.max_age_s.unwrap_or(0) <= DELTA_SECONDS_MAX);
        match RangeRequest::of(&request).fit(total) {
            Fitted::One(range) => prop_assert!(range.first <= range.last && range.last < total),
            Fitted::Many(ranges) => prop_assert!((2..=RANGES_MAX).contains(&ranges.len())),
            Fitted::Whole | Fitted::None => {}
        }
        for name in NAMES {
            let _ = normal_value(&request, &HeaderName::from_static(name));
        }
        let _ = language::of_request(&request);
        if let Some(cmcd) = Cmcd::of_headers(&request) {
            prop_assert!(cmcd.next_objects.len() <= NEXT_OBJECTS_MAX);
        }
    }

    #[test]
    fn readers_of_responses(response in message(), request in message(), status in 100_u16..600, at_ms in any::<i64>()) {
        let exchange = Exchange { request_ms: at_ms.saturating_sub(7), response_ms: at_ms };
        let candidate = Candidate {
            method: &Method::GET,
            target_uri: "http://example.org/a",
            request: &request,
            status: StatusCode::from_u16(status).unwrap(),
            response: &response,
            exchange,
        };
        prop_assert!(initial_age_ms(&response, exchange) >= 0);
        prop_assert!(age_field_s(&response).unwrap_or(0) <= DELTA_SECONDS_MAX);
        let said = ResponseControl::of(&response).directives;
        if let Ok(plan) = decide(&candidate, &StoreRules::default()) {
            let Freshness { lifetime_ms, stale_while_revalidate_ms, stale_if_error_ms, .. } = plan.freshness;
            prop_assert!(lifetime_ms >= 0 && stale_while_revalidate_ms >= 0 && stale_if_error_ms >= 0);
            prop_assert!(!said.private.is_whole());
            prop_assert!(!said.no_store || said.must_understand);
            prop_assert!(plan.vary.names().len() <= VARY_FIELDS_MAX);
        }
        if let Some(ContentRange { range: Some(range), total }) = ContentRange::of(&response) {
            prop_assert!(range.first <= range.last && total.is_none_or(|total| range.last < total));
        }
        if let Ok(vary) = Vary::of(&response) {
            let _ = language::of_response(&vary, &request, &response);
        }
        let mut stripped = response.clone();
        strip_for_storing(&mut stripped, &[]);
        prop_assert!(!stripped.contains_key("connection"));
        let merged = merge(&stripped, &request, &[], NOW_MS);
        prop_assert_eq!(merged.get("content-length"), stripped.get("content-length"));
        let _ = (selects(&Validators::of(&response, NOW_MS), &request, NOW_MS), head_effect(&response, &request));
        let uris = invalidated(&Method::PUT, StatusCode::OK, "http://example.org/a", &response);
        prop_assert!((1..=3).contains(&uris.len()) && uris.iter().all(|uri| uri.starts_with("http://example.org/")));
    }

    /// A restriction survives whatever stands around it, as long as no quoted string swallows it.
    #[test]
    fn no_store_is_found(before in "[a-z0-9=; \t.*-]{0,20}", after in "[ -~]{0,20}") {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", format!("{before}, no-store, {after}").parse().unwrap());
        prop_assert!(ResponseDirectives::parse(&headers).no_store);
    }

    #[test]
    fn a_query_of_any_text(query in "\\PC{0,80}", list in vec(any::<u8>(), 0..80)) {
        let _ = Cmcd::of_query(&query);
        let encoded: String = list.iter().map(|byte| format!("%{byte:02x}")).collect();
        let found = Cmcd::of_query(&format!("CMCD={encoded}"));
        prop_assert!(found.is_some());
    }
}
