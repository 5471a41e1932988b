//! Plain routes: origins that speak HTTP without TLS and know nothing of MCSP. What they answer is cached by their own
//! headers alone, no token is asked for, and other methods are passed on as they come. One with `Set-Cookie` is kept only
//! where its origin gives a lifetime, see [`mcsp_edge_policy::store::SetCookie::IfExplicit`].

use std::sync::Arc;

use http::Uri;
use http::request::Parts;
use mcsp_edge_h1::Oddity;
use mcsp_edge_prefetch::PlaylistIndex;
use mcsp_runtime::SharedClock;
use serde::{Deserialize, Serialize};

use crate::config::{ProxyConfigError, UpstreamConfig};
use crate::metrics::{ProxyMetrics, RouteCounters};
use crate::outage::Outage;
use crate::target::{host_of, normal_path, path_of, push_authority, without_port};
use crate::upstream::Pool;

/// The most routes of one node.
const ROUTES_MAX: usize = 256;
/// What is remembered of one route's playlists, bytes: some 6 000 segments.
const PLAYLISTS_BYTES_MAX: usize = 1 << 20;
/// The longest query that an allow-list looks through, bytes; a longer one is in the key whole.
const QUERY_BYTES_MAX: usize = 16 << 10;

/// A route to a plain origin, one `[[route]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The route's label in logs and metrics: 1 to 32 characters of a-z, 0-9 and -; no other route's. Required.
    pub name: String,
    /// Names that requests come under, without a port; `*` is every name. A route that names the host goes before MCSP's
    /// own paths, one with `*` after them. Default `["*"]`; 1 to 64.
    #[serde(default = "every_host")]
    pub hosts: Vec<String>,
    /// What paths begin with, in whole steps; of several routes the longest wins. Default `/`.
    #[serde(default = "every_path")]
    pub path_prefix: String,
    /// `http://host:port` of the origin; a name with several addresses is balanced over them. Required.
    pub upstream: String,
    /// `"all"`: the whole query is part of the cache key. A list: only these parameters are, in the list's order, and the
    /// origin gets no others. Default `"all"`; a list of at most 64.
    #[serde(default)]
    pub query: QueryConfig,
    /// Whether `no-cache`, `no-store`, `max-age`, `min-fresh` and `max-stale` of clients (RFC 9111 section 5.2.1) are
    /// followed. They let any client send every request to the origin. Default false; `only-if-cached` always is.
    #[serde(default)]
    pub client_directives: bool,
    /// Whether fields with `_` in their names reach the origin. Where programs get fields as variables (CGI and what came of
    /// it), `X_Forwarded_For` is `X-Forwarded-For`, so that clients could say what they may not. Default false.
    #[serde(default)]
    pub underscored_fields: bool,
    /// Requests whose heads are refused elsewhere, and are read here in one way: see [`Oddity`]. Each is shown to the firewall
    /// as it was sent, reaches the origin in the form in which it was read, past the cache, and ends its connection. For origins
    /// with clients that cannot be mended, and for tests of rules. Default `[]`; any of `"length-and-coding"`, `"version"`,
    /// `"target-characters"`, `"target-without-path"`, `"connect"`.
    #[serde(default)]
    pub takes: Vec<Oddity>,
    /// The largest body of a request, bytes. Default 16 MiB; 0 to 5 GiB.
    #[serde(default = "default_body_bytes_max")]
    pub body_bytes_max: u64,
}

/// What of a query is part of the cache key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum QueryConfig {
    /// `"all"`.
    Word(QueryWord),
    /// Names of parameters.
    Only(Vec<String>),
}

/// The one word that stands for a query rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueryWord {
    /// The whole query.
    All,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self::Word(QueryWord::All)
    }
}

fn every_host() -> Vec<String> {
    vec!["*".to_owned()]
}

fn every_path() -> String {
    "/".to_owned()
}

fn default_body_bytes_max() -> u64 {
    16 << 20
}

