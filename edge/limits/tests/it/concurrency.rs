//! What is served at once.

use std::net::IpAddr;

use mcsp_edge_limits::{Busy, Class, LimitsConfig, Occupancy};

use crate::support::address;

fn config() -> LimitsConfig {
    let mut config = LimitsConfig::default();
    config.concurrency.connections_address_max = 3;
    config.concurrency.requests_max = 20;
    config.concurrency.requests_address_max = 8;
    config.concurrency.api_requests_max = 5;
    config.concurrency.upload_requests_max = 2;
    config
}

#[test]
fn what_is_dropped_makes_room() {
    let occupancy = Occupancy::new(&config());
    let from = |host: u8| address(&format!("192.0.2.{host}"));
    let mut connections: Vec<_> = (0..3)
        .map(|_| occupancy.connection(from(1)).unwrap())
        .collect();
    assert_eq!(occupancy.connection(from(1)).unwrap_err(), Busy::Address);
    assert!(occupancy.connection(from(2)).is_ok());
    connections.pop();
    connections.push(occupancy.connection(from(1)).unwrap());
    assert_eq!(occupancy.clients(), 1);

    let requests: Vec<_> = (0..8)
        .map(|_| occupancy.request(Class::Segment, from(1)).unwrap())
        .collect();
    let refused = occupancy.request(Class::Segment, from(1)).unwrap_err();
    assert_eq!((refused, refused.is_clients()), (Busy::Address, true));
    assert_eq!(occupancy.requests(), 8, "who is refused takes nothing");
    let api: Vec<_> = (0..5)
        .map(|host| occupancy.request(Class::ApiRead, from(10 + host)).unwrap())
        .collect();
    for class in [Class::ApiWrite, Class::Login, Class::Play, Class::Renewal] {
        assert_eq!(occupancy.request(class, from(9)).unwrap_err(), Busy::Class);
    }
    let uploads = [
        occupancy.request(Class::Upload, from(9)).unwrap(),
        occupancy.request(Class::Upload, from(9)).unwrap(),
    ];
    let refused = occupancy.request(Class::Upload, from(9)).unwrap_err();
    assert_eq!((refused, refused.is_clients()), (Busy::Class, false));
    let others: Vec<_> = (0..5)
        .map(|host| occupancy.request(Class::Plain, from(20 + host)).unwrap())
        .collect();
    assert_eq!(
        occupancy.request(Class::Plain, from(9)).unwrap_err(),
        Busy::Node
    );
    drop((requests, api, uploads, others));
    assert_eq!(occupancy.requests(), 0);
    drop(connections);
    assert_eq!(occupancy.clients(), 0);
}

#[test]
fn an_address_that_is_not_known_or_is_exempt_is_bounded_by_the_whole() {
    let mut config = config();
    config.exempt = vec!["10.0.0.0/8".parse().unwrap()];
    let occupancy = Occupancy::new(&config);
    for client in [None, address("10.1.1.1")] {
        let mut requests: Vec<_> = (0..18)
            .map(|_| occupancy.request(Class::Web, client).unwrap())
            .collect();
        let refused = occupancy.request(Class::Web, client).unwrap_err();
        assert_eq!(refused, Busy::Node);
        // What is left is for streams.
        requests.extend((0..2).map(|_| occupancy.request(Class::Segment, client).unwrap()));
        let refused = occupancy.request(Class::Segment, client).unwrap_err();
        assert_eq!(refused, Busy::Node);
        drop(requests);
    }
    assert_eq!(occupancy.clients(), 0);
}

#[test]
fn a_flood_of_addresses_leaves_nothing_behind() {
    let mut config = config();
    config.concurrency.requests_max = 12_000;
    let occupancy = Occupancy::new(&config);
    let requests: Vec<_> = (0..10_000_u32)
        .map(|bits| {
            occupancy
                .request(Class::Web, Some(IpAddr::from(bits.to_be_bytes())))
                .unwrap()
        })
        .collect();
    assert_eq!(occupancy.clients(), 10_000);
    drop(requests);
    assert_eq!((occupancy.clients(), occupancy.requests()), (0, 0));
}

#[test]
fn threads_never_hold_more_than_there_may_be() {
    let occupancy = Occupancy::new(&config());
    std::thread::scope(|scope| {
        for host in 0..4_u8 {
            let occupancy = &occupancy;
            scope.spawn(move || {
                for _ in 0..5_000 {
                    let held =
                        occupancy.request(Class::ApiRead, address(&format!("192.0.2.{host}")));
                    assert!(occupancy.requests() <= 20 + 4);
                    drop(held);
                }
            });
        }
    });
    assert_eq!((occupancy.clients(), occupancy.requests()), (0, 0));
}

/// Each of these networks counts as a client of its own, and one customer has thousands of them.
#[test]
fn who_owns_many_networks_has_only_so_much_under_way() {
    let mut config = config();
    config.concurrency.requests_max = 1_000;
    config.ipv6_aggregate_factor = 2;
    let occupancy = Occupancy::new(&config);
    let of_network = |number: u32| address(&format!("2001:db8:1:{number:x}::1"));
    let connections: Vec<_> = (0..100)
        .filter_map(|number| occupancy.connection(of_network(number)).ok())
        .collect();
    assert_eq!(connections.len(), 6, "twice what one may have");
    let refused = occupancy.connection(of_network(100)).unwrap_err();
    assert_eq!(
        (refused, refused.is_clients(), refused.reason()),
        (Busy::Aggregate, true, "busy-aggregate")
    );
    let requests: Vec<_> = (0..100)
        .filter_map(|number| occupancy.request(Class::Web, of_network(number)).ok())
        .collect();
    assert_eq!((requests.len(), occupancy.requests()), (16, 16));
    assert_eq!(occupancy.clients(), 16, "who is refused leaves nothing");
    // Those beside it are others, and so is everybody of IPv4.
    for other in ["2001:db8:2::1", "192.0.2.1", "192.0.3.1"] {
        assert!(occupancy.connection(address(other)).is_ok(), "{other}");
        assert!(occupancy.request(Class::Web, address(other)).is_ok());
    }
    drop((connections, requests));
    assert_eq!((occupancy.clients(), occupancy.requests()), (0, 0));
    assert!(occupancy.connection(of_network(100)).is_ok());
}
