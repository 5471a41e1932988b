//! The vectors of the public description of JA4, and clients as they really say hello.

use std::sync::Arc;

use mcsp_edge_fingerprint::{ClientHello, Ja4, Peeked, Transport, peek};
use proptest::prelude::*;

use crate::hellos::{Hello, alpn, chrome, records, signatures, sni, versions};

fn ja4(hello: &Hello) -> String {
    let hello = ClientHello::from_handshake(&hello.message()).expect("a hello");
    Ja4::of(&hello, Transport::Tcp).to_string()
}

#[test]
fn the_published_example_has_its_fingerprint() {
    let hello = ClientHello::from_handshake(&chrome().message()).expect("a hello");
    assert_eq!(
        Ja4::of(&hello, Transport::Tcp).as_str(),
        "t13d1516h2_8daaf6152771_e5627efa2ab1"
    );
    assert_eq!(
        Ja4::raw(&hello, Transport::Tcp),
        "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9_\
         0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01_\
         0403,0804,0401,0503,0805,0501,0806,0601"
    );
    assert_eq!(
        Ja4::of(&hello, Transport::Quic).as_str(),
        "q13d1516h2_8daaf6152771_e5627efa2ab1"
    );
}

#[test]
fn newer_chrome_has_its_published_fingerprint_too() {
    // Listed for Chrome on Linux: other extensions, the same rules.
    let mut hello = chrome();
    hello
        .extensions
        .retain(|(kind, _)| ![0x4469, 0x0015].contains(kind));
    hello
        .extensions
        .extend([(0x44cd, vec![]), (0xfe0d, vec![1])]);
    assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_d8a2da3f94cd");
}

