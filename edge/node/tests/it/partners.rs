//! Partners' tokens, wherever they are.

use std::os::unix::fs::PermissionsExt as _;

use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_api::Residency;
use mcsp_auth_edge::RenditionLimits;
use mcsp_auth_edge::media::partner::{
    Audience, CatRequest, CatSigningKey, UriClaims, sign_cat, sign_uri,
};
use mcsp_runtime::{Clock as _, SystemClock};
use reqwest::{Method, RequestBuilder};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::{CONTENT, Serve, World, cache_status, header, origin_path, wait_for};

const ISSUER: &str = "https://partner.example";
const SECRET: [u8; 32] = [7; 32];
const OTHER_SECRET: [u8; 32] = [8; 32];
const REST: &str = "v360/1.m4s";

fn keys(secret: &[u8]) -> String {
    let secret = URL_SAFE_NO_PAD.encode(secret);
    format!(
        "{{\"keys\":[{{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"k1\",\"k\":\"{secret}\"}}]}}"
    )
}

fn write_keys(world: &World, secret: &[u8]) -> String {
    let file = world.dir.path().join("partner.json");
    let new = file.with_extension("new");
    std::fs::write(&new, keys(secret)).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(&new, &file).unwrap();
    file.display().to_string()
}

fn config(file: &str) -> String {
    format!(
        "identity_check_ms = 100\n\
         [[media_partner]]\nid = \"telco\"\nissuer = {ISSUER:?}\naudience = \"mcsp\"\n\
         forms = [\"common-access-token\", \"uri-signing\"]\nkeys_file = {file:?}\nregions = [\"ng\"]\n\
         residencies = [\"GLOBAL\"]\n"
    )
}

fn common_access_token(secret: &[u8]) -> String {
    let request = CatRequest {
        issuer: ISSUER,
        audience: "mcsp",
        not_before_s: None,
        expires_s: SystemClock.now_s() + 600,
        session: None,
        host: None,
        path_prefix: None,
        methods: &["GET", "HEAD"],
        countries: &[],
        client: None,
        limits: RenditionLimits::default(),
    };
    sign_cat(&request, "k1", &CatSigningKey::Hmac(secret)).unwrap()
}

/// A signed URI for everything; with `renew_s`, a cookie with its successor comes with the answer.
fn signed_uri(left_s: i64, renew_s: Option<i64>) -> String {
    let claims = UriClaims {
        iss: Some(ISSUER.to_owned()),
        aud: Some(Audience::One("mcsp".to_owned())),
        exp: Some((SystemClock.now_s() + left_s) as f64),
        cdniuc: "regex:http://127\\.0\\.0\\.1:[0-9]+/media/global/.*".to_owned(),
        cdniets: renew_s,
        cdnistt: renew_s.map(|_| 1),
        cdnistd: renew_s.map(|_| 3),
        ..UriClaims::default()
    };
    let key = EncodingKey::from_secret(&SECRET);
    sign_uri(&claims, "k1", Algorithm::HS256, &key).unwrap()
}

fn path(token: &str) -> String {
    format!("/media/{token}/global/{CONTENT}/{REST}")
}

#[tokio::test]
async fn partners_tokens_are_good_wherever_they_are_and_go_nowhere() {
    let world = World::new().await;
    let file = write_keys(&world, &SECRET);
    let node = world.node_with("los1", &config(&file)).await;
    let object = origin_path(Residency::Global, REST);
    let kept = Serve::ok("bytes").with("cache-control", "max-age=60");
    world.origin.serve(&object, kept);
    let (cat, uri) = (common_access_token(&SECRET), signed_uri(600, None));
    let elsewhere = path("-");
    let ask = |path: &str| node.request(Method::GET, path);
    let cookie = |name: &str, token: &str| format!("a=b; {name}={token}");
    let ways: Vec<(&str, RequestBuilder)> = vec![
        ("CAT in the path", ask(&path(&cat))),
        ("signed URI in the path", ask(&path(&uri))),
        (
            "signed URI in the query",
            ask(&format!("{elsewhere}?x=1&URISigningPackage={uri}")),
        ),
        (
            "signed URI in a cookie",
            ask(&elsewhere).header("cookie", cookie("URISigningPackage", &uri)),
        ),
        (
            "CAT in a header",
            ask(&elsewhere).header("cta-common-access-token", &cat),
        ),
        (
            "CAT in a cookie",
            ask(&elsewhere).header("cookie", cookie("CTA-Common-Access-Token", &cat)),
        ),
    ];
    for (what, request) in ways {
        let answer = request.send().await.unwrap();
        let status = cache_status(&answer);
        assert_eq!(answer.status(), 200, "{what}: {status}");
        assert_eq!(answer.text().await.unwrap(), "bytes", "{what}");
    }
    let seen = world.origin.seen();
    assert_eq!(seen.len(), 1, "one object, whoever asks");
    assert_eq!(seen[0].path, object);
    assert!(!seen[0].headers.contains_key("cookie"));
    assert!(!seen[0].headers.contains_key("cta-common-access-token"));
    let refused = [
        ("none", ask(&elsewhere)),
        ("forged", ask(&path(&common_access_token(&OTHER_SECRET)))),
        (
            "two",
            ask(&elsewhere).header(
                "cookie",
                format!("URISigningPackage={uri}; URISigningPackage={cat}"),
            ),
        ),
        (
            "for another residency",
            ask(&path(&cat).replace("/global/", "/ng/")),
        ),
        ("over", ask(&path(&signed_uri(-1, None)))),
    ];
    for (what, request) in refused {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 403, "{what}");
    }
    let log = node.log();
    assert!(!log.contains(&cat) && !log.contains(&uri));
}

