//! Signed media URLs and access tokens, good ones and others.

use mcsp_api::headers::IDENTITY;
use mcsp_api::{Residency, ViewerIdentity};
use mcsp_auth_edge::TokenForm;
use mcsp_runtime::{Clock as _, SystemClock};
use reqwest::Method;

use crate::harness::{
    AccessKeys, CONTENT, MEDIA_SESSION, OTHER_CONTENT, Serve, USER, World, cache_status, get,
    header, origin_path,
};

const SECRET: &str = "bytes of a segment that nobody may see";

#[tokio::test]
async fn a_bad_media_url_is_403_without_a_media_byte() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Residency::Global, rest), Serve::ok(SECRET));
    let good = world.media_path(Residency::Global, rest);
    assert_eq!(get(&node, &good).await.text().await.unwrap(), SECRET);
    let fetched = world.origin.seen().len();

    let mut expired = world.grant(Residency::Global);
    expired.expires_s = SystemClock.now_s() - 1;
    let token = world.sign(&world.grant(Residency::Global));
    let foreign = World::without_keys().await;
    let path = |token: &str, residency: &str, content: &str| {
        format!("/media/{token}/{residency}/{content}/{rest}")
    };
    let altered = |at: usize| {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        String::from_utf8(bytes).unwrap()
    };
    let mut cases = vec![
        ("expired", path(&world.sign(&expired), "global", CONTENT)),
        (
            "of another signer",
            path(
                &foreign.sign(&foreign.grant(Residency::Global)),
                "global",
                CONTENT,
            ),
        ),
        ("for another item", path(&token, "global", OTHER_CONTENT)),
        ("for another residency", path(&token, "ng", CONTENT)),
        (
            "cut short",
            path(&token[..token.len() - 1], "global", CONTENT),
        ),
        ("none", path("-", "global", CONTENT)),
    ];
    for at in 0..token.len() {
        cases.push(("altered", path(&altered(at), "global", CONTENT)));
    }
    for (what, path) in cases {
        for method in [Method::GET, Method::HEAD] {
            let response = node
                .request(method, &path)
                .header("range", "bytes=0-3")
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), 403, "{what} {path}");
            assert!(
                cache_status(&response).starts_with("los1; detail="),
                "{}",
                cache_status(&response)
            );
            assert_eq!(
                header(response.headers(), "access-control-allow-origin"),
                Some("*")
            );
            let body = response.text().await.unwrap();
            assert!(!body.contains("bytes of"), "{what}: {body}");
        }
    }
    assert_eq!(world.origin.seen().len(), fetched, "no origin was asked");
    assert!(!node.log().contains(&token), "no token is logged");
}

#[tokio::test]
async fn a_region_cannot_sign_for_anothers_content() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    for residency in [Residency::Ng, Residency::Global] {
        let path = origin_path(residency, rest);
        world.origin.serve(&path, Serve::ok(SECRET));
    }
    // What whoever has taken London over can do: publish keys as London's, and sign with them for an item of Lagos.
    let london = World::without_keys().await;
    let last = world.publish_keys_of(&london, "global-london");
    world.origin.feed.wait_acknowledged(last).await;
    for residency in [Residency::Ng, Residency::Global] {
        let grant = world.grant(residency);
        for form in [TokenForm::Hmac, TokenForm::Ed25519] {
            let path = |token: String| {
                let prefix = residency.prefix();
                format!("/media/{token}/{prefix}/{CONTENT}/{rest}")
            };
            let refused = get(&node, &path(london.sign_as(&grant, form))).await;
            assert_eq!(refused.status(), 403, "{residency} {form:?}");
            assert_eq!(cache_status(&refused), "los1; detail=unknown-key");
            let served = get(&node, &path(world.sign_as(&grant, form))).await;
            assert_eq!(served.text().await.unwrap(), SECRET);
        }
    }
    let unknown = world.publish_keys_of(&london, "nowhere");
    world.origin.feed.wait_acknowledged(unknown).await;
    let count = "mcsp_edge_feed_entries_total";
    let refused = node.metric(count, &["media_key", "refused"]).await;
    assert_eq!(refused, 6.0, "London's two secrets, and all of nowhere's");
}

#[tokio::test]
async fn before_its_keys_have_come_a_node_answers_503_and_is_not_ready() {
    let world = World::without_keys().await;
    let node = world.start("los1", "").await;
    let media = get(&node, &world.media_path(Residency::Global, "v360/1.m4s")).await;
    assert_eq!(media.status(), 503);
    assert!(header(media.headers(), "retry-after").is_some());
    assert!(cache_status(&media).contains("detail=no-keys"));
    let api = node
        .request(Method::GET, "/api/v1/users/me")
        .bearer_auth(world.access.token())
        .send()
        .await
        .unwrap();
    assert_eq!(api.status(), 503);
    assert!(!node.is_ready().await);
    let seen = world.origin.seen();
    assert!(seen.is_empty(), "{seen:?}");
    world.publish_keys();
    node.wait_ready().await;
    assert_eq!(
        get(&node, &world.media_path(Residency::Global, "v360/1.m4s"))
            .await
            .status(),
        404
    );
}