#[test]
fn without_signature_algorithms_the_list_ends_bare() {
    let mut hello = chrome();
    for (kind, data) in &mut hello.extensions {
        if *kind == 0x000d {
            *data = signatures(&[0x0a0a]).1;
        }
    }
    assert_eq!(ja4(&hello), "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

#[test]
fn order_and_grease_do_not_count() {
    let expected = ja4(&chrome());
    let mut shuffled = chrome();
    shuffled.extensions.reverse();
    shuffled.ciphers.reverse();
    assert_eq!(ja4(&shuffled), expected);
    for grease in (0..16_u16).map(|n| n << 12 | 0x0a00 | n << 4 | 0x000a) {
        let mut greased = chrome();
        greased.ciphers[0] = grease;
        greased.extensions[0].0 = grease;
        assert_eq!(ja4(&greased), expected, "{grease:04x}");
    }
    // Looks like it and is not.
    for value in [0x0a1a, 0x1a0a, 0x0b0b, 0xaaab] {
        let mut other = chrome();
        other.ciphers[0] = value;
        assert_ne!(ja4(&other), expected, "{value:04x}");
    }
    // The order of signature algorithms does count.
    let mut other = chrome();
    for (kind, data) in &mut other.extensions {
        if *kind == 0x000d {
            *data = signatures(&[
                0x0804, 0x0403, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
            ])
            .1;
        }
    }
    assert_ne!(ja4(&other), expected);
}

#[test]
fn each_part_of_the_head() {
    let with = |extensions: Vec<(u16, Vec<u8>)>, version| {
        let hello = Hello {
            version,
            ciphers: vec![0x1301, 0x00ff, 0x5600],
            extensions,
        };
        ja4(&hello)[..10].to_owned()
    };
    for (extensions, version, head) in [
        (vec![], 0x0303, "t12i030000"),
        (vec![sni()], 0x0303, "t12d030100"),
        (vec![versions(&[0x0304, 0x0303])], 0x0303, "t13i030100"),
        (
            vec![versions(&[0x0a0a, 0x0303, 0x0302])],
            0x0301,
            "t12i030100",
        ),
        (vec![versions(&[0x0a0a])], 0x0302, "t11i030100"),
        (vec![versions(&[0x7f1c, 0x0304])], 0x0303, "t00i030100"),
        (vec![], 0x0301, "t10i030000"),
        (vec![], 0x0300, "ts3i030000"),
        (vec![], 0x0002, "ts2i030000"),
        (vec![], 0x0305, "t00i030000"),
        (vec![alpn(&[b"http/1.1", b"h2"])], 0x0303, "t12i0301h1"),
        (vec![alpn(&[b"h"])], 0x0303, "t12i0301hh"),
        (vec![alpn(&[])], 0x0303, "t12i030100"),
        (vec![alpn(&[b""])], 0x0303, "t12i030100"),
        (vec![alpn(&[&[0xab]])], 0x0303, "t12i0301ab"),
        (vec![alpn(&[&[0xab, 0xcd]])], 0x0303, "t12i0301ad"),
        (vec![alpn(&[&[0x30, 0xab]])], 0x0303, "t12i03013b"),
        (
            vec![alpn(&[&[0x30, 0x31, 0xab, 0xcd]])],
            0x0303,
            "t12i03013d",
        ),
        (
            vec![alpn(&[&[0x30, 0xab, 0xcd, 0x31]])],
            0x0303,
            "t12i030101",
        ),
        (vec![alpn(&[&[0x0a, 0x0a]])], 0x0303, "t12i03010a"),
    ] {
        assert_eq!(
            with(extensions.clone(), version),
            head,
            "{extensions:?} {version:04x}"
        );
    }
}

#[test]
fn many_count_as_ninety_nine_and_none_hash_to_zeros() {
    let many = Hello {
        version: 0x0303,
        ciphers: (0x2000..0x2100).collect(),
        extensions: (0x3000..0x3090).map(|kind| (kind, vec![])).collect(),
    };
    assert!(ja4(&many).starts_with("t12i999900_"));
    let none = Hello {
        version: 0x0303,
        ciphers: vec![0x0a0a],
        extensions: vec![sni(), alpn(&[b"h2"])],
    };
    assert_eq!(ja4(&none), "t12d0002h2_000000000000_000000000000");
}

#[test]
fn a_real_client_says_hello_and_is_known_again() {
    let roots = rustls::RootCertStore::empty();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let print = |name: &str| {
        let name = name.to_owned().try_into().expect("a name");
        let mut client = rustls::ClientConnection::new(config.clone(), name).expect("a client");
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("bytes");
        match peek(&bytes) {
            Ok(Peeked::Hello(hello)) => Ja4::of(&hello, Transport::Tcp),
            other => panic!("{other:?}"),
        }
    };
    let named = print("example.com");
    assert!(named.as_str().starts_with("t13d"), "{named}");
    assert_eq!(&named.as_str()[8..10], "h2");
    assert_eq!(
        print("other.example"),
        named,
        "whatever its random and shuffled extensions"
    );
    let by_address = print("192.0.2.1");
    assert!(by_address.as_str().starts_with("t13i"), "{by_address}");
    assert_eq!(by_address.as_str()[11..], named.as_str()[11..]);
}

proptest! {
    #[test]
    fn every_hello_has_a_text_of_one_form(
        version in any::<u16>(),
        ciphers in proptest::collection::vec(any::<u16>(), 0..120),
        kinds in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..120),
        protocol in proptest::collection::vec(any::<u8>(), 0..9),
    ) {
        let mut extensions: Vec<_> =
            kinds.into_iter().filter(|(kind, _)| ![0x000d, 0x0010, 0x002b].contains(kind)).collect();
        extensions.push(alpn(&[&protocol]));
        let hello = Hello { version, ciphers, extensions };
        let text = ja4(&hello);
        prop_assert_eq!(text.len(), 36);
        prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        prop_assert!(text.is_char_boundary(10) && text[10..11] == *"_" && text[23..24] == *"_");
        let mut sorted = hello.clone();
        sorted.ciphers.sort_unstable();
        sorted.extensions.sort();
        prop_assert_eq!(ja4(&sorted), text);
        let whole = records(&hello.message(), 16_384);
        prop_assert!(matches!(peek(&whole), Ok(Peeked::Hello(_))));
    }
}