impl RouteConfig {
    /// Checks what can be checked without asking anyone.
    ///
    /// # Errors
    /// Names the key, its value and what was expected.
    pub fn validate(&self) -> Result<(), ProxyConfigError> {
        let fault = |key: &str, value: String, expected: &str| {
            let key = format!("route {:?} {key}", self.name);
            Err(ProxyConfigError::new(key, value, expected))
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !(1..=32).contains(&self.name.len()) || !self.name.chars().all(is_name) {
            let expected = "1 to 32 characters of a-z, 0-9 and -";
            return fault("name", self.name.clone(), expected);
        }
        let is_host = |host: &String| {
            !host.is_empty() && host.len() <= 253 && !host.contains(['/', ' ', '@', '?', '#'])
        };
        if !(1..=64).contains(&self.hosts.len()) || !self.hosts.iter().all(is_host) {
            return fault(
                "hosts",
                format!("{:?}", self.hosts),
                "1 to 64 names, or \"*\"",
            );
        }
        if !self.path_prefix.starts_with('/') || self.path_prefix.contains(['?', '#']) {
            return fault("path_prefix", self.path_prefix.clone(), "a path from /");
        }
        if address_of(&self.upstream).is_none() {
            let expected = "http://host:port, and nothing after it";
            return fault("upstream", self.upstream.clone(), expected);
        }
        if let QueryConfig::Only(names) = &self.query
            && names.len() > 64
        {
            return fault(
                "query",
                names.len().to_string(),
                "\"all\", or at most 64 names",
            );
        }
        if self.body_bytes_max > 5 << 30 {
            return fault(
                "body_bytes_max",
                self.body_bytes_max.to_string(),
                "0 to 5368709120",
            );
        }
        Ok(())
    }
}

/// `host:port` of an `http://` origin.
fn address_of(upstream: &str) -> Option<String> {
    let uri: Uri = upstream.parse().ok()?;
    let is_bare = uri.path() == "/" && uri.query().is_none() && !upstream.ends_with('/');
    if uri.scheme_str() != Some("http") || !is_bare {
        return None;
    }
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    Some(format!(
        "{}:{}",
        authority.host(),
        authority.port_u16().unwrap_or(80)
    ))
}

/// A route, ready to be matched.
#[derive(Debug)]
pub(crate) struct PlainRoute {
    pub(crate) name: String,
    hosts: Vec<String>,
    pub(crate) path_prefix: String,
    query: QueryConfig,
    pub(crate) client_directives: bool,
    pub(crate) underscored_fields: bool,
    takes: Vec<Oddity>,
    pub(crate) body_bytes_max: u64,
    pub(crate) pool: Arc<Pool>,
    /// Whether its origin answers at all.
    pub(crate) outage: Arc<Outage>,
    pub(crate) counters: RouteCounters,
    /// Which segment follows which, as the route's playlists say.
    pub(crate) playlists: PlaylistIndex,
}

impl PlainRoute {
    /// Does it take requests that come with this?
    pub(crate) fn takes(&self, oddity: Oddity) -> bool {
        self.takes.contains(&oddity)
    }
}

fn pool(
    address: String,
    upstream: &UpstreamConfig,
    clock: &SharedClock,
) -> Result<Pool, ProxyConfigError> {
    Pool::resolve(&[address], "", upstream.pool_policy(), clock)
        .map_err(|error| ProxyConfigError::new("route upstream", error.address, error.expected))
}

/// A request for a plain origin.
#[derive(Debug, Clone)]
pub(crate) struct PlainRequest {
    pub(crate) route: Arc<PlainRoute>,
    /// `scheme://host/path?query`, normalised: the cache key, which also is what RFC 9111 section 4.4 invalidates.
    pub(crate) key: Arc<str>,
    /// Where the path begins in the key; from there on it is what the origin is asked.
    path_at: usize,
}

impl PlainRequest {
    /// What the origin is asked.
    pub(crate) fn origin_path(&self) -> &str {
        self.key.get(self.path_at..).unwrap_or("/")
    }
}

/// All plain routes of a node.
#[derive(Debug, Default)]
pub(crate) struct PlainRoutes {
    named: Vec<Arc<PlainRoute>>,
    everywhere: Vec<Arc<PlainRoute>>,
}

impl PlainRoutes {
    /// Resolves the origins' addresses, so it blocks.
    pub(crate) fn new(
        configs: &[RouteConfig],
        upstream: &UpstreamConfig,
        clock: &SharedClock,
        metrics: &ProxyMetrics,
    ) -> Result<Self, ProxyConfigError> {
        if configs.len() > ROUTES_MAX {
            let expected = format!("at most {ROUTES_MAX} entries");
            return Err(ProxyConfigError::new("route", configs.len(), expected));
        }
        let mut routes = Self::default();
        for (place, config) in configs.iter().enumerate() {
            config.validate()?;
            if configs
                .iter()
                .take(place)
                .any(|other| other.name == config.name)
            {
                let expected = "a name that no other route has";
                return Err(ProxyConfigError::new("route name", &config.name, expected));
            }
            let address = address_of(&config.upstream).unwrap_or_default();
            let hosts: Vec<String> = config
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase())
                .collect();
            let is_everywhere = hosts.iter().any(|host| host == "*");
            let route = Arc::new(PlainRoute {
                name: config.name.clone(),
                hosts,
                path_prefix: config.path_prefix.clone(),
                query: config.query.clone(),
                client_directives: config.client_directives,
                underscored_fields: config.underscored_fields,
                takes: config.takes.clone(),
                body_bytes_max: config.body_bytes_max,
                counters: metrics.counters(&config.name),
                playlists: PlaylistIndex::new(PLAYLISTS_BYTES_MAX),
                outage: Arc::new(Outage::new(format!("route/{}", config.name))),
                pool: Arc::new(pool(address, upstream, clock)?),
            });
            let list = if is_everywhere {
                &mut routes.everywhere
            } else {
                &mut routes.named
            };
            list.push(route);
        }
        // Stable: of equal prefixes the first in the file wins.
        for list in [&mut routes.named, &mut routes.everywhere] {
            list.sort_by_key(|route| std::cmp::Reverse(route.path_prefix.len()));
        }
        Ok(routes)
    }

