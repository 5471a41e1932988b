//! Databases: what is written is what is read, and damage is seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use mcsp_geo::testdb::{RecordSize, TestDb, TestDbError, write_test_db};
use mcsp_geo::{AsnDb, GeoDb, GeoError, Position};
use proptest::prelude::*;

const ENTRIES: [(&str, &str); 5] = [
    ("197.210.0.0/16", "NG"),
    ("197.210.64.0/20", "GH"),
    ("81.2.69.0/24", "GB"),
    ("2c0f:fb50::/32", "NG"),
    ("127.0.0.1/32", "NG"),
];

fn country(database: &GeoDb, address: &str) -> Option<String> {
    let address: IpAddr = address.parse().expect("an address");
    database.country(address).map(|country| country.to_string())
}

fn open(database: &TestDb) -> GeoDb {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("geo.mmdb");
    std::fs::write(&path, database.to_bytes().expect("bytes")).expect("written");
    GeoDb::open(path).expect("a sound database")
}

#[test]
fn autonomous_systems_are_found_by_longest_prefix_and_reloaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asn.mmdb");
    let write = |entries: &[(&str, u32)]| {
        let mut database = TestDb::new(RecordSize::Bits28, 6);
        for (network, asn) in entries {
            database.insert_system(network, *asn).expect("an entry");
        }
        std::fs::write(&path, database.to_bytes().expect("bytes")).expect("written");
    };
    write(&[
        ("197.210.0.0/16", 29_465),
        ("197.210.64.0/20", 4_294_967_295),
        ("2c0f:fb50::/32", 29_465),
        ("81.2.69.0/24", 0),
    ]);
    let database = AsnDb::open(&path).expect("a database");
    let asn = |address: &str| database.asn(address.parse().expect("an address"));
    for (address, expected) in [
        ("197.210.0.1", Some(29_465)),
        ("::ffff:197.210.0.1", Some(29_465)),
        ("197.210.65.1", Some(4_294_967_295)),
        ("2c0f:fb50::1", Some(29_465)),
        ("81.2.69.1", Some(0)),
        ("81.2.70.1", None),
        ("2c0f:fb51::1", None),
    ] {
        assert_eq!(asn(address), expected, "{address}");
    }
    write(&[("81.2.70.0/24", 7)]);
    database.reload().expect("reloaded");
    assert_eq!((asn("81.2.70.1"), asn("197.210.0.1")), (Some(7), None));
    std::fs::write(&path, b"damaged").expect("written");
    assert!(database.reload().is_err());
    assert_eq!(asn("81.2.70.1"), Some(7), "the former one stays");
    // A database of countries knows no systems, and the other way round.
    write_test_db(&path, &ENTRIES).expect("written");
    let countries = AsnDb::open(&path).expect("a database");
    assert_eq!(
        countries.asn("197.210.0.1".parse().expect("an address")),
        None
    );
}

#[test]
fn countries_are_found_by_longest_prefix() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("geo.mmdb");
    write_test_db(&path, &ENTRIES).expect("written");
    let database = GeoDb::open(&path).expect("a database");
    for (address, expected) in [
        ("197.210.0.0", Some("NG")),
        ("197.210.63.255", Some("NG")),
        ("197.210.64.0", Some("GH")),
        ("197.210.79.255", Some("GH")),
        ("197.210.80.0", Some("NG")),
        ("197.210.255.255", Some("NG")),
        ("197.211.0.0", None),
        ("197.209.255.255", None),
        ("81.2.69.142", Some("GB")),
        ("127.0.0.1", Some("NG")),
        ("127.0.0.2", None),
        ("::ffff:81.2.69.142", Some("GB")),
        ("2c0f:fb50::1", Some("NG")),
        ("2c0f:fb51::", None),
        ("::1", None),
        ("0.0.0.0", None),
        ("255.255.255.255", None),
    ] {
        assert_eq!(
            country(&database, address).as_deref(),
            expected,
            "{address}"
        );
    }
    assert!(database.build_epoch_s() > 0);
}

#[test]
fn both_record_sizes_and_ip_versions_hold_the_same() {
    for record_size in [RecordSize::Bits24, RecordSize::Bits28] {
        for ip_version in [4, 6] {
            let mut writer = TestDb::new(record_size, ip_version);
            for (network, code) in ENTRIES
                .iter()
                .filter(|(network, _)| ip_version == 6 || !network.contains(':'))
            {
                writer.insert(network, code, None).expect("an entry");
            }
            let database = open(&writer);
            assert_eq!(
                country(&database, "197.210.1.1").as_deref(),
                Some("NG"),
                "{record_size:?} {ip_version}"
            );
            assert_eq!(country(&database, "197.210.65.1").as_deref(), Some("GH"));
            assert_eq!(country(&database, "8.8.8.8"), None);
            let v6 = country(&database, "2c0f:fb50:1::");
            assert_eq!(v6.as_deref(), (ip_version == 6).then_some("NG"));
        }
    }
}

