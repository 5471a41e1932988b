//! The examples of RFC 9246, by their published keys.

use serde_json::json;

use super::*;
use crate::jose::JweKey;
use crate::media::partner::PartnerConfig;

const SIMPLE: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJleHAiOjE2NDEwNzkyMjMsImlzcyI6InVDRE4gSW5jIiwiY2RuaXVjIjoiaGFzaDpzaGEtMjU2OzJ0ZGVyZldQYTg2S3U3WW56VzUxWVVwN2RHVWpCU18zU1czRUx4NGhtV1kifQ.P5It6q0kxNx5NBA76D-bYKIxlourey5JpU4diFLGHaVTk21QkEskjxoeneDoBj_1C5Ty1smBOovQMrGzuPmEHA";
const COMPLEX: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6IlA1VXBPdjBlTXExd2N4TGY3V3hJZzA5SmRTWUdZRkRPV2tsZHVlYUltZjAifQ.eyJhdWQiOiJkQ0ROIExMQyIsInN1YiI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpGQjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uTWJUOHRXZXQwMVZWSGp1Uy40S1A3QUplZlU3MGIuUmNfbzN0Q2ZXb1BrSWR5U3NZdGZNdyIsImNkbmlpcCI6ImV5SmxibU1pT2lKQk1USTRSME5OSWl3aVlXeG5Jam9pWkdseUlpd2lhMmxrSWpvaVppMVhZbXA0UWtNelpGQjFTVE5rTWpSclVESm9ablp2Y3pkUmVqWTRPRlZVYVRaaFFqQm9Uams1T0NKOS4uczYxNHpfX2F0SzRDaWppYy5pZVNtN28ybzdySXFDWWJERXhkb3lRLkpVblBMUXpCZjJkUGhCUFJUeEhLd3ciLCJjZG5pdiI6MSwiZXhwIjoxNjQxMDc5MjIzLCJpYXQiOjE2NDA5MDY0MjMsImlzcyI6InVDRE4gSW5jIiwianRpIjoiNURBYWZMaFpBZmhzYmUiLCJuYmYiOjE2NDA5OTI4MjMsImNkbml1YyI6InJlZ2V4Omh0dHA6Ly9jZG5pXFwuZXhhbXBsZS9mb28vYmFyL1swLTldezN9XFwucG5nIn0.MgV1AIvlWf3rjUqWGKlpR1CcCpF8N5FX7xlZ0wGCqfJY3KpqTrVNKaEWVXGoo12oVgQ7J2KoRtcr2ah9dsjqOA";

fn partners() -> Partners {
    let config: PartnerConfig = serde_json::from_value(json!({
        "id": "ucdn", "issuer": "uCDN Inc", "audience": "dCDN LLC", "forms": ["uri-signing"],
        "keys_file": "", "regions": ["ng"], "residencies": ["GLOBAL"],
    }))
    .expect("a configuration");
    let jwks = json!({ "keys": [{
        "kty": "EC", "kid": "P5UpOv0eMq1wcxLf7WxIg09JdSYGYFDOWkldueaImf0", "use": "sig", "crv": "P-256",
        "x": "be807S4O7dzB6I4hTiCUvmxCI6FuxWba1xYBlLSSsZ8", "y": "rOGC4vI69g-WF9AGEVI37sNNwbjIzBxSjLvIL7f3RBA",
    }] });
    let address_key = URL_SAFE_NO_PAD
        .decode("4uFxxV7fhNmrtiah2d1fFg")
        .expect("a key");
    let address_key = JweKey::new(None, &address_key).expect("a key");
    let partner = Partner::new(config, &jwks.to_string(), Some(address_key)).expect("a partner");
    Partners::new(vec![partner]).expect("one")
}

fn opens(grant: &PartnerGrant, uri: &str) -> bool {
    grant
        .constraints
        .uri
        .iter()
        .all(|(_, wanted)| wanted.is_met_by(uri))
}

#[test]
fn the_simple_example_opens_its_address_and_no_other() {
    let grant = verify(SIMPLE, &partners()).expect("the example");
    assert_eq!(grant.expires_s, 1_641_079_223);
    assert_eq!(grant.check_end(1_641_079_222), Ok(()));
    assert_eq!(
        grant.check_end(1_641_079_223),
        Err(MediaTokenError::Expired)
    );
    assert!(opens(&grant, "http://cdni.example/foo/bar"));
    assert!(!opens(&grant, "http://cdni.example/foo/ba"));
    assert!(!opens(&grant, "http://cdni.example/foo/bar/"));
    for at in 0..SIMPLE.len() {
        for replacement in ["A", "B", "."] {
            if !SIMPLE[at..].starts_with(replacement) {
                let changed = format!("{}{replacement}{}", &SIMPLE[..at], &SIMPLE[at + 1..]);
                assert!(verify(&changed, &partners()).is_err(), "{at}");
            }
        }
    }
}

#[test]
fn the_complex_example_is_good_once_and_nobody_here_counts() {
    // Its signature is right; it has a `jti`, which section 2.1.7 has refused by who does not remember them.
    assert_eq!(
        verify(COMPLEX, &partners()).err(),
        Some(MediaTokenError::Unsupported)
    );
    let payload = COMPLEX.split('.').nth(1).expect("claims");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let mut claims = read(&payload).expect("claims");
    claims.jti = None;
    let partners = partners();
    let partner = partners.of_issuer("uCDN Inc").expect("a partner");
    let key = &partner.keys[0];
    let grant = claims
        .clone()
        .into_grant(partner, key, &payload)
        .expect("a grant");
    assert_eq!(grant.not_before_s, 1_640_992_823);
    let network = AddressPrefix::parse("2001:db8::/32").expect("a network");
    assert_eq!(
        grant.constraints.networks,
        Some(vec![Network::Prefix(network)])
    );
    assert!(opens(&grant, "http://cdni.example/foo/bar/123.png"));
    for other in [
        "http://cdni.example/foo/bar/1234.png",
        "http://cdniXexample/foo/bar/123.png",
        "http://cdni.example/foo/bar/123.png?x",
        "http://evil.example/http://cdni.example/foo/bar/123.png",
    ] {
        assert!(!opens(&grant, other), "{other}");
    }
    let elsewhere = UriClaims {
        aud: Some(Audience::Several(vec!["a".to_owned(), "b".to_owned()])),
        ..claims
    };
    let refused = elsewhere.into_grant(partner, key, &payload);
    assert_eq!(refused.err(), Some(MediaTokenError::Audience));
}
