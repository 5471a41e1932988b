//! Whatever a request names, its cache key has one form, and two targets that are not equal by RFC 3986 section 6.2.2 and
//! RFC 9110 section 4.2.3 never share one.

use std::sync::LazyLock;

use http::header::HOST;
use http::request::Parts;
use http::{Uri, Version};
use mcsp_api::media_path::MediaPath;
use mcsp_runtime::{ManualClock, SharedClock};
use prometheus::Registry;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde::Deserialize as _;
use serde::de::value::{Error, MapDeserializer};

use super::MediaRoute;
use crate::config::UpstreamConfig;
use crate::metrics::ProxyMetrics;
use crate::plain::{PlainRoutes, QueryConfig, RouteConfig};
use crate::stage::is_web;
use crate::target::has_sound_host;

const NG: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
const GLOBAL: &str = "c_gl_01k9x3m5y8q2v7r4t6w1z0a3bc";

static ALL: LazyLock<PlainRoutes> = LazyLock::new(|| routes(QueryConfig::default()));
static LISTED: LazyLock<PlainRoutes> =
    LazyLock::new(|| routes(QueryConfig::Only(vec!["v".to_owned(), "t".to_owned()])));

fn routes(query: QueryConfig) -> PlainRoutes {
    let fields = [("name", "all"), ("upstream", "http://127.0.0.1:1")];
    let fields = MapDeserializer::<_, Error>::new(fields.into_iter());
    let config = RouteConfig {
        query,
        ..RouteConfig::deserialize(fields).unwrap()
    };
    let clock: SharedClock = ManualClock::new(0);
    let metrics = ProxyMetrics::register(&Registry::new(), None).unwrap();
    PlainRoutes::new(&[config], &UpstreamConfig::default(), &clock, &metrics).unwrap()
}

/// A request that the node takes: what it cannot read, or what names no host in the right way, it refuses.
fn asked(host: Option<&[u8]>, target: &[u8]) -> Option<Parts> {
    let mut request = http::Request::builder()
        .version(Version::HTTP_11)
        .uri(Uri::try_from(target).ok()?);
    if let Some(host) = host {
        request = request.header(HOST, host);
    }
    let parts = request.body(()).ok()?.into_parts().0;
    has_sound_host(&parts).then_some(parts)
}

fn key_of(routes: &PlainRoutes, request: &Parts, is_tls: bool) -> String {
    let found = routes.everywhere(request, is_tls).unwrap();
    let (key, path) = (found.key.to_string(), found.origin_path());
    assert!(key.ends_with(path) && path.starts_with('/'), "{key} {path}");
    key
}

/// The pieces that targets are made of, and bytes of any kind.
fn target() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop_oneof![
            Just("/"), Just("."), Just(".."), Just("/."), Just("/../"), Just("a"), Just("b"), Just("A"), Just("%"),
            Just("%2"), Just("%2e"), Just("%2E"), Just("%2f"), Just("%61"), Just("%41"), Just("%7e"), Just("~"),
            Just("%25"), Just("%00"), Just("%ff"), Just("%zz"), Just("?"), Just("&"), Just("="), Just("v"), Just("t"),
            Just("v="), Just("media/ng/"), Just("http://"), Just(":"), Just("@"), Just(";"), Just("\\"), Just("é"),
        ].prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..3),
    ];
    vec(piece, 0..10).prop_map(|pieces| [b"/".to_vec(), pieces.concat()].concat())
}

fn host() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => prop_oneof![
            Just("a"), Just("A"), Just("a:80"), Just("a:443"), Just("a:"), Just("a.b"), Just("[::1]"), Just("[::1]:80"),
            Just("a:08"), Just("a%2fb"), Just("a/b"), Just(""),
        ].prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..4),
    ]
}

/// A fuzz of which nothing gets through says nothing.
#[test]
fn many_of_these_are_requests_that_the_node_takes() {
    let mut runner = TestRunner::deterministic();
    let (mut taken, mut keys) = (0, std::collections::HashSet::new());
    for _ in 0..1_000 {
        let host = host().new_tree(&mut runner).unwrap().current();
        let target = target().new_tree(&mut runner).unwrap().current();
        if let Some(request) = asked(Some(&host), &target) {
            taken += 1;
            keys.insert(key_of(&ALL, &request, false));
        }
    }
    assert!(taken > 300 && keys.len() > 200, "{taken} {}", keys.len());
}

/// What one byte of a path stands for: itself, or an escape that is not equal to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Itself(u8),
    Escaped(u8),
}

