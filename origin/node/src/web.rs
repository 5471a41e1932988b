//! The pages: static files with the headers that keep them safe.

use std::collections::BTreeSet;
use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, StatusCode};
use mcsp_pop_config::PopSet;
use mcsp_telemetry::TelemetryLayer;
use tower_http::services::{ServeDir, ServeFile};

use crate::NodeError;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// Pages are small and name the scripts they go with: asked for again each time (304 when unchanged).
const PAGE_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Scripts and styles have no version in their names, so a new release is seen within minutes.
const ASSET_CACHE: HeaderValue =
    HeaderValue::from_static("public, max-age=300, stale-while-revalidate=86400");

/// `/`, `/watch/{id}` (the same page: its script reads the path) and `/assets/…`.
pub(crate) fn router(site_dir: &Path, pops: &PopSet) -> Result<Router, NodeError> {
    let page = ServeFile::new(site_dir.join("index.html"));
    let policy = HeaderValue::try_from(content_security_policy(pops))
        .map_err(|error| NodeError::Process(format!("content security policy: {error}")))?;
    Ok(Router::new()
        .route_service("/", page.clone())
        .route_service("/watch/{id}", page)
        .route_service(
            "/assets/{*path}",
            ServeDir::new(site_dir).append_index_html_on_directories(false),
        )
        .fallback(async || (StatusCode::NOT_FOUND, "There is no such page.\n"))
        .layer(from_fn(move |request, next| {
            headers(policy.clone(), request, next)
        }))
        .layer(TelemetryLayer::new("web")))
}

async fn headers(policy: HeaderValue, request: Request, next: Next) -> Response {
    let is_asset = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let is_found = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let cache = match (is_found, is_asset) {
        (true, true) => ASSET_CACHE,
        (true, false) => PAGE_CACHE,
        (false, _) => HeaderValue::from_static("no-store"),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, cache);
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        PERMISSIONS_POLICY,
        HeaderValue::from_static("camera=(), microphone=(), geolocation=()"),
    );
    response
}

/// Scripts and styles are ours alone. Media and thumbnails may come from any PoP, because residency may send a viewer to
/// another one; players feed media elements by `blob:` URLs.
fn content_security_policy(pops: &PopSet) -> String {
    let bases: BTreeSet<String> = pops
        .iter()
        .flat_map(|pop| &pop.base_urls)
        .map(|url| url.origin().ascii_serialization())
        .collect();
    let pops = bases.into_iter().collect::<Vec<_>>().join(" ");
    [
        "default-src 'none'".to_owned(),
        "script-src 'self'".to_owned(),
        "style-src 'self'".to_owned(),
        "font-src 'self'".to_owned(),
        format!("img-src 'self' data: blob: {pops}"),
        format!("media-src 'self' blob: {pops}"),
        format!("connect-src 'self' {pops}"),
        "manifest-src 'self'".to_owned(),
        "base-uri 'none'".to_owned(),
        "form-action 'self'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
    ]
    .join("; ")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    fn site() -> (tempfile::TempDir, Router) {
        let dir = tempfile::TempDir::new().expect("a folder");
        std::fs::create_dir(dir.path().join("assets")).expect("a folder");
        std::fs::write(dir.path().join("index.html"), "<!doctype html>page").expect("a file");
        std::fs::write(dir.path().join("assets/app.js"), "export {}").expect("a file");
        std::fs::write(dir.path().join("secret.txt"), "secret").expect("a file");
        let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n";
        let pop = "id = \"los1\"\nname = \"Lagos\"\ncountry = \"NG\"\nlatitude = 6.5\nlongitude = 3.4\ntrust = \"own\"\n\
                   region = \"ng-lagos\"\nbase_urls = [\"https://los1.example:8443\"]\n";
        let pops = PopSet::from_toml(regions, [("los1", pop)]).expect("a set");
        let router = router(dir.path(), &pops).expect("a router");
        (dir, router)
    }

    async fn get(router: &Router, path: &str) -> (StatusCode, http::HeaderMap, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        (
            parts.status,
            parts.headers,
            body.collect().await.expect("a body").to_bytes().to_vec(),
        )
    }

    #[tokio::test]
    async fn every_watch_address_is_the_page_and_assets_are_files() {
        let (_dir, router) = site();
        for path in ["/", "/watch/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc"] {
            let (status, headers, body) = get(&router, path).await;
            assert_eq!(
                (status, body.as_slice()),
                (StatusCode::OK, b"<!doctype html>page".as_slice())
            );
            assert_eq!(headers["cache-control"], "no-cache");
            assert_eq!(headers["content-type"], "text/html");
        }
        let (status, headers, _) = get(&router, "/assets/app.js").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["cache-control"], ASSET_CACHE);
        assert_eq!(headers["content-type"], "text/javascript");
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        let (_dir, router) = site();
        for path in [
            "/secret.txt",
            "/assets/../secret.txt",
            "/assets/%2e%2e/secret.txt",
            "/assets/",
            "/assets/none.js",
            "/watch/a/b",
            "/index.html",
        ] {
            let (status, headers, body) = get(&router, path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert_eq!(headers["cache-control"], "no-store");
            assert!(!body.windows(6).any(|window| window == b"secret"));
        }
    }

    #[tokio::test]
    async fn the_policy_lets_media_come_from_pops_and_scripts_from_here() {
        let (_dir, router) = site();
        let (_, headers, _) = get(&router, "/nothing").await;
        let policy = headers["content-security-policy"].to_str().expect("text");
        assert!(
            policy.contains("connect-src 'self' https://los1.example:8443;"),
            "{policy}"
        );
        assert!(
            policy.contains("script-src 'self';") && policy.contains("default-src 'none'"),
            "{policy}"
        );
        assert_eq!(headers["x-content-type-options"], "nosniff");
    }
}
