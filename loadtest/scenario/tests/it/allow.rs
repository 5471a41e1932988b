//! Which targets may be touched.

use std::net::IpAddr;
use std::path::Path;

use mcsp_loadtest_scenario::{AllowError, AllowList};

fn ips(addresses: &[&str]) -> Vec<IpAddr> {
    addresses
        .iter()
        .map(|address| address.parse().unwrap())
        .collect()
}

fn list(text: &str) -> AllowList {
    AllowList::parse(text, Path::new("allow.txt")).unwrap()
}

#[test]
fn only_the_loopback_is_free() {
    let none = AllowList::loopback_only();
    let rows: [(&str, &[&str], bool); 16] = [
        ("127.0.0.1", &["127.0.0.1"], true),
        ("127.8.9.10", &["127.8.9.10"], true),
        ("[::1]", &["::1"], true),
        ("localhost", &["::1", "127.0.0.1"], true),
        // IPv4 in IPv6 is what it maps to.
        ("[::ffff:127.0.0.1]", &["::ffff:127.0.0.1"], true),
        ("[::ffff:10.0.0.1]", &["::ffff:10.0.0.1"], false),
        // Forms that only look like the loopback.
        ("[::127.0.0.1]", &["::127.0.0.1"], false),
        ("[64:ff9b::7f00:1]", &["64:ff9b::7f00:1"], false),
        ("0.0.0.0", &["0.0.0.0"], false),
        ("[::]", &["::"], false),
        ("0.1.2.3", &["0.1.2.3"], false),
        // Names are judged by where they lead.
        ("127.0.0.1.evil.com", &["203.0.113.9"], false),
        ("localhost.evil.com", &["198.51.100.1"], false),
        ("localhost", &["198.51.100.1"], false),
        // All of a name's addresses, or none.
        ("rebind.evil.com", &["127.0.0.1", "203.0.113.9"], false),
        ("nowhere.example", &[], false),
    ];
    for (host, resolved, may) in rows {
        assert_eq!(
            none.admit(host, 443, &ips(resolved)).is_ok(),
            may,
            "{host} {resolved:?}"
        );
    }
}

#[test]
fn what_is_admitted_is_the_address_itself() {
    let admitted = AllowList::loopback_only()
        .admit("x", 81, &ips(&["::ffff:127.0.0.1"]))
        .unwrap();
    assert_eq!(admitted[0].address(), "127.0.0.1:81".parse().unwrap());
}

#[test]
fn listed_hosts_are_admitted_by_name_and_port() {
    let allowed =
        list("# ours\nedge.example.com:443\n[2001:db8::7]:8443 # one of them\n198.51.100.7:80\n\n");
    let far = ips(&["203.0.113.9"]);
    assert!(allowed.admit("edge.example.com", 443, &far).is_ok());
    assert!(allowed.admit("EDGE.example.com.", 443, &far).is_ok());
    for (host, port) in [
        ("edge.example.com", 80),
        ("edge.example.com.evil.com", 443),
        ("evil-edge.example.com", 443),
        ("203.0.113.9", 443),
    ] {
        assert!(allowed.admit(host, port, &far).is_err(), "{host}:{port}");
    }
    assert!(
        allowed
            .admit("[2001:db8::7]", 8443, &ips(&["2001:db8::7"]))
            .is_ok()
    );
    assert!(
        allowed
            .admit("198.51.100.7", 80, &ips(&["198.51.100.7"]))
            .is_ok()
    );
    // Even a listed name may not lead to everybody or to nobody.
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "::"] {
        assert!(
            allowed
                .admit("edge.example.com", 443, &ips(&[address]))
                .is_err(),
            "{address}"
        );
    }
}

#[test]
fn listed_networks_are_admitted_whole() {
    let allowed = list("10.20.0.0/16\n2001:db8::/32");
    assert!(
        allowed
            .admit("a.example", 1, &ips(&["10.20.255.1", "2001:db8::9"]))
            .is_ok()
    );
    assert!(
        allowed
            .admit("a.example", 1, &ips(&["::ffff:10.20.0.9"]))
            .is_ok()
    );
    assert!(allowed.admit("a.example", 1, &ips(&["10.21.0.1"])).is_err());
}

#[test]
fn a_refusal_says_how_to_list_it() {
    let said = AllowList::default()
        .admit("edge.example.com", 443, &ips(&["203.0.113.9"]))
        .unwrap_err()
        .to_string();
    for part in [
        "edge.example.com:443 is 203.0.113.9",
        "\"edge.example.com:443\"",
        "\"203.0.113.9/32\"",
        "allow_file",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn lines_that_are_no_entries_are_refused_by_number() {
    for entry in [
        "edge.example.com",
        "*:443",
        "a b:1",
        ":443",
        "a:0",
        "a:70000",
        "0.0.0.0/0",
        "::/0",
        "10.0.0.0/33",
        "http://a:1",
        "::1:443",
    ] {
        let error =
            AllowList::parse(&format!("localhost:1\n{entry}"), Path::new("allow.txt")).unwrap_err();
        assert!(
            matches!(error, AllowError::Entry { line: 2, .. }),
            "{entry}"
        );
        assert!(error.to_string().starts_with("allow.txt:2: "), "{error}");
    }
    assert!(AllowList::load(Path::new("/no/such/file")).is_err());
}