fn units(path: &str) -> Vec<Unit> {
    let bytes = path.as_bytes();
    let mut units = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let escaped = bytes
            .get(at + 1..at + 3)
            .filter(|digits| bytes[at] == b'%' && digits.iter().all(u8::is_ascii_hexdigit))
            .map(|digits| u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap());
        units.push(match escaped {
            Some(byte) if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => {
                Unit::Itself(byte)
            }
            Some(byte) => Unit::Escaped(byte),
            None if bytes[at] == b'%' => Unit::Escaped(b'%'),
            None => Unit::Itself(bytes[at]),
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    units
}

/// The algorithm of RFC 3986 section 5.2.4, word for word.
fn without_dots(path: &[Unit]) -> Vec<Unit> {
    let text = |text: &str| units(text);
    let mut input = path.to_vec();
    let mut output: Vec<Unit> = Vec::new();
    let slash = Unit::Itself(b'/');
    while !input.is_empty() {
        if input.starts_with(&text("/./")) {
            input.drain(..2);
        } else if input == text("/.") {
            input = text("/");
        } else if input.starts_with(&text("/../")) || input == text("/..") {
            if input.len() == 3 {
                input = text("/");
            } else {
                input.drain(..3);
            }
            let last = output.iter().rposition(|unit| *unit == slash);
            output.truncate(last.unwrap_or(0));
        } else {
            let rest = &input[1..];
            let end = rest.iter().position(|unit| *unit == slash);
            let end = end.map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

/// What makes two targets equal.
fn meaning(request: &Parts, is_tls: bool) -> (bool, String, Vec<Unit>, Option<String>) {
    let host = match request.uri.authority() {
        Some(authority) => authority.as_str(),
        None => request.headers[HOST].to_str().unwrap(),
    };
    let own_port = if is_tls { ":443" } else { ":80" };
    let host = host.to_ascii_lowercase();
    let host = [own_port, ":"]
        .iter()
        .find_map(|end| host.strip_suffix(end))
        .unwrap_or(&host);
    let path = without_dots(&units(request.uri.path()));
    let query = request.uri.query().map(str::to_owned);
    (is_tls, host.to_owned(), path, query)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn a_key_is_its_own(host in host(), target in target(), is_tls: bool, lists: bool) {
        let routes = if lists { &*LISTED } else { &*ALL };
        let Some(request) = asked(Some(&host), &target) else { return Ok(()) };
        let key = key_of(routes, &request, is_tls);
        let scheme = if is_tls { "https://" } else { "http://" };
        prop_assert!(key.starts_with(scheme), "{}", key);
        // An empty host, and one with an escape, have no form of an absolute target here.
        let is_absolute = !key.starts_with(&format!("{scheme}/")) && !host.contains(&b'%');
        if is_absolute {
            let again = asked(None, key.as_bytes());
            let again = again.map(|again| key_of(routes, &again, is_tls));
            prop_assert_eq!(again.as_deref(), Some(&*key));
        }
    }

    #[test]
    fn two_targets_share_a_key_if_they_are_equal_and_only_then(
        hosts in (host(), host()),
        targets in (target(), target()),
        same in 0..4_u8,
        tls in any::<(bool, bool)>(),
    ) {
        // Mostly one of the two is the same, so that the other alone must tell them apart.
        let second = if same & 1 == 0 { &hosts.0 } else { &hosts.1 };
        let target = if same & 2 == 0 { &targets.0 } else { &targets.1 };
        let first = asked(Some(&hosts.0), &targets.0);
        let second = asked(Some(second), target);
        let (Some(first), Some(second)) = (first, second) else { return Ok(()) };
        let keys = [key_of(&ALL, &first, tls.0), key_of(&ALL, &second, tls.1)];
        let are_equal = meaning(&first, tls.0) == meaning(&second, tls.1);
        prop_assert_eq!(keys[0] == keys[1], are_equal, "{:?}", keys);
    }

    /// One target written in another way: escapes of what needs none, detours, capitals in the host.
    #[test]
    fn a_target_written_in_another_way_has_the_same_key(
        steps in vec("[a-z.]{1,3}", 1..5),
        how in vec(0..4_u8, 5),
    ) {
        let plain = steps.iter().map(|step| format!("/{step}")).collect::<String>();
        let written = steps
            .iter()
            .zip(how)
            .map(|(step, how)| match how {
                0 => format!("/{step}"),
                1 => format!("/./{step}"),
                2 => format!("/x/%2e%2E/{step}"),
                _ => step.bytes().fold("/".to_owned(), |text, byte| format!("{text}%{byte:02x}")),
            })
            .collect::<String>();
        let key = |host: &str, target: &str| {
            key_of(&ALL, &asked(Some(host.as_bytes()), target.as_bytes()).unwrap(), false)
        };
        prop_assert_eq!(key("a.example", &plain), key("A.Example:80", &written));
    }

    /// The token is never in the key, and a key is of one residency, one item and one part of it.
    #[test]
    fn media_of_two_residencies_never_share_a_key(
        tokens in ("[A-Za-z0-9_-]{1,8}", "[A-Za-z0-9_-]{1,8}"),
        names in (name(), name()),
        other in target(),
    ) {
        let path = |token: &str, name: &str| format!("/media/{token}/{name}");
        let route = |path: &str| MediaPath::parse_viewer(path).map(|(token, path)| MediaRoute::new(token, path));
        if let Some(route) = route(&String::from_utf8_lossy(&other)) {
            prop_assert_eq!(MediaPath::parse_origin(&route.origin_path).map(|path| path.residency), Some(route.residency));
        }
        let first = route(&path(&tokens.0, &names.0));
        let second = route(&path(&tokens.1, &names.1));
        let (Some(first), Some(second)) = (first, second) else { return Ok(()) };
        prop_assert_eq!(&first.origin_path, &format!("/media/{}", names.0));
        prop_assert_eq!(first.origin_path == second.origin_path, names.0 == names.1);
        let shares_residency = first.residency == second.residency;
        prop_assert!(shares_residency || first.origin_path != second.origin_path);
        prop_assert!(!is_web(&first.origin_path), "and never with the viewer's page");
    }
}

/// Names of objects, most of which are some.
fn name() -> impl Strategy<Value = String> {
    let residency = prop_oneof![Just("ng"), Just("global"), Just("NG"), Just("")];
    let item = prop_oneof![Just(NG), Just(GLOBAL), Just("ng"), Just("..")];
    (residency, item, "[a-z./%]{1,6}")
        .prop_map(|(residency, item, rest)| format!("{residency}/{item}/{rest}"))
}