#[tokio::test]
async fn a_token_that_is_not_ours_is_401_and_reaches_no_origin() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    let claims = world.access.claims();
    let now_s = SystemClock.now_s();
    let stranger = AccessKeys::new("ng-lagos");
    let spoilt = |spoil: &dyn Fn(&mut crate::harness::Claims)| {
        let mut claims = claims.clone();
        spoil(&mut claims);
        world.access.sign(&claims)
    };
    let cases = [
        ("alg none", world.access.unsigned()),
        ("RS or ES confused with HS", world.access.confused()),
        ("another key", stranger.token()),
        (
            "another audience",
            spoilt(&|claims| claims.aud = "other".to_owned()),
        ),
        (
            "another issuer",
            spoilt(&|claims| claims.iss = "urn:mcsp:region:global-london".to_owned()),
        ),
        (
            "a user of another region",
            spoilt(&|claims| claims.sub = USER.replace("_ng_", "_gl_")),
        ),
        ("expired", spoilt(&|claims| claims.exp = now_s - 120)),
        ("not yet", spoilt(&|claims| claims.nbf = now_s + 600)),
        ("nonsense", "nonsense".to_owned()),
    ];
    for (what, token) in cases {
        let request = node
            .request(Method::GET, "/api/v1/users/me")
            .bearer_auth(token);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{what}");
        let challenge = header(response.headers(), "www-authenticate").unwrap();
        assert!(challenge.contains("invalid_token"), "{what}: {challenge}");
        assert_eq!(
            header(response.headers(), "content-type"),
            Some("application/problem+json")
        );
    }
    assert_eq!(
        get(&node, "/api/v1/users/me").await.status(),
        401,
        "no token"
    );
    assert!(world.origin.seen().is_empty());
}

#[tokio::test]
async fn an_identity_comes_from_the_token_and_never_from_the_client() {
    let world = World::new().await;
    let node = world.node("los1").await;
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    world
        .origin
        .serve("/api/v1/auth/login", Serve::ok("welcome"));
    let forged = ViewerIdentity {
        user_id: "u_gl_01k9x3m5y8q2v7r4t6w1z0a3bc".parse().unwrap(),
        role: mcsp_api::Role::PlatformAdmin,
        session_id: "s".to_owned(),
        organisation_id: None,
        expires_s: i64::MAX,
    };
    let forge = |request: reqwest::RequestBuilder| {
        request
            .header(IDENTITY, forged.to_header_value())
            .header("X-MCSP-Pop", "elsewhere")
            .header("x-mcsp-anything", "1")
            .header("x-forwarded-for", "203.0.113.9")
    };
    let anonymous = forge(node.request(Method::POST, "/api/v1/auth/login"))
        .send()
        .await
        .unwrap();
    assert_eq!(anonymous.status(), 200);
    let known =
        forge(node.request(Method::GET, "/api/v1/users/me")).bearer_auth(world.access.token());
    assert_eq!(known.send().await.unwrap().status(), 200);
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 2);
    for one in &seen {
        assert_eq!(one.headers.get("x-mcsp-pop").unwrap(), "los1");
        assert_eq!(
            one.headers.get("x-mcsp-client-address").unwrap(),
            "127.0.0.1"
        );
        assert_eq!(
            one.headers.get("x-mcsp-public-base").unwrap(),
            "https://los1.example"
        );
        for gone in ["x-mcsp-anything", "x-forwarded-for", "authorization"] {
            assert!(!one.headers.contains_key(gone), "{gone}");
        }
    }
    assert!(!seen[0].headers.contains_key(IDENTITY));
    let identity = seen[1].headers.get(IDENTITY).unwrap().to_str().unwrap();
    let identity = ViewerIdentity::from_header_value(identity).unwrap();
    assert_eq!(
        (identity.user_id.as_str(), identity.session_id.as_str()),
        (USER, "session-1")
    );
}

#[tokio::test]
async fn an_ended_session_is_refused_within_a_second() {
    let world = World::new().await;
    let node = world.node("los1").await;
    let rest = "v360/1.m4s";
    world
        .origin
        .serve(&origin_path(Residency::Global, rest), Serve::ok(SECRET));
    world.origin.serve("/api/v1/users/me", Serve::ok("me"));
    let path = world.media_path(Residency::Global, rest);
    let token = world.access.token();
    let me = || async {
        let request = node
            .request(Method::GET, "/api/v1/users/me")
            .bearer_auth(&token);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        (get(&node, &path).await.status().as_u16(), me().await),
        (200, 200)
    );
    let expires_s = SystemClock.now_s() + 3600;
    let feed = &world.origin.feed;
    feed.revoke_media_session(MEDIA_SESSION, expires_s);
    let took = async |session: &str| {
        let last = feed.revoke_user_session(session, expires_s);
        let began = std::time::Instant::now();
        feed.wait_acknowledged(last).await;
        began.elapsed()
    };
    let mut least = took("session-1").await;
    // A machine may stand still for a second, but not each time: a node that only asks now and then would be late with most.
    for other in 0..10 {
        if least.as_millis() < 1000 {
            break;
        }
        least = least.min(took(&format!("other-{other}")).await);
    }
    assert!(least.as_millis() < 1000, "{least:?}");
    let refused = get(&node, &path).await;
    assert_eq!((refused.status().as_u16(), me().await), (403, 401));
    assert!(
        cache_status(&refused).contains("detail=revoked"),
        "though it is cached"
    );
}
