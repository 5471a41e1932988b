//! PROXY headers: those of the protocol's text, those that are none, and any bytes at all.

use std::net::{IpAddr, SocketAddr};

use mcsp_edge_fingerprint::{PROXIED_BYTES_MAX, Proxied, ProxiedError, ProxiedStep, proxied};
use proptest::collection::vec;
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Reads as a listener does: as much as is asked for, and never more.
fn read(bytes: &[u8]) -> Result<(Proxied, usize), Option<ProxiedError>> {
    let mut taken = 0;
    loop {
        match proxied(&bytes[..taken]).map_err(Some)? {
            ProxiedStep::Done(told) => return Ok((told, taken)),
            ProxiedStep::More(more) => {
                assert!(more > 0 && taken + more <= PROXIED_BYTES_MAX, "{more}");
                taken += more;
                if taken > bytes.len() {
                    return Err(None);
                }
            }
        }
    }
}

fn client(client: &str, server: &str) -> Proxied {
    Proxied::Client {
        client: client.parse().unwrap(),
        server: server.parse().unwrap(),
    }
}

fn v2(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, kind], &length, rest].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn lines_of_version_1() {
    for (line, told) in [
        (
            "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n",
            client("192.0.2.1:56324", "198.51.100.7:443"),
        ),
        (
            "PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
            client("[2001:db8::1]:0", "[::1]:65535"),
        ),
        ("PROXY UNKNOWN\r\n", Proxied::Own),
        (
            "PROXY UNKNOWN ffff::1 anything at all 1 2\r\n",
            Proxied::Own,
        ),
    ] {
        assert_eq!(read(line.as_bytes()), Ok((told, line.len())), "{line}");
        // What follows is left alone.
        let followed = format!("{line}GET / HTTP/1.1\r\n\r\n");
        assert_eq!(read(followed.as_bytes()), Ok((told, line.len())), "{line}");
        for end in 0..line.len() {
            assert_eq!(read(&line.as_bytes()[..end]), Err(None), "{end} of {line}");
        }
    }
    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert!(read(longest.as_bytes()).is_ok());
}

#[test]
fn lines_that_are_none() {
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443 \r\n",
        "PROXY TCP4  192.0.2.1 198.51.100.7 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 0443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 +5 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.7 1 443\r\n",
        "PROXY TCP4 2001:db8::1 198.51.100.7 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.7 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.7 1 443\r\n",
        "PROXY tcp4 192.0.2.1 198.51.100.7 1 443\r\n",
        "PROXY UNKNOWNX\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\n",
        "PROXY TCP4 192.0.2.1\r 198.51.100.7 56324 443\r\n",
    ] {
        assert_eq!(
            read(line.as_bytes()),
            Err(Some(ProxiedError::Malformed)),
            "{line}"
        );
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
    assert_eq!(read(long.as_bytes()), Err(Some(ProxiedError::TooLong)));
    for other in [
        "GET / HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03xxx",
        "PROXYTCP4 xxxx",
    ] {
        assert_eq!(
            read(other.as_bytes()),
            Err(Some(ProxiedError::None)),
            "{other:?}"
        );
    }
}

#[test]
fn headers_of_version_2() {
    let told = client("192.0.2.1:56324", "198.51.100.7:443");
    let plain = v2(0x21, 0x11, &V4);
    assert_eq!(read(&plain), Ok((told, plain.len())));
    let v6 = [[0x20; 16], [0x30; 16]].concat();
    let v6 = v2(0x21, 0x21, &[&v6[..], &[0, 1, 0, 2]].concat());
    let Ok((Proxied::Client { client, server }, _)) = read(&v6) else {
        panic!("{:?}", read(&v6));
    };
    assert_eq!((client.port(), server.port()), (1, 2));
    assert_eq!(client, SocketAddr::from(([0x2020; 8], 1)));
    // Its own, whatever else it says; and one of whom nothing is known.
    for own in [
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, b"x"),
        v2(0x21, 0x00, &[]),
    ] {
        assert_eq!(read(&own), Ok((Proxied::Own, own.len())));
    }
    // With what else is told: ALPN, a name, padding.
    let extras = b"\x01\x00\x02h2\x02\x00\x01a\x04\x00\x03\0\0\0";
    let rich = v2(0x21, 0x11, &[&V4[..], extras].concat());
    assert_eq!(read(&rich), Ok((told, rich.len())));
    for end in 0..rich.len() {
        assert_eq!(read(&rich[..end]), Err(None), "{end}");
    }
}

