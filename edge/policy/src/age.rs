//! How old a response is (RFC 9111 sections 4.2.3 and 5.1).

use http::{HeaderMap, header};

use crate::date::parse_http_date;
use crate::fields::{Members, delta_seconds};

/// When a response was asked for and when its header came, milliseconds since the epoch by the node's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// `request_time` of section 4.2.3.
    pub request_ms: i64,
    /// `response_time` of section 4.2.3.
    pub response_ms: i64,
}

/// The `Age` field in seconds: the first member of the first line; absent when that is no whole number (section 5.1).
#[must_use]
pub fn age_field_s(headers: &HeaderMap) -> Option<u32> {
    let line = headers.get(header::AGE)?;
    delta_seconds(Members::of(line.as_bytes()).next()?)
}

/// The `Date` field in milliseconds since the epoch; the time of receipt when it is absent or no date
/// (RFC 9110 section 6.6.1).
#[must_use]
pub fn date_ms(headers: &HeaderMap, response_ms: i64) -> i64 {
    headers
        .get(header::DATE)
        .and_then(|date| parse_http_date(date.as_bytes(), response_ms))
        .unwrap_or(response_ms)
}

/// `corrected_initial_age` in milliseconds, never negative (section 4.2.3): the age at [`Exchange::response_ms`].
#[must_use]
pub fn initial_age_ms(headers: &HeaderMap, exchange: Exchange) -> i64 {
    let apparent_age_ms = exchange
        .response_ms
        .saturating_sub(date_ms(headers, exchange.response_ms))
        .max(0);
    let response_delay_ms = exchange
        .response_ms
        .saturating_sub(exchange.request_ms)
        .max(0);
    let age_value_ms = i64::from(age_field_s(headers).unwrap_or(0)) * 1_000;
    apparent_age_ms.max(age_value_ms + response_delay_ms)
}
