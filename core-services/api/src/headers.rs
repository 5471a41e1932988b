//! Header names that both sides of the edge must agree on. All of them are stripped from clients by the edge.

/// Who the viewer is: [`crate::ViewerIdentity`], set by the edge after it verified the token, believed only from a
/// peer whose certificate names an edge.
pub const IDENTITY: &str = "x-mcsp-identity";
/// The id of the PoP that the request came through, such as `los1`.
pub const POP: &str = "x-mcsp-pop";
/// The viewer's country as ISO 3166-1 alpha-2; absent when unknown.
pub const COUNTRY: &str = "x-mcsp-country";
/// The viewer's address as text.
pub const CLIENT_ADDRESS: &str = "x-mcsp-client-address";
/// The scheme and authority under which the viewer reached the PoP, such as `https://los1.example:8443`.
pub const PUBLIC_BASE: &str = "x-mcsp-public-base";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Makes the retry of a write harmless.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// What begins the name of every header that only our own nodes may set.
pub const PRIVATE_PREFIX: &str = "x-mcsp-";
