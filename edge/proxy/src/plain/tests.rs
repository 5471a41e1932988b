//! What routes to plain origins take, and how their keys are told apart.

use mcsp_runtime::ManualClock;
use prometheus::Registry;

use super::*;
use crate::stage::testing::request;

fn route(name: &str, hosts: &[&str], path_prefix: &str) -> RouteConfig {
    RouteConfig {
        name: name.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        path_prefix: path_prefix.to_owned(),
        upstream: "http://127.0.0.1:1".to_owned(),
        query: QueryConfig::default(),
        client_directives: false,
        underscored_fields: false,
        takes: Vec::new(),
        body_bytes_max: 0,
    }
}

fn routes(configs: &[RouteConfig]) -> PlainRoutes {
    let clock: SharedClock = ManualClock::new(0);
    let metrics = ProxyMetrics::register(&Registry::new(), None).unwrap();
    PlainRoutes::new(configs, &UpstreamConfig::default(), &clock, &metrics).unwrap()
}

fn asked(host: &str, path: &str) -> pingora_http::RequestHeader {
    let mut head = request("GET", path);
    head.insert_header("host", host).unwrap();
    head
}

#[test]
fn the_host_is_looked_at_first_and_then_the_longest_prefix() {
    let routes = routes(&[
        route("a", &["a.example"], "/"),
        route("a-deep", &["A.example"], "/deep"),
        route("all", &["*"], "/"),
    ]);
    let named = |host: &str, path: &str| {
        let found = routes.named(&asked(host, path), false);
        found.map(|found| found.route.name.clone())
    };
    assert_eq!(named("A.EXAMPLE:8080", "/x").as_deref(), Some("a"));
    assert_eq!(named("a.example", "/deep/x").as_deref(), Some("a-deep"));
    assert_eq!(named("a.example", "/deeper").as_deref(), Some("a"));
    assert_eq!(named("b.example", "/x"), None);
    let everywhere = routes.everywhere(&asked("b.example", "/x"), false).unwrap();
    assert_eq!(everywhere.route.name, "all");
}

#[test]
fn equal_targets_have_one_key() {
    let all = routes(&[route("all", &["*"], "/")]);
    let key = |host: &str, path: &str, is_tls| {
        let found = all.everywhere(&asked(host, path), is_tls).unwrap();
        (found.key.to_string(), found.origin_path().to_owned())
    };
    let wanted = (
        "http://a.example/~x/%3F?Q=%3f".to_owned(),
        "/~x/%3F?Q=%3f".to_owned(),
    );
    for (host, path) in [
        ("a.example", "/~x/%3F?Q=%3f"),
        ("A.Example:80", "/%7ex/%3f?Q=%3f"),
    ] {
        assert_eq!(key(host, path, false), wanted);
    }
    assert_eq!(key("a:8080", "/%zz%", false).0, "http://a:8080/%25zz%25");
    assert_eq!(key("a:443", "/", true).0, "https://a/");
}

#[test]
fn what_an_answer_names_has_the_key_that_requests_for_it_have() {
    let mut config = route("all", &["*"], "/");
    config.query = QueryConfig::Only(vec!["v".to_owned()]);
    let routes = routes(&[config, route("deep", &["a.example"], "/deep")]);
    for (uri, key) in [
        (
            "http://A.example:80/%7ex?u=1&v=2",
            Some("http://a.example/~x?v=2"),
        ),
        ("https://a.example:443/x", Some("https://a.example/x")),
        (
            "http://a.example/y/../deep/?u=1",
            Some("http://a.example/deep/?u=1"),
        ),
        ("ftp://a.example/x", None),
        ("/x", None),
        ("", None),
    ] {
        assert_eq!(routes.key_of(uri).as_deref(), key, "{uri}");
    }
}

#[test]
fn of_a_query_only_what_is_listed_counts() {
    let mut config = route("all", &["*"], "/");
    config.query = QueryConfig::Only(vec!["v".to_owned(), "t".to_owned()]);
    let routes = routes(&[config]);
    let key = |path: &str| {
        routes
            .everywhere(&asked("a", path), false)
            .unwrap()
            .key
            .to_string()
    };
    assert_eq!(key("/x?t=2&u=3&v=1&t=4"), "http://a/x?v=1&t=2&t=4");
    assert_eq!(key("/x?u=3"), "http://a/x");
}

#[test]
fn a_route_that_cannot_be_used_is_named() {
    let fault = |change: fn(&mut RouteConfig)| {
        let mut config = route("r", &["*"], "/");
        change(&mut config);
        config.validate().unwrap_err().to_string()
    };
    assert!(
        fault(|c| c.upstream = "https://a:1".to_owned())
            .starts_with("route \"r\" upstream = https://a:1")
    );
    assert!(fault(|c| c.upstream = "http://a/x".to_owned()).contains("upstream"));
    assert!(fault(|c| c.path_prefix = "x".to_owned()).contains("path_prefix"));
    assert!(fault(|c| c.hosts.clear()).contains("hosts"));
    assert!(fault(|c| c.name = "A".to_owned()).contains("name"));
}

proptest::proptest! {
    #[test]
    fn a_key_has_one_route_however_its_path_is_written(
        host in "(a|A)\\.example(:80)?",
        path in "/(s|h|o|p|/|\\.|%6f|%6F|%2e|%|x){0,12}",
    ) {
        let routes = routes(&[
            route("shop", &["*"], "/shop"),
            route("all", &["*"], "/"),
            route("a-shop", &["a.example"], "/shop"),
            route("a", &["a.example"], "/"),
        ]);
        let found = |path: &str| {
            let asked = asked(&host, path);
            let named = routes.named(&asked, false).unwrap();
            let everywhere = routes.everywhere(&asked, false).unwrap();
            [named, everywhere].map(|found| {
                let origin_path = found.origin_path().to_owned();
                (found.route.name.clone(), found.key.to_string(), origin_path)
            })
        };
        let as_written = found(&path);
        proptest::prop_assert_eq!(&found(&as_written[0].2), &as_written);
    }
}
