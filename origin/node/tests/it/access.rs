//! Every REST endpoint, called as nobody, as somebody who has no right to it, and with an identity that nobody vouches
//! for. An endpoint without a row fails.

use std::collections::BTreeSet;

use http::Method;
use mcsp_api::Role;
use mcsp_api::headers::IDENTITY;
use mcsp_identity::{Peer, SpiffeId};
use serde_json::{Value, json};

use crate::endpoints::{Rest, rest};
use crate::support::{
    Answer, Machine, from_edge, request, send, upload_request, viewer, whole_region,
};

/// What an endpoint answers to whom.
struct Row {
    service: &'static str,
    method: &'static str,
    path: &'static str,
    body: Body,
    /// Through an edge, not signed in.
    anonymous: u16,
    /// Through an edge, signed in as a viewer to whom nothing belongs.
    unprivileged: u16,
}

enum Body {
    None,
    Empty,
    Upload,
    Metadata,
    Visibility,
}

/// 404, not 403, for what a caller may not know of.
const ROWS: &[Row] = &[
    row(
        "auth",
        "POST",
        "/api/v1/auth/register",
        Body::Empty,
        400,
        400,
    ),
    row("auth", "POST", "/api/v1/auth/login", Body::Empty, 400, 400),
    row("auth", "POST", "/api/v1/auth/refresh", Body::None, 401, 401),
    row("auth", "POST", "/api/v1/auth/logout", Body::None, 401, 204),
    row("auth", "GET", "/api/v1/users/me", Body::None, 401, 401),
    row(
        "auth",
        "GET",
        "/.well-known/jwks.json",
        Body::None,
        200,
        200,
    ),
    row(
        "content",
        "GET",
        "/api/v1/content/{id}",
        Body::None,
        404,
        404,
    ),
    row(
        "content",
        "PATCH",
        "/api/v1/content/{id}",
        Body::Metadata,
        401,
        404,
    ),
    row(
        "content",
        "DELETE",
        "/api/v1/content/{id}",
        Body::None,
        401,
        404,
    ),
    row(
        "content",
        "PATCH",
        "/api/v1/content/{id}/visibility",
        Body::Visibility,
        401,
        404,
    ),
    row(
        "playback",
        "GET",
        "/api/v1/play/{content_id}",
        Body::None,
        401,
        404,
    ),
    row(
        "playback",
        "DELETE",
        "/api/v1/play/sessions/{media_session_id}",
        Body::None,
        401,
        404,
    ),
    row(
        "upload",
        "POST",
        "/api/v1/uploads/session",
        Body::Upload,
        401,
        403,
    ),
    row(
        "upload",
        "GET",
        "/api/v1/uploads/session/{id}",
        Body::None,
        401,
        404,
    ),
    row(
        "upload",
        "PATCH",
        "/api/v1/uploads/session/{id}/metadata",
        Body::Metadata,
        401,
        404,
    ),
    row(
        "upload",
        "POST",
        "/api/v1/uploads/session/{id}/complete",
        Body::None,
        401,
        404,
    ),
    row(
        "upload",
        "DELETE",
        "/api/v1/uploads/session/{id}",
        Body::None,
        401,
        404,
    ),
];

const fn row(
    service: &'static str,
    method: &'static str,
    path: &'static str,
    body: Body,
    anonymous: u16,
    unprivileged: u16,
) -> Row {
    Row {
        service,
        method,
        path,
        body,
        anonymous,
        unprivileged,
    }
}

impl Row {
    fn request(&self, own: &Value) -> http::Request<axum::body::Body> {
        let text = |key: &str| own[key].as_str().unwrap().to_owned();
        let id = match self.service {
            "upload" => text("upload_id"),
            _ => text("content_id"),
        };
        let path = self
            .path
            .replace("{id}", &id)
            .replace("{content_id}", &id)
            .replace("{media_session_id}", "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc");
        let body = match self.body {
            Body::None => None,
            Body::Empty => Some(json!({})),
            Body::Upload => Some(upload_request("GLOBAL")),
            Body::Metadata => Some(json!({"title": "Mine now"})),
            Body::Visibility => Some(json!({"visibility": "PUBLIC"})),
        };
        request(
            Method::from_bytes(self.method.as_bytes()).unwrap(),
            &path,
            body.as_ref(),
        )
    }

    fn check(&self, who: &str, expected: u16, answer: &Answer) {
        let (method, path) = (self.method, self.path);
        assert_eq!(
            answer.status,
            expected,
            "{method} {path} as {who}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        if expected >= 400 {
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{method} {path} as {who}"
            );
            assert_eq!(
                answer.json()["status"],
                expected,
                "{method} {path} as {who}"
            );
        }
    }
}

#[test]
fn every_endpoint_has_a_row() {
    let rows: BTreeSet<Rest> = ROWS
        .iter()
        .map(|row| Rest {
            service: row.service,
            method: row.method.to_owned(),
            path: row.path.to_owned(),
        })
        .collect();
    assert_eq!(
        rows,
        rest(),
        "an endpoint without a row here, or a row without an endpoint"
    );
    assert_eq!(rows.len(), ROWS.len(), "a row twice");
}

#[tokio::test]
async fn nobody_gets_what_is_not_theirs() {
    let machine = Machine::new();
    let api = whole_region(&machine).await.api.expect("the role is there");
    let creator = viewer(Role::Creator, 1);
    let stranger = viewer(Role::Viewer, 2);
    let upload = request(
        Method::POST,
        "/api/v1/uploads/session",
        Some(&upload_request("GLOBAL")),
    );
    let created = send(&api, from_edge(upload, Some(&creator))).await;
    assert_eq!(
        created.status,
        201,
        "{}",
        String::from_utf8_lossy(&created.body)
    );
    let own = created.json();

    for row in ROWS {
        let answer = send(&api, from_edge(row.request(&own), None)).await;
        row.check("nobody", row.anonymous, &answer);
        let answer = send(&api, from_edge(row.request(&own), Some(&stranger))).await;
        row.check("a stranger", row.unprivileged, &answer);
        // The header says "creator"; neither a client without a certificate nor another service is believed.
        for peer in [None, Some("ng-lagos"), Some("global-london")] {
            let mut forged = row.request(&own);
            forged
                .headers_mut()
                .insert(IDENTITY, creator.to_header_value().parse().unwrap());
            if let Some(namespace) = peer {
                let id = SpiffeId::new("mcsp.internal", namespace, "origin").unwrap();
                forged.extensions_mut().insert(Peer(id));
            }
            row.check("a forger", row.anonymous, &send(&api, forged).await);
        }
    }

    // After all that, its owner finds it as it was.
    let upload_id = own["upload_id"].as_str().unwrap();
    let mine = request(
        Method::GET,
        &format!("/api/v1/uploads/session/{upload_id}"),
        None,
    );
    let answer = send(&api, from_edge(mine, Some(&creator))).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["status"].as_str()),
        (200, Some("OPEN"))
    );
    let content_id = own["content_id"].as_str().unwrap();
    let item = request(Method::GET, &format!("/api/v1/content/{content_id}"), None);
    let answer = send(&api, from_edge(item, Some(&creator))).await;
    assert_eq!(answer.json()["metadata"]["title"], "A clip");
    assert_eq!(answer.json()["metadata"]["visibility"], "PRIVATE");
}
