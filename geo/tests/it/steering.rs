//! Residency before nearness, and the same answer everywhere.

use mcsp_api::Residency;
use mcsp_geo::{Client, CountryCode, Place, Position, nearest};
use mcsp_pop_config::{PopManifest, PopSet};
use proptest::prelude::*;

const REGIONS: &str = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n";

fn pop(id: &str, country: &str, latitude: f64, longitude: f64, more: &str) -> (String, String) {
    let text = format!(
        "id = \"{id}\"\nname = \"{id}\"\ncountry = \"{country}\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
         trust = \"own\"\nregion = \"ng-lagos\"\nbase_urls = [\"https://{id}.example\"]\n{more}\n"
    );
    (id.to_owned(), text)
}

fn pops() -> PopSet {
    let all = [
        pop(
            "los1",
            "NG",
            6.4281,
            3.4219,
            "fallback_rank = 20\nfootprints = [\"197.210.0.0/16\"]",
        ),
        pop(
            "abv1",
            "NG",
            9.0563,
            7.4985,
            "fallback_rank = 30\nfootprints = [\"197.210.64.0/20\"]",
        ),
        pop("lhr1", "GB", 51.5074, -0.0098, "fallback_rank = 10"),
        pop("jnb1", "ZA", -26.2041, 28.0473, ""),
    ];
    PopSet::from_toml(
        REGIONS,
        all.iter().map(|(id, text)| (id.as_str(), text.as_str())),
    )
    .expect("PoPs")
}

fn from(country: &str) -> Client {
    Client::in_country(Some(country.parse().expect("a country")))
}

fn order(pops: &PopSet, client: &Client, residency: Residency, down: &[&str]) -> Vec<String> {
    nearest(pops, client, residency, |pop: &PopManifest| {
        !down.contains(&pop.id.as_str())
    })
    .into_iter()
    .map(|pop| pop.id.clone())
    .collect()
}

#[test]
fn the_own_country_comes_first_then_distance() {
    let pops = pops();
    assert_eq!(
        order(&pops, &from("NG"), Residency::Global, &[]),
        ["abv1", "los1", "jnb1", "lhr1"]
    );
    assert_eq!(order(&pops, &from("GB"), Residency::Global, &[])[0], "lhr1");
    assert_eq!(
        order(&pops, &from("GH"), Residency::Global, &[])[0],
        "los1",
        "Accra is nearer to Lagos than to Abuja"
    );
    assert_eq!(order(&pops, &from("FR"), Residency::Global, &[])[0], "lhr1");
    assert_eq!(order(&pops, &from("NA"), Residency::Global, &[])[0], "jnb1");
}

#[test]
fn a_known_position_is_better_than_the_middle_of_the_country() {
    let place = Place {
        country: Some(CountryCode::NIGERIA),
        position: Some(Position {
            latitude: 6.5,
            longitude: 3.3,
        }),
    };
    let client = Client::at("105.112.0.1".parse().expect("an address"), place);
    assert_eq!(
        order(&pops(), &client, Residency::Global, &[])[..2],
        ["los1", "abv1"]
    );
}

#[test]
fn the_telco_that_hosts_a_pop_is_served_by_it() {
    let pops = pops();
    let at = |address: &str| Client::at(address.parse().expect("an address"), Place::default());
    assert_eq!(
        order(&pops, &at("197.210.1.1"), Residency::Global, &[])[0],
        "los1"
    );
    assert_eq!(
        order(&pops, &at("197.210.65.1"), Residency::Global, &[])[..2],
        ["abv1", "los1"],
        "the longer prefix"
    );
    assert_eq!(
        order(&pops, &at("::ffff:197.210.65.1"), Residency::Global, &[])[0],
        "abv1"
    );
    assert_eq!(
        order(&pops, &at("197.210.65.1"), Residency::Global, &["abv1"])[0],
        "los1",
        "health before footprint"
    );
}

#[test]
fn of_a_stranger_only_the_configured_rank_counts() {
    let stranger = Client::in_country(None);
    assert_eq!(
        order(&pops(), &stranger, Residency::Global, &[]),
        ["lhr1", "los1", "abv1", "jnb1"]
    );
    assert_eq!(
        order(&pops(), &stranger, Residency::Ng, &[]),
        ["los1", "abv1"]
    );
    assert_eq!(
        order(&pops(), &from("ZZ"), Residency::Global, &[])[0],
        "lhr1",
        "a code without a place"
    );
}

#[test]
fn nigerian_content_stays_in_nigeria_whoever_asks_and_whatever_is_down() {
    let pops = pops();
    for country in ["NG", "GB", "ZA", "US"] {
        let mut found = order(&pops, &from(country), Residency::Ng, &[]);
        found.sort();
        assert_eq!(found, ["abv1", "los1"], "{country}");
    }
    assert!(order(&pops, &from("GB"), Residency::Ng, &["los1", "abv1"]).is_empty());
}

#[test]
fn distances_are_those_of_the_globe() {
    let at = |latitude, longitude| Position {
        latitude,
        longitude,
    };
    let (lagos, abuja, london) = (at(6.4541, 3.3947), at(9.0563, 7.4985), at(51.5074, -0.1278));
    assert!(
        (lagos.distance_km(abuja) - 537.0).abs() < 10.0,
        "{}",
        lagos.distance_km(abuja)
    );
    assert!(
        (lagos.distance_km(london) - 5010.0).abs() < 30.0,
        "{}",
        lagos.distance_km(london)
    );
    assert!(
        (at(0.0, 179.9).distance_km(at(0.0, -179.9)) - 22.2).abs() < 0.1,
        "across the date line"
    );
    assert!((at(0.0, 0.0).distance_km(at(0.0, 180.0)) - 20_015.0).abs() < 1.0);
}

proptest! {
    #[test]
    fn whatever_the_client_only_healthy_and_allowed_pops_come_each_once(
        country in proptest::option::of("[A-Z]{2}"),
        latitude in -90.0..=90.0_f64,
        longitude in -180.0..=180.0_f64,
        has_position in any::<bool>(),
        address in proptest::option::of(any::<u32>()),
        ng in any::<bool>(),
        health in any::<[bool; 4]>(),
    ) {
        let pops = pops();
        let client = Client {
            address: address.map(|bits| std::net::Ipv4Addr::from(bits).into()),
            country: country.map(|code| code.parse().expect("a code")),
            position: has_position.then_some(Position { latitude, longitude }),
        };
        let residency = if ng { Residency::Ng } else { Residency::Global };
        let down: Vec<&str> = ["abv1", "jnb1", "lhr1", "los1"]
            .into_iter()
            .zip(health)
            .filter_map(|(id, healthy)| (!healthy).then_some(id))
            .collect();
        let mut found = order(&pops, &client, residency, &down);
        prop_assert_eq!(&found, &order(&pops, &client, residency, &down), "the same each time");
        found.sort();
        let expected: Vec<_> = pops
            .iter()
            .filter(|pop| !down.contains(&pop.id.as_str()) && (!ng || pop.country == CountryCode::NIGERIA))
            .map(|pop| pop.id.clone())
            .collect();
        prop_assert_eq!(found, expected);
    }
}