#[test]
fn positions_come_with_countries_where_known() {
    let lagos = Position {
        latitude: 6.4541,
        longitude: 3.3947,
    };
    let mut writer = TestDb::new(RecordSize::Bits24, 6);
    writer
        .insert("105.112.0.0/12", "NG", Some(lagos))
        .expect("an entry");
    writer.insert("0.0.0.0/0", "GB", None).expect("an entry");
    let database = open(&writer);
    let place = database.locate("105.112.0.1".parse().expect("an address"));
    assert_eq!(place.position, Some(lagos));
    assert_eq!(place.country.expect("a country").as_str(), "NG");
    let place = database.locate("1.1.1.1".parse().expect("an address"));
    assert_eq!(place.position, None);
    assert_eq!(place.country.expect("a country").as_str(), "GB");
}

#[test]
fn a_reload_takes_the_new_file_and_keeps_the_old_one_when_it_is_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("geo.mmdb");
    write_test_db(&path, &[("1.0.0.0/8", "NG")]).expect("written");
    let database = GeoDb::open(&path).expect("a database");

    write_test_db(&path, &[("1.0.0.0/8", "GB")]).expect("written");
    database.reload().expect("a reload");
    assert_eq!(country(&database, "1.2.3.4").as_deref(), Some("GB"));

    std::fs::write(&path, b"not a database").expect("written");
    assert!(matches!(database.reload(), Err(GeoError::Invalid { .. })));
    std::fs::remove_file(&path).expect("removed");
    let fault = database.reload().expect_err("no file");
    assert!(fault.is_retryable());
    assert_eq!(country(&database, "1.2.3.4").as_deref(), Some("GB"));
}

#[test]
fn a_cut_off_file_is_no_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("geo.mmdb");
    write_test_db(&path, &ENTRIES).expect("written");
    let whole = std::fs::read(&path).expect("read");
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).expect("written");
        assert!(
            GeoDb::open(&path).is_err(),
            "{length} of {} bytes",
            whole.len()
        );
    }
}

#[test]
fn bad_entries_are_named() {
    let mut writer = TestDb::new(RecordSize::Bits28, 4);
    for (network, code) in [
        ("10.0.0.0", "NG"),
        ("10.0.0.0/8", "ng"),
        ("2c0f::/16", "NG"),
    ] {
        let fault = writer.insert(network, code, None).expect_err("a fault");
        assert!(matches!(fault, TestDbError::Entry(_)), "{fault}");
    }
}

proptest! {
    /// Against the plain definition: the longest prefix that holds the address, the later of equals.
    #[test]
    fn the_tree_agrees_with_a_list(
        entries in proptest::collection::vec((any::<u32>(), 0_u8..=32, 0_usize..3), 1..20),
        probes in proptest::collection::vec(any::<u32>(), 1..20),
        small in any::<bool>(),
        ip_version in prop_oneof![Just(4_u16), Just(6_u16)],
    ) {
        let codes = ["NG", "GB", "GH"];
        let record_size = if small { RecordSize::Bits24 } else { RecordSize::Bits28 };
        let mut writer = TestDb::new(record_size, ip_version);
        let mut list = Vec::new();
        for (bits, length, code) in entries {
            let network = Ipv4Net::new(Ipv4Addr::from(bits), length).expect("a network").trunc();
            writer.insert(&network.to_string(), codes[code], None).expect("an entry");
            list.push((network, codes[code]));
        }
        let database = open(&writer);
        let edges = list.iter().flat_map(|(network, _)| [network.network(), network.broadcast()]);
        for address in probes.into_iter().map(Ipv4Addr::from).chain(edges) {
            let mut expected: Option<(u8, &str)> = None;
            for (network, code) in &list {
                if network.contains(&address) && expected.is_none_or(|(length, _)| network.prefix_len() >= length) {
                    expected = Some((network.prefix_len(), code));
                }
            }
            let found = database.country(IpAddr::V4(address)).map(|country| country.to_string());
            prop_assert_eq!(found.as_deref(), expected.map(|(_, code)| code), "{}", address);
        }
    }

    #[test]
    fn ipv6_networks_hold_their_addresses(bits in any::<u128>(), length in 8_u8..=128) {
        let network = Ipv6Net::new(Ipv6Addr::from(bits), length).expect("a network").trunc();
        let mut writer = TestDb::new(RecordSize::Bits28, 6);
        writer.insert(&network.to_string(), "NG", None).expect("an entry");
        let database = open(&writer);
        for address in [network.network(), network.broadcast()] {
            // An address in IPv4 form is looked up as IPv4, whose tree this one is not.
            if address.to_ipv4_mapped().is_none() {
                prop_assert!(database.country(IpAddr::V6(address)).is_some(), "{}", network);
            }
        }
    }

    #[test]
    fn a_damaged_file_never_panics(at in any::<proptest::sample::Index>(), value in any::<u8>()) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("geo.mmdb");
        write_test_db(&path, &ENTRIES).expect("written");
        let mut bytes = std::fs::read(&path).expect("read");
        let at = at.index(bytes.len());
        bytes[at] = value;
        std::fs::write(&path, &bytes).expect("written");
        if let Ok(database) = GeoDb::open(&path) {
            for (network, _) in ENTRIES {
                let address = network.split('/').next().expect("an address");
                let _ = country(&database, address);
            }
        }
    }
}
