//! Signatures, tokens and identities fail closed.

use mcsp_loadtest_cluster::Client;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{PUBLISH_LIMIT, Stage, clip, picture_and_sound};

/// The PoPs that hold the keys that sign in Lagos, and all of them.
const LAGOS: [&str; 2] = ["los1", "abv1"];
const ALL: [&str; 3] = ["los1", "abv1", "lhr1"];

/// Every path a media byte could be asked by, with this token.
fn media_paths(token: &str, id: &str) -> [String; 4] {
    [
        format!("/media/{token}/global/{id}/manifest.m3u8"),
        format!("/media/{token}/global/{id}/manifest.mpd"),
        format!("/media/{token}/global/{id}/v360/init.mp4"),
        format!("/media/{token}/global/{id}/v360/1.m4s"),
    ]
}

async fn refused(client: &Client, path: &str) {
    let answer = client
        .send(Method::GET, path, None)
        .await
        .expect("an answer");
    let status = answer.status();
    let kind = answer.headers().get("content-type").cloned();
    assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
    assert_eq!(
        kind.as_ref().and_then(|kind| kind.to_str().ok()),
        Some("application/problem+json"),
        "{path}"
    );
    assert!(answer.headers().contains_key("cache-status"), "{path}");
}

/// Waits until each of these PoPs answers so, and looks whether each still does then.
async fn everywhere<const N: usize>(
    stage: &Stage,
    viewer: &Client,
    path: &str,
    (pops, wanted): ([&str; N], StatusCode),
) {
    let pops = pops.map(|pop| viewer.at(&stage.cluster.pop_url(pop)));
    let status = async |there: &Client| {
        let answer = there.send(Method::GET, path, None).await;
        answer.expect("an answer").status()
    };
    let until = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
    for there in &pops {
        loop {
            let status = status(there).await;
            if status == wanted {
                break;
            }
            let base = there.base();
            assert!(
                tokio::time::Instant::now() < until,
                "{base}{path} still answers {status}, not {wanted}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
    for there in &pops {
        assert_eq!(status(there).await, wanted, "{}{path}", there.base());
    }
}

#[tokio::test]
async fn what_is_not_signed_for_this_item_and_this_time_is_refused() {
    let stage = Stage::start("tokens").await;
    let file = clip(stage.scratch(), "a.mp4", &picture_and_sound(6, "640x360")).await;
    let creator = stage.creator("los1", "chi").await;
    let (first, second) = (
        creator.upload(&file, &[]).await,
        creator.upload(&file, &["--title", "again"]).await,
    );
    let viewer = stage.viewer("los1", "tunde").await;
    let session = viewer.play(&first).await.expect("a session");
    let token = session
        .hls_url
        .split("/media/")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .expect("a token");

    for path in media_paths(token, &first) {
        let answer = viewer
            .send(Method::GET, &path, None)
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    // Held in the cache now; a bad token must not see it even so.
    for path in media_paths(token, &second) {
        refused(&viewer, &path).await;
    }
    for at in [0, token.len() / 2, token.len() - 1] {
        let mut altered = token.as_bytes().to_vec();
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).expect("text");
        for path in media_paths(&altered, &first) {
            refused(&viewer, &path).await;
        }
    }
    refused(&viewer, &format!("/media/none/global/{first}/v360/1.m4s")).await;

    // Ended by its viewer, the session is refused on every node, and within moments: also on those that have it accepted before.
    let path = &media_paths(token, &first)[3];
    everywhere(&stage, &viewer, path, (LAGOS, StatusCode::OK)).await;
    // What one secret both signs and checks is good where that secret is, and nowhere else.
    let london = viewer.at(&stage.cluster.pop_url("lhr1"));
    refused(&london, path).await;
    end(&viewer, &session.media_session_id).await;
    everywhere(&stage, &viewer, path, (LAGOS, StatusCode::FORBIDDEN)).await;

    // What is signed for a PoP without that secret is good at all.
    let published = london.wait_published(&first, PUBLISH_LIMIT).await;
    published.expect("the other region's record");
    let session = london.play(&first).await.expect("a session");
    let path = format!("{}/v360/1.m4s", below_host(&session.media_base_url));
    everywhere(&stage, &viewer, &path, (ALL, StatusCode::OK)).await;
    end(&london, &session.media_session_id).await;
    everywhere(&stage, &viewer, &path, (ALL, StatusCode::FORBIDDEN)).await;
    stage.stop().await;
}

/// The path of a folder's URL.
fn below_host(url: &str) -> &str {
    let at = url.find("/media/").expect("a media URL");
    url[at..].trim_end_matches('/')
}

/// Ends a session, as its viewer.
async fn end(viewer: &Client, session: &str) {
    let path = format!("/api/v1/play/sessions/{session}");
    let answer = viewer.send(Method::DELETE, &path, None).await;
    let status = answer.expect("an answer").status();
    assert!(status.is_success(), "{status}");
}

/// A token with its header or claims replaced; the signature stays.
fn with_part(token: &str, part: usize, value: &serde_json::Value) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts[part] = URL_SAFE_NO_PAD.encode(value.to_string());
    parts.join(".")
}

#[tokio::test]
async fn forged_tokens_and_headers_stop_at_the_edge() {
    let stage = Stage::start("forgeries").await;
    let viewer = stage.viewer("los1", "victim").await;
    let token = viewer.token().expect("a token").to_owned();
    let me = "/api/v1/users/me";
    let status = async |client: &Client| {
        client
            .send(Method::GET, me, None)
            .await
            .expect("an answer")
            .status()
    };
    assert_eq!(status(&viewer).await, StatusCode::OK);

    let kid = {
        use base64::Engine as _;
        let header = token.split('.').next().expect("a header");
        let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(header)
            .expect("base64url");
        serde_json::from_slice::<serde_json::Value>(&json).expect("JSON")["kid"].clone()
    };
    let unsigned = with_part(&token, 0, &json!({"alg": "none", "kid": kid}));
    let mut without_signature = unsigned.clone();
    without_signature.truncate(unsigned.rfind('.').map_or(0, |at| at + 1));
    let forged = [
        unsigned,
        without_signature,
        with_part(&token, 0, &json!({"alg": "HS256", "kid": kid})),
        with_part(&token, 0, &json!({"alg": "RS256", "kid": "another"})),
        with_part(
            &token,
            1,
            &json!({"sub": "u_ng_00000000000000000000000000", "aud": "mcsp-api", "exp": 4_000_000_000_i64}),
        ),
        "not.a.token".to_owned(),
        String::new(),
    ];
    for forgery in &forged {
        assert_eq!(
            status(&viewer.with_token(Some(forgery))).await,
            StatusCode::UNAUTHORIZED,
            "{forgery}"
        );
    }
    assert_eq!(
        status(&viewer.with_token(None)).await,
        StatusCode::UNAUTHORIZED
    );

    // An identity that the client states himself never reaches a service.
    let http = reqwest::Client::new();
    let identity = mcsp_api::ViewerIdentity {
        user_id: "u_ng_00000000000000000000000000".parse().expect("an id"),
        role: mcsp_api::Role::PlatformAdmin,
        session_id: "s".to_owned(),
        organisation_id: None,
        expires_s: 4_000_000_000,
    };
    for name in ["x-mcsp-identity", "X-MCSP-Identity"] {
        let url = format!("{}{me}", viewer.base());
        let answer = http
            .get(&url)
            .header(name, identity.to_header_value())
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        let answer = http
            .get(&url)
            .bearer_auth(&token)
            .header(name, identity.to_header_value())
            .send()
            .await;
        let body = answer.expect("an answer").text().await.expect("a body");
        assert!(body.contains("victim@example.com"), "{body}");
    }

    // Logged out, the token is refused although it has not expired, also where it was accepted before.
    everywhere(&stage, &viewer, me, (ALL, StatusCode::OK)).await;
    let out = viewer
        .send(Method::POST, "/api/v1/auth/logout", None)
        .await
        .expect("an answer");
    assert!(out.status().is_success(), "{}", out.status());
    everywhere(&stage, &viewer, me, (ALL, StatusCode::UNAUTHORIZED)).await;
    stage.stop().await;
}
