//! What Common Access Tokens say, and what is not understood.

use std::time::Duration;

use coset::AsCborValue as _;
use coset::cbor::value::Value;
use mcsp_auth_edge::MediaTokenError;
use mcsp_auth_edge::media::partner::CatRequest;

use crate::cat_support::{base, bytes_of, mac0, map, request, signed, token, with};
use crate::partner_support::{AUDIENCE, Ask, World};
use crate::support::{NOW_S, b64};

#[test]
fn claims_are_understood_or_the_token_is_refused() {
    let world = World::with_secret();
    let ask = Ask::default();
    let texts = |list: &[&str]| Value::Array(list.iter().map(|text| Value::from(*text)).collect());
    let nothing = || Value::Map(Vec::new());
    for (claims, fault) in [
        (base(), None),
        (with(&[(310, Value::from(1))]), None),
        (with(&[(308, Value::from(0))]), None),
        (with(&[(322, nothing())]), None),
        (
            with(&[
                (2, Value::from("somebody")),
                (6, Value::from(1)),
                (7, Value::Bytes(vec![1])),
            ]),
            None,
        ),
        (
            with(&[(310, Value::from(2))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(308, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(308, Value::from(2))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(309, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(317, nothing())]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(319, Value::Bytes(vec![0; 32]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(321, nothing())]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(9999, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(-70_003, Value::from(1))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(313, texts(&["HEAD"]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(313, texts(&[]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(313, Value::from("GET"))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(313, texts(&["get"]))]),
            Some(MediaTokenError::OtherRequest),
        ),
        (
            with(&[(312, map(vec![(9, map(vec![(0, Value::from("x"))]))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(312, map(vec![(1, map(vec![(5, Value::from("x"))]))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(312, map(vec![(1, nothing())]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(312, map(vec![(1, map(vec![(0, Value::from(1))]))]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(4, Value::from(NOW_S + 600))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(323, map(vec![(0, Value::from(9)), (1, Value::from(60))]))]),
            Some(MediaTokenError::Unsupported),
        ),
        (
            with(&[(323, map(vec![(0, Value::from(0))]))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(-70_001, Value::from(0))]),
            Some(MediaTokenError::Malformed),
        ),
        (
            with(&[(-70_001, Value::from(480))]),
            Some(MediaTokenError::Rendition),
        ),
        (with(&[(-70_001, Value::from(720))]), None),
        (base()[1..].to_vec(), Some(MediaTokenError::UnknownKey)),
        (
            vec![base()[0].clone(), base()[2].clone()],
            Some(MediaTokenError::Audience),
        ),
        (base()[..2].to_vec(), Some(MediaTokenError::Malformed)),
        (
            vec![
                base()[0].clone(),
                (3, texts(&["a", AUDIENCE])),
                base()[2].clone(),
            ],
            None,
        ),
        (
            vec![
                base()[0].clone(),
                (3, texts(&["a", "b"])),
                base()[2].clone(),
            ],
            Some(MediaTokenError::Audience),
        ),
    ] {
        let shown = format!("{claims:?}");
        assert_eq!(world.fault(&token(claims), &ask), fault, "{shown}");
    }
    // A claim with a name for a label is one that nobody here knows.
    let mut named = base();
    let payload = {
        let mut entries: Vec<(Value, Value)> = named
            .drain(..)
            .map(|(label, value)| (Value::from(label), value))
            .collect();
        entries.push((Value::from("restriction"), Value::from(1)));
        bytes_of(&Value::Map(entries))
    };
    let message = mac0(payload).to_cbor_value().expect("CBOR");
    let text = b64(&bytes_of(&message));
    assert_eq!(world.fault(&text, &ask), Some(MediaTokenError::Unsupported));
}

#[test]
fn where_from_and_how_is_checked_and_unknown_is_no() {
    let world = World::with_secret();
    let list = |items: Vec<Value>| Value::Array(items);
    let tag = |tag, value| Value::Tag(tag, Box::new(value));
    let v4 = tag(
        52,
        list(vec![Value::from(24), Value::Bytes(vec![198, 51, 100])]),
    );
    let v6 = tag(
        54,
        list(vec![
            Value::from(32),
            Value::Bytes(vec![0x20, 0x01, 0x0d, 0xb8]),
        ]),
    );
    let one = tag(52, Value::Bytes(vec![203, 0, 113, 9]));
    let network = token(with(&[(311, list(vec![v4, v6, one, Value::from(29_465)]))]));
    for (client, asn, is_good) in [
        (Some("198.51.100.9"), None, true),
        (Some("198.51.101.9"), None, false),
        (Some("2001:db8:1::1"), None, true),
        (Some("2001:db9::1"), None, false),
        (Some("203.0.113.9"), None, true),
        (Some("203.0.113.8"), Some(29_465), true),
        (Some("203.0.113.8"), Some(29_466), false),
        (None, None, false),
    ] {
        let ask = Ask {
            client: client.map(|text| text.parse().expect("an address")),
            asn,
            ..Ask::default()
        };
        assert_eq!(
            world.verify(&network, &ask).is_ok(),
            is_good,
            "{client:?} {asn:?}"
        );
    }
    for bad in [
        tag(52, Value::Bytes(vec![1, 2, 3])),
        tag(52, list(vec![Value::from(33), Value::Bytes(vec![1])])),
        tag(52, list(vec![Value::from(24), Value::Bytes(vec![1, 0])])),
        tag(
            54,
            list(vec![
                Value::from(96),
                Value::Bytes([&[0; 10][..], &[0xff, 0xff]].concat()),
            ]),
        ),
        tag(99, Value::Bytes(vec![1, 2, 3, 4])),
        Value::from(-1),
        Value::from("nowhere"),
        Value::Null,
    ] {
        let token = token(with(&[(311, list(vec![bad.clone()]))]));
        assert_eq!(
            world.fault(&token, &Ask::default()),
            Some(MediaTokenError::Malformed),
            "{bad:?}"
        );
    }

    let country = token(with(&[(
        316,
        list(vec![Value::from("NG"), Value::from("GH")]),
    )]));
    for (of, is_good) in [
        (Some("NG"), true),
        (Some("GB"), false),
        (Some("ng"), false),
        (None, false),
    ] {
        let ask = Ask {
            country: of,
            ..Ask::default()
        };
        assert_eq!(world.verify(&country, &ask).is_ok(), is_good, "{of:?}");
    }
    let protocol = token(with(&[(314, list(vec![Value::Bytes(b"h2".to_vec())]))]));
    for (alpn, is_good) in [
        (Some(&b"h2"[..]), true),
        (Some(&b"http/1.1"[..]), false),
        (None, false),
    ] {
        let ask = Ask {
            alpn,
            ..Ask::default()
        };
        assert_eq!(world.verify(&protocol, &ask).is_ok(), is_good, "{alpn:?}");
    }
    let print = "t13d1516h2_8daaf6152771_e5627efa2ab1";
    let fingerprint = token(with(&[(
        324,
        map(vec![(0, Value::from(2)), (1, Value::from(print))]),
    )]));
    for (ja4, is_good) in [
        (Some(print), true),
        (Some("t13d1516h2_x_y"), false),
        (None, false),
    ] {
        let ask = Ask {
            ja4,
            ..Ask::default()
        };
        assert_eq!(world.verify(&fingerprint, &ask).is_ok(), is_good, "{ja4:?}");
    }
    let ja3 = token(with(&[(
        324,
        map(vec![(0, Value::from(0)), (1, Value::from("x"))]),
    )]));
    assert_eq!(
        world.fault(&ja3, &Ask::default()),
        Some(MediaTokenError::Unsupported)
    );

    let header = Value::Map(vec![(
        Value::from("X-Device"),
        map(vec![(1, Value::from("tv-"))]),
    )]);
    let device = token(with(&[(315, header)]));
    let asks = |values: &[&str]| {
        let mut ask = Ask::default();
        for value in values {
            ask.headers
                .append("x-device", value.parse().expect("a value"));
        }
        world.verify(&device, &ask).is_ok()
    };
    assert!(asks(&["tv-1"]));
    assert!(!asks(&["phone"]) && !asks(&[]) && !asks(&["tv-1", "phone"]));
}

#[test]
fn time_is_bounded_on_both_sides() {
    let world = World::with_secret();
    let ask = Ask::default();
    let of = |not_before_s, expires_s| {
        signed(&CatRequest {
            not_before_s,
            expires_s,
            ..request()
        })
    };
    assert!(
        world
            .verify(&of(Some(NOW_S + 30), NOW_S + 60), &ask)
            .is_ok(),
        "clocks differ"
    );
    for (token, fault) in [
        (
            of(Some(NOW_S + 31), NOW_S + 60),
            MediaTokenError::NotYetValid,
        ),
        (of(None, NOW_S), MediaTokenError::Expired),
        (of(None, i64::MIN), MediaTokenError::Expired),
        (of(None, NOW_S + 14_431), MediaTokenError::Unsupported),
        (of(None, i64::MAX), MediaTokenError::Unsupported),
    ] {
        assert_eq!(world.fault(&token, &ask), Some(fault));
    }
    let lasting = of(None, NOW_S + 600);
    assert!(world.verify(&lasting, &ask).is_ok());
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(
        world.fault(&lasting, &ask),
        Some(MediaTokenError::Expired),
        "remembered or not"
    );
    for exp in [
        Value::Float(NOW_S as f64 + 700.9),
        Value::Float(f64::NAN),
        Value::Float(f64::INFINITY),
        Value::from("1"),
        Value::Tag(1, Box::new(Value::from(NOW_S + 700))),
    ] {
        let good = matches!(exp, Value::Float(seconds) if seconds.is_finite());
        let claims = vec![base()[0].clone(), base()[1].clone(), (4, exp.clone())];
        assert_eq!(world.verify(&token(claims), &ask).is_ok(), good, "{exp:?}");
    }
}
