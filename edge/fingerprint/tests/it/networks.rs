//! Lists of networks.

use std::net::IpAddr;

use mcsp_edge_fingerprint::{NetworkKind, NetworkList, NetworkListError, Signals};
use proptest::prelude::*;

const LIST: &str = "
# Kept by whoever runs the node.
hosting AS64500
vpn     AS64501            # of the same company
hosting 198.51.100.0/24
tor     198.51.100.7
relay   2001:db8::/32
proxy   2001:db8:1::/48
";

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_most_exact_entry_counts() {
    let list = NetworkList::parse(LIST).expect("a list");
    assert_eq!(list.len(), 6);
    for (client, asn, kind) in [
        ("198.51.100.7", None, Some(NetworkKind::Tor)),
        ("198.51.100.8", None, Some(NetworkKind::Hosting)),
        ("::ffff:198.51.100.8", None, Some(NetworkKind::Hosting)),
        ("198.51.100.8", Some(64_501), Some(NetworkKind::Hosting)),
        ("198.51.101.8", Some(64_501), Some(NetworkKind::Vpn)),
        ("198.51.101.8", Some(64_502), None),
        ("198.51.101.8", None, None),
        ("2001:db8:1::1", None, Some(NetworkKind::Proxy)),
        ("2001:db8:2::1", None, Some(NetworkKind::Relay)),
        ("2001:db9::1", None, None),
        ("::198.51.100.8", None, None),
    ] {
        assert_eq!(list.kind_of(address(client), asn), kind, "{client} {asn:?}");
    }
    assert!(NetworkList::default().is_empty());
    assert_eq!(
        NetworkList::default().kind_of(address("::1"), Some(1)),
        None
    );
}

#[test]
fn a_line_that_is_none_is_named() {
    for line in [
        "hosting",
        "AS64500",
        "cloud AS64500",
        "hosting AS",
        "hosting AS-1",
        "hosting AS+1",
        "hosting AS4294967296",
        "hosting as64500",
        "hosting 198.51.100.0/33",
        "hosting 198.51.100.1/24",
        "hosting 198.51.100.0/",
        "hosting 2001:db8::/129",
        "hosting AS1 AS2",
    ] {
        match NetworkList::parse(&format!("vpn AS1\n{line}\n")) {
            Err(NetworkListError::Line { line: 2, text }) => assert_eq!(text, line),
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn a_list_is_a_file() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("networks.txt");
    assert!(
        NetworkList::load(&path)
            .expect_err("no file")
            .is_retryable()
    );
    std::fs::write(&path, LIST).expect("written");
    assert_eq!(NetworkList::load(&path).expect("a list").len(), 6);
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len(33 * 1024 * 1024).expect("its length");
    assert!(matches!(
        NetworkList::load(&path),
        Err(NetworkListError::TooLarge)
    ));
}

#[test]
fn signals_are_rule_variables() {
    let list = NetworkList::parse(LIST).expect("a list");
    let signals = Signals::of(None, Some(address("198.51.100.7")), Some(64_500), &list);
    assert!(signals.is_anonymous());
    assert_eq!(signals.network_label(), "tor");
    let variables = signals.variables();
    assert_eq!(
        variables.map(|(name, value)| (name, value.len())),
        [("ja4", 0), ("asn", 5), ("network", 3)]
    );
    let nobody = Signals::of(None, None, None, &list);
    assert_eq!(nobody, Signals::default());
    assert_eq!(nobody.network_label(), "unlisted");
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = NetworkList::parse(&text);
    }

    /// As one by one, without an index.
    #[test]
    fn lookups_find_the_longest_prefix(
        prefixes in proptest::collection::vec((any::<u32>(), 0_u8..=32, 0_usize..5), 0..40),
        client in any::<u32>(),
    ) {
        let kinds = ["hosting", "vpn", "proxy", "tor", "relay"];
        let masked = |bits: u32, length: u8| match length { 0 => 0, length => bits & (u32::MAX << (32 - length)) };
        let text: String = prefixes.iter().map(|(bits, length, kind)| {
            format!("{} {}/{length}\n", kinds[*kind], std::net::Ipv4Addr::from(masked(*bits, *length)))
        }).collect();
        let list = NetworkList::parse(&text).expect("a list");
        // Of equals, the last; `max_by_key` gives the last of equals.
        let expected = prefixes.iter()
            .filter(|(bits, length, _)| masked(client, *length) == masked(*bits, *length))
            .max_by_key(|(_, length, _)| *length)
            .map(|(_, _, kind)| kinds[*kind]);
        let found = list.kind_of(IpAddr::V4(client.into()), None).map(NetworkKind::as_str);
        prop_assert_eq!(found, expected);
    }
}
