//! Who users are, and what they play.

use std::collections::BTreeMap;

use mcsp_loadtest_scenario::{
    Cast, Content, HttpVersion, Popularity, Random, Scenario, Start, UserKind, Viral,
};

const TEXT: &str = "name = \"x\"\n[targets]\napi = \"http://127.0.0.1:1\"\n[[arrivals]]\nkind = \"constant\"\nrate_per_s = 1\n\
    [mix]\nplayers = 7\ncreators = 1\napi_users = 2\n[accounts]\ncount = 3\n\
    [[devices]]\nname = \"phone\"\nweight = 3\n[[devices]]\nname = \"tv\"\n\
    [[geography]]\nname = \"lagos\"\nsource_addresses = \"127.1.0.0/29\"\n[[geography]]\nname = \"abuja\"\nweight = 0\nsource_addresses = \"127.2.0.1/32\"\n";

fn user_start(index: u64) -> Start {
    Start {
        at_us: index,
        index,
    }
}

#[test]
fn users_are_mixed_by_weight_and_do_not_depend_on_one_another() {
    let cast = Cast::new(&Scenario::parse(TEXT, "x").unwrap());
    let users: Vec<_> = (0..10_000)
        .map(|index| cast.user(user_start(index)))
        .collect();
    let share = |is: &dyn Fn(&mcsp_loadtest_scenario::User) -> bool| {
        users.iter().filter(|user| is(user)).count() as f64 / 1e4
    };
    assert!((share(&|user| user.kind == UserKind::Player) - 0.7).abs() < 0.02);
    assert!((share(&|user| user.kind == UserKind::Creator) - 0.1).abs() < 0.02);
    assert!((share(&|user| user.device == 0) - 0.75).abs() < 0.02);
    assert!((share(&|user| user.version == HttpVersion::H1) - 0.5).abs() < 0.02);
    assert_eq!(share(&|user| user.place == Some(0)), 1.0);
    assert_eq!(
        share(&|user| u64::from(user.account) == user.index % 3),
        1.0
    );
    // Asked alone, the same.
    assert_eq!(cast.user(user_start(4_711)), users[4_711]);
    assert_eq!(users[9].random(), users[9].random());
    assert_ne!(users[9].random(), users[8].random());
    // Hosts of the /29 only, all six of them.
    let mut sources: Vec<String> = users
        .iter()
        .map(|user| user.source.unwrap().to_string())
        .collect();
    sources.sort();
    sources.dedup();
    assert_eq!(
        sources,
        (1..=6)
            .map(|host| format!("127.1.0.{host}"))
            .collect::<Vec<_>>()
    );
}

#[test]
fn single_addresses_and_ipv6_networks_have_hosts_too() {
    let text = TEXT
        .replace("127.1.0.0/29", "2001:db8::/126")
        .replace("weight = 0", "weight = 1");
    let cast = Cast::new(&Scenario::parse(&text, "x").unwrap());
    for index in 0..200 {
        let user = cast.user(user_start(index));
        let source = user.source.unwrap().to_string();
        assert!(
            source == "127.2.0.1" || source.starts_with("2001:db8::"),
            "{source}"
        );
    }
}

fn plays(content: &Content, items: usize, at_us: u64) -> BTreeMap<usize, usize> {
    let popularity = Popularity::new(content, items);
    let mut random = Random::new(5, 6, 7);
    let mut plays = BTreeMap::new();
    for _ in 0..100_000 {
        *plays
            .entry(popularity.pick(at_us, random.next_u64()).unwrap())
            .or_insert(0) += 1;
    }
    plays
}

#[test]
fn popularity_is_zipfs() {
    let content = Content {
        zipf_s: 1.0,
        ..Content::default()
    };
    let plays = plays(&content, 1_000, 0);
    // The harmonic number of 1000 is 7.4855.
    for rank in [1_usize, 2, 10] {
        let expected = 100_000.0 / 7.4855 / rank as f64;
        let counted = plays[&(rank - 1)] as f64;
        assert!(
            (counted - expected).abs() < 4.0 * expected.sqrt(),
            "{rank}: {counted} {expected}"
        );
    }
    let popularity = Popularity::new(&content, 1_000);
    assert!((popularity.share(1) - 0.5 / 7.4855).abs() < 1e-5);
    assert!(((0..1_000).map(|item| popularity.share(item)).sum::<f64>() - 1.0).abs() < 1e-9);
    assert_eq!(popularity.share(1_000), 0.0);
    assert_eq!(Popularity::new(&content, 0).pick(0, 1), None);
    assert_eq!(Popularity::new(&content, 3).pick(0, u64::MAX), Some(2));
}

#[test]
fn a_viral_item_takes_its_share_for_its_time() {
    let viral = Viral {
        item: 40,
        share: 0.8,
        from_s: 10,
        for_s: Some(5),
    };
    let content = Content {
        zipf_s: 0.0,
        viral: Some(viral),
        ..Content::default()
    };
    let share = |at_us| *plays(&content, 100, at_us).get(&40).unwrap() as f64 / 1e5;
    assert!((share(9_999_999) - 0.01).abs() < 0.003);
    assert!((share(10_000_000) - 0.802).abs() < 0.01);
    assert!((share(15_000_000) - 0.01).abs() < 0.003);
}

#[test]
fn random_numbers_are_even_and_stay_the_same() {
    let mut random = Random::new(1, 2, 3);
    let mut bins = [0_u32; 10];
    for _ in 0..100_000 {
        bins[random.below(10) as usize] += 1;
    }
    assert!(
        bins.iter().all(|count| count.abs_diff(10_000) < 400),
        "{bins:?}"
    );
    assert_eq!(random.below(0), 0);
    assert_eq!(random.between(5, 5), 5);
    assert_eq!(random.between(9, 3), 9);
    assert!((0..1_000).all(|_| (3..=9).contains(&random.between(3, 9))));
    assert_eq!(random.weighted([0.0, 0.0]), 0);
    assert!((0..1_000).all(|_| random.weighted([0.0, 1.0, 0.0]) == 1));
}
