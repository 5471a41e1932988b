//! Renewal of partners' tokens, on their terms.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey};
use mcsp_api::media_path::MediaPath;
use mcsp_auth_edge::media::partner::{
    CatRequest, CatSigningKey, Partners, UriClaims, sign_cat, sign_uri,
};
use mcsp_auth_edge::{
    MediaKeyring, MediaTokenError, MediaVerifier, Renewal, RenewalPolicy, Revocations,
};

use crate::media_support;
use crate::partner_support::{AUDIENCE, Ask, CONTENT, ISSUER, SECRET, config, partner, secret};
use crate::support::{NOW_S, b64};

#[test]
fn partners_tokens_are_renewed_on_their_terms() {
    let base = media_support::world();
    let verifier = MediaVerifier::new(
        Arc::new(MediaKeyring::new(base.clock.clone())),
        base.clock.clone(),
    );
    let with_secret = || Partners::new(vec![partner(config(), &[secret("k1")])]).expect("one");
    verifier.set_partners(with_secret());
    let revocations = Revocations::new(base.clock.clone());
    let policy = RenewalPolicy::default();
    let renewal = |token: &str, ask: &Ask<'_>| {
        ask.with(|request| verifier.renewal(token, request, &policy, &revocations))
    };
    let ask = Ask::default();
    // RFC 9246: by cookie, for so many steps of the path.
    let claims = |depth| UriClaims {
        iss: Some(ISSUER.to_owned()),
        exp: Some((NOW_S + 60) as f64),
        iat: Some(NOW_S as f64),
        cdniuc: "regex:https://los1\\.example/.*".to_owned(),
        cdniets: Some(60),
        cdnistt: Some(1),
        cdnistd: depth,
        ..UriClaims::default()
    };
    let key = EncodingKey::from_secret(&SECRET);
    for (depth, path) in [
        (None, "/".to_owned()),
        (Some(3), "/media/-/global".to_owned()),
        (Some(9), format!("/media/-/global/{CONTENT}/v720")),
    ] {
        base.clock.set(NOW_S * 1000);
        let token = sign_uri(&claims(depth), "k1", Algorithm::HS256, &key).expect("a token");
        assert_eq!(renewal(&token, &ask), Renewal::NotNeeded);
        base.clock.advance(Duration::from_secs(40));
        let Renewal::Cookie {
            set_cookie,
            expires_s,
        } = renewal(&token, &ask)
        else {
            panic!("a cookie");
        };
        assert_eq!(expires_s, NOW_S + 100);
        let rest = format!("; Path={path}; Max-Age=60; Secure; HttpOnly; SameSite=None");
        let renewed = set_cookie
            .strip_prefix("URISigningPackage=")
            .expect("its name");
        let renewed = renewed.strip_suffix(&rest).expect("its attributes");
        base.clock.advance(Duration::from_secs(50));
        assert!(
            ask.with(|request| verifier.verify(renewed, request))
                .is_ok()
        );
        assert_eq!(
            ask.with(|request| verifier.verify(&token, request)).err(),
            Some(MediaTokenError::Expired)
        );
        assert_eq!(
            renewal(&token, &ask),
            Renewal::Over,
            "what is over stays over"
        );
    }
    // CTA-5007 has its own terms; without any, a token ends.
    base.clock.set((NOW_S + 590) * 1000);
    let request = CatRequest {
        issuer: ISSUER,
        audience: AUDIENCE,
        expires_s: NOW_S + 600,
        ..CatRequest::default()
    };
    let plain = sign_cat(&request, "k1", &CatSigningKey::Hmac(&SECRET)).expect("a token");
    assert_eq!(renewal(&plain, &ask), Renewal::NotNeeded);
}

#[test]
fn common_access_tokens_are_renewed_by_redirect_cookie_or_header() {
    use common_access_token::{
        Algorithm as CatAlgorithm, KeyId, RegisteredClaims, TokenBuilder, cat_keys, catr,
    };
    let base = media_support::world();
    let verifier = MediaVerifier::new(
        Arc::new(MediaKeyring::new(base.clock.clone())),
        base.clock.clone(),
    );
    verifier.set_partners(Partners::new(vec![partner(config(), &[secret("k1")])]).expect("one"));
    let revocations = Revocations::new(base.clock.clone());
    let policy = RenewalPolicy::default();
    let ask = Ask::default();
    let now_s = u64::try_from(NOW_S).expect("a time");
    let token = |terms| {
        let token = TokenBuilder::new()
            .algorithm(CatAlgorithm::HmacSha256)
            .protected_key_id(KeyId::binary(b"k1".to_vec()))
            .registered_claims(
                RegisteredClaims::new()
                    .with_issuer(ISSUER)
                    .with_audience(AUDIENCE)
                    .with_expiration(now_s + 100),
            )
            .custom_cbor(cat_keys::CATR, catr::create(terms))
            .sign(&SECRET)
            .expect("a token");
        b64(&token.to_bytes().expect("bytes"))
    };
    let renewal =
        |token: &str| ask.with(|request| verifier.renewal(token, request, &policy, &revocations));
    let until = Some(NOW_S + 90);
    let redirect = token(catr::redirect_renewal(120, until, Some(307)));
    assert_eq!(renewal(&redirect), Renewal::NotNeeded);
    base.clock.set((NOW_S + 60) * 1000);
    let Renewal::Due { path, expires_s } = renewal(&redirect) else {
        panic!("due");
    };
    assert_eq!(expires_s, NOW_S + 180);
    let (renewed, _) = MediaPath::parse_viewer(&path).expect("a viewer's path");
    base.clock.set((NOW_S + 170) * 1000);
    assert!(
        ask.with(|request| verifier.verify(renewed, request))
            .is_ok()
    );
    base.clock.set((NOW_S + 60) * 1000);
    assert!(matches!(
        renewal(&token(catr::automatic_renewal(120, None))),
        Renewal::Due { .. }
    ));
    let Renewal::Cookie { set_cookie, .. } =
        renewal(&token(catr::cookie_renewal(120, None, Some("cat"), None)))
    else {
        panic!("a cookie");
    };
    assert!(
        set_cookie.starts_with("cat=")
            && set_cookie.contains("; Path=/media/; Max-Age=120; Secure")
    );
    let Renewal::Header { name, .. } = renewal(&token(catr::header_renewal(120, None, None, None)))
    else {
        panic!("a header");
    };
    assert_eq!(name, "CTA-Common-Access-Token");
    // No name that would end the header, and nothing beyond the deadline.
    let evil = token(catr::cookie_renewal(
        120,
        None,
        Some("a=b; Domain=example\r\nX: "),
        None,
    ));
    assert_eq!(renewal(&evil), Renewal::Over);
    // Nor one by which the answer itself is read, or that means something to everybody.
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Set-Cookie",
        "Access-Control-Allow-Origin",
        "Strict-Transport-Security",
        "Location",
    ] {
        let evil = token(catr::header_renewal(120, None, Some(name), None));
        assert_eq!(renewal(&evil), Renewal::Over, "{name}");
    }
    let own = token(catr::header_renewal(120, None, Some("X-Token"), None));
    assert!(matches!(renewal(&own), Renewal::Header { name, .. } if name == "X-Token"));
    base.clock.set((NOW_S + 90) * 1000);
    assert_eq!(renewal(&redirect), Renewal::Over);
}
