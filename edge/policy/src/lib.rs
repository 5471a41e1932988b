//! What HTTP says of caching, as pure functions for a shared cache at the edge.
//!
//! Nothing here does I/O, reads a clock or keeps state: times are milliseconds since the epoch and are given in, headers
//! are [`http::HeaderMap`]s. What the path of a fresh hit calls ([`Freshness::judge`](freshness::Freshness::judge),
//! [`conditional::evaluate`], [`RangeRequest::of`](range::RangeRequest::of),
//! [`RequestDirectives::parse`](cache_control::RequestDirectives::parse)) does not allocate; comparing variants does
//! only where a response varies by something that has to be brought into normal form.
//!
//! | module | rules |
//! | --- | --- |
//! | [`cache_control`], [`targeted`], [`surrogate`] | RFC 9111 section 5.2, RFC 8246, RFC 9213, Edge Architecture |
//! | [`store`] | RFC 9111 section 3: may it be stored; section 4.2.1: for how long |
//! | [`age`], [`freshness`] | RFC 9111 section 4.2, RFC 5861 |
//! | [`vary`], [`encoding`] | RFC 9111 section 4.1 |
//! | [`conditional`], [`entity_tag`], [`update`] | RFC 9110 section 13, RFC 9111 section 4.3 |
//! | [`range`], [`multipart`] | RFC 9110 section 14 |
//! | [`invalidation`] | RFC 9111 section 4.4 |
//! | [`hop_by_hop`] | RFC 9110 section 7.6.1, RFC 9111 section 3.1 |
//! | [`cache_status`] | RFC 9211 |
//! | [`cdn_loop`] | RFC 8586 |
//! | [`cmcd`], [`cmsd`] | CTA-5004, CTA-5006 |

pub mod age;
pub mod cache_control;
pub mod cache_status;
pub mod cdn_loop;
pub mod cmcd;
pub mod cmsd;
pub mod conditional;
pub mod date;
pub mod encoding;
pub mod entity_tag;
pub mod fields;
pub mod freshness;
pub mod hop_by_hop;
pub mod invalidation;
pub mod multipart;
mod preference;
pub mod range;
pub mod store;
pub mod surrogate;
pub mod targeted;
pub mod update;
pub mod vary;