    /// Those that name hosts first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<PlainRoute>> {
        self.named.iter().chain(&self.everywhere)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.everywhere.is_empty()
    }

    /// Is there a route that takes requests that come with this?
    pub(crate) fn any_takes(&self, oddity: Oddity) -> bool {
        let mut routes = self.named.iter().chain(&self.everywhere);
        routes.any(|route| route.takes(oddity))
    }

    /// Does a route name the request's host, and take its path?
    pub(crate) fn names_host(&self, request: &Parts, is_tls: bool) -> bool {
        self.named(request, is_tls).is_some()
    }

    /// The route that names the request's host.
    pub(crate) fn named(&self, request: &Parts, is_tls: bool) -> Option<PlainRequest> {
        if self.named.is_empty() {
            return None;
        }
        let host = host_of(request)?;
        let name = without_port(host);
        let path = normal_path(path_of(request));
        let route = self.named.iter().find(|route| {
            route
                .hosts
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
                && is_under(&path, &route.path_prefix)
        })?;
        Some(PlainRequest::new(route, request, host, &path, is_tls))
    }

    /// The key that a request for an absolute URI would have; nothing when it would not be a plain route's.
    pub(crate) fn key_of(&self, uri: &str) -> Option<Arc<str>> {
        let request = http::Request::get(uri).body(()).ok()?.into_parts().0;
        let is_tls = match request.uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return None,
        };
        let named = self.named(&request, is_tls);
        let plain = named.or_else(|| self.everywhere(&request, is_tls))?;
        Some(plain.key)
    }

    /// The route for every host.
    pub(crate) fn everywhere(&self, request: &Parts, is_tls: bool) -> Option<PlainRequest> {
        let host = host_of(request).unwrap_or_default();
        let path = normal_path(path_of(request));
        let route = self
            .everywhere
            .iter()
            .find(|route| is_under(&path, &route.path_prefix))?;
        Some(PlainRequest::new(route, request, host, &path, is_tls))
    }
}

impl PlainRequest {
    /// `path` is the normal form that `route` was chosen by, so that one key has one route.
    fn new(route: &Arc<PlainRoute>, request: &Parts, host: &str, path: &str, is_tls: bool) -> Self {
        let query = request.uri.query();
        let mut key =
            String::with_capacity(16 + host.len() + path.len() + query.map_or(0, str::len));
        key.push_str(if is_tls { "https://" } else { "http://" });
        push_authority(&mut key, host, is_tls);
        let path_at = key.len();
        key.push_str(path);
        if let Some(query) = query {
            push_query(&mut key, query, &route.query);
        }
        Self {
            route: Arc::clone(route),
            key: Arc::from(key),
            path_at,
        }
    }
}

fn push_query(key: &mut String, query: &str, config: &QueryConfig) {
    let names = match config {
        QueryConfig::Only(names) if query.len() <= QUERY_BYTES_MAX => names,
        _ => {
            key.push('?');
            key.push_str(query);
            return;
        }
    };
    let mut separator = '?';
    for name in names {
        for pair in query.split('&') {
            if pair.split('=').next() == Some(name) {
                key.push(separator);
                key.push_str(pair);
                separator = '&';
            }
        }
    }
}

fn is_under(path: &str, prefix: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests;