#[test]
fn headers_of_version_2_that_are_none() {
    for (wrong, why) in [
        (v2(0x11, 0x11, &V4), ProxiedError::Malformed),
        (v2(0x22, 0x11, &V4), ProxiedError::Unsupported),
        (v2(0x21, 0x12, &V4), ProxiedError::Unsupported),
        (v2(0x21, 0x31, &[0; 216]), ProxiedError::Unsupported),
        (v2(0x21, 0x11, &V4[..11]), ProxiedError::Malformed),
        (v2(0x21, 0x21, &V4), ProxiedError::Malformed),
        (v2(0x21, 0x11, &[0; 4096]), ProxiedError::TooLong),
        (
            v2(0x21, 0x11, &[&V4[..], b"\x01\x00\x03h2"].concat()),
            ProxiedError::Malformed,
        ),
        (
            v2(0x21, 0x11, &[&V4[..], b"\x01\x00"].concat()),
            ProxiedError::Malformed,
        ),
        (
            v2(0x21, 0x11, &[&V4[..], b"\x03\x00\x03abc"].concat()),
            ProxiedError::Malformed,
        ),
        (
            v2(0x21, 0x11, &[&V4[..], b"\x03\x00\x04abcd"].concat()),
            ProxiedError::Checksum,
        ),
    ] {
        assert_eq!(read(&wrong), Err(Some(why)), "{wrong:?}");
    }
}

/// CRC-32C by its table, made as another would make it.
fn crc32c(bytes: &[u8]) -> u32 {
    let table: Vec<u32> = (0..256_u32)
        .map(|byte| {
            (0..8).fold(byte, |crc, _| {
                if crc & 1 == 1 {
                    crc >> 1 ^ 0x82f6_3b78
                } else {
                    crc >> 1
                }
            })
        })
        .collect();
    let crc = bytes.iter().fold(!0_u32, |crc, byte| {
        table[usize::from(crc as u8 ^ byte)] ^ crc >> 8
    });
    !crc
}

#[test]
fn a_checksum_that_is_there_is_right() {
    let build = |sum: [u8; 4]| {
        let extras = [b"\x03\x00\x04", &sum[..], b"\x01\x00\x02h2"].concat();
        v2(0x21, 0x11, &[&V4[..], &extras].concat())
    };
    let right = crc32c(&build([0; 4])).to_be_bytes();
    assert!(read(&build(right)).is_ok());
    let wrong = [right[0] ^ 1, right[1], right[2], right[3]];
    assert_eq!(read(&build(wrong)), Err(Some(ProxiedError::Checksum)));
}

fn words() -> impl Strategy<Value = Vec<u8>> {
    let words = prop_oneof![
        Just(SIGNATURE.to_vec()),
        Just(b"PROXY ".to_vec()),
        Just(b"TCP4 ".to_vec()),
        Just(b"TCP6 ".to_vec()),
        Just(b"UNKNOWN".to_vec()),
        Just(b"192.0.2.1 ".to_vec()),
        Just(b"::1 ".to_vec()),
        Just(b"443".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(vec![0x21, 0x11, 0, 12]),
        Just(vec![0x20, 0, 0, 0]),
        Just(V4.to_vec()),
        vec(any::<u8>(), 0..20),
    ];
    vec(words, 0..12).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    /// Whatever comes is answered, with a bound on what is read; and what was read is what was said, however it is cut.
    #[test]
    fn any_bytes_are_a_header_or_none(bytes in words()) {
        let found = read(&bytes);
        // No beginning is done before, and none is refused that goes on well.
        if let Ok((told, taken)) = found {
            for end in 0..taken {
                prop_assert!(matches!(proxied(&bytes[..end]), Ok(ProxiedStep::More(more)) if end + more <= taken));
            }
            prop_assert_eq!(proxied(&bytes[..taken]), Ok(ProxiedStep::Done(told)));
        }
    }

    /// What a sender writes is read.
    #[test]
    fn every_address_is_read_as_it_was_written(
        is_v4: bool,
        addresses: (u128, u128),
        ports: (u16, u16),
    ) {
        let ip = |bits: u128| match is_v4 {
            true => IpAddr::from((bits as u32).to_be_bytes()),
            false => IpAddr::from(bits.to_be_bytes()),
        };
        let client = SocketAddr::new(ip(addresses.0), ports.0);
        let server = SocketAddr::new(ip(addresses.1), ports.1);
        let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
        let line = format!(
            "PROXY {family} {} {} {} {}\r\n",
            client.ip(), server.ip(), client.port(), server.port()
        );
        let told = Proxied::Client { client, server };
        prop_assert_eq!(read(line.as_bytes()), Ok((told, line.len())));
    }
}