#[tokio::test]
async fn a_signed_uri_is_renewed_by_cookie_beside_the_bytes() {
    let world = World::new().await;
    let file = write_keys(&world, &SECRET);
    let node = world.node_with("los1", &config(&file)).await;
    let kept = Serve::ok("bytes").with("cache-control", "max-age=60");
    world
        .origin
        .serve(&origin_path(Residency::Global, REST), kept);
    let ask = |token: &str| {
        node.request(Method::GET, &path("-"))
            .header("cookie", format!("URISigningPackage={token}"))
    };
    // For the first request and for those that the cache answers.
    for _ in 0..2 {
        let answer = ask(&signed_uri(20, Some(60))).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", cache_status(&answer));
        let cookie = header(answer.headers(), "set-cookie").unwrap().to_owned();
        assert_eq!(answer.text().await.unwrap(), "bytes");
        let renewed = cookie.strip_prefix("URISigningPackage=").unwrap();
        let (renewed, attributes) = renewed.split_once(';').unwrap();
        assert!(attributes.contains("Path=/media/-/global;"), "{attributes}");
        let next = ask(renewed).send().await.unwrap();
        assert_eq!(next.status(), 200, "{}", cache_status(&next));
        assert!(next.headers().get("set-cookie").is_none(), "not due");
    }
    let plain = ask(&signed_uri(20, None)).send().await.unwrap();
    assert!(plain.headers().get("set-cookie").is_none(), "nobody else's");
}

#[tokio::test]
async fn a_partners_keys_change_without_a_restart_and_bad_ones_do_not() {
    let world = World::new().await;
    let file = write_keys(&world, &SECRET);
    let node = world.node_with("los1", &config(&file)).await;
    world
        .origin
        .serve(&origin_path(Residency::Global, REST), Serve::ok("bytes"));
    let status = async |token: &str| {
        let answer = node.request(Method::GET, &path(token)).send().await;
        answer.unwrap().status().as_u16()
    };
    let (old, new) = (
        common_access_token(&SECRET),
        common_access_token(&OTHER_SECRET),
    );
    assert_eq!((status(&old).await, status(&new).await), (200, 403));
    std::fs::write(&file, "nonsense").unwrap();
    wait_for("a complaint", || async {
        node.log().contains("media partners not read")
    })
    .await;
    assert_eq!(status(&old).await, 200, "the last good ones stay");
    write_keys(&world, &OTHER_SECRET);
    wait_for("the new key", || async { status(&new).await == 200 }).await;
    assert_eq!(status(&old).await, 403);
}

#[tokio::test]
async fn a_partner_that_cannot_be_used_is_named() {
    let world = World::new().await;
    let file = write_keys(&world, &SECRET);
    let text = world.check("los1", &config(&file).replace("\"telco\"", "\"Telco\""));
    assert!(text.contains("id is Telco"), "{text}");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = world.check("los1", &config(&file));
    assert!(text.contains("mode 600"), "{text}");
    let text = world.check("los1", "[media_renewal]\nurl_life_s = 5\n");
    assert!(text.contains("media_renewal.url_life_s is 5"), "{text}");
    let text = world.check("los1", "[token_keys]\nwaiting_max = 0\n");
    assert!(text.contains("waiting_max is 0"), "{text}");
}
