//! Folders that can be used.

use std::path::Path;

use mcsp_pop_config::{CountryCode, PopSet, Trust};

#[test]
fn the_manifests_of_the_repository_load() {
    let set = PopSet::load_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pops"))
        .expect("our own manifests");
    let ids: Vec<_> = set.iter().map(|pop| pop.id.as_str()).collect();
    assert_eq!(ids, ["abv1", "lhr1", "los1"]);
    assert_eq!(set.len(), 3);

    let los1 = set.get("los1").expect("Lagos");
    assert_eq!(los1.country, CountryCode::NIGERIA);
    assert_eq!(los1.trust, Trust::Own);
    assert_eq!(los1.base_urls[0].as_str(), "https://localhost:8441/");
    assert_eq!(set.get("lhr1").expect("London").region, "global-london");

    let nigerian: Vec<_> = set
        .in_country("NG")
        .iter()
        .map(|pop| pop.id.as_str())
        .collect();
    assert_eq!(nigerian, ["abv1", "los1"]);
    assert!(set.in_country("ng").is_empty());
    assert!(set.get("../los1").is_none());
}

#[test]
fn regions_are_found_by_id_and_by_the_code_in_ids() {
    let set = PopSet::load_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pops"))
        .expect("our own manifests");
    assert_eq!(set.regions().len(), 2);
    let lagos = set.region("ng-lagos").expect("Lagos");
    assert_eq!(lagos.country.as_str(), "NG");
    assert_eq!(
        set.region_by_code("ng".parse().expect("a code")),
        Some(lagos)
    );
    assert_eq!(set.region_by_code("xx".parse().expect("a code")), None);
}

#[test]
fn keys_that_sign_are_held_by_our_own_at_home_in_the_region_only() {
    let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                   [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";
    let pop = |id: &str, country: &str, trust: &str, region: &str| {
        format!(
            "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = 0.0\nlongitude = 0.0\n\
             trust = {trust:?}\nregion = {region:?}\nbase_urls = [\"https://{id}.example\"]\n"
        )
    };
    let pops = [
        ("abv1", pop("abv1", "NG", "partner", "ng-lagos")),
        ("acc1", pop("acc1", "GH", "own", "ng-lagos")),
        ("lhr1", pop("lhr1", "GB", "own", "global-london")),
        ("los1", pop("los1", "NG", "own", "ng-lagos")),
        ("los2", pop("los2", "NG", "own", "global-london")),
    ];
    let set = PopSet::from_toml(regions, pops.iter().map(|(id, text)| (*id, text.as_str())))
        .expect("a set");
    let holders = |region: &str| -> Vec<&str> {
        set.iter()
            .map(|pop| pop.id.as_str())
            .filter(|pop| set.holds_signing_keys(pop, region))
            .collect()
    };
    assert_eq!(holders("ng-lagos"), ["los1"]);
    assert_eq!(holders("global-london"), ["lhr1"]);
    assert!(holders("nowhere").is_empty());
    assert!(!set.holds_signing_keys("nowhere", "ng-lagos"));
}

#[test]
fn what_may_be_left_out_has_its_default() {
    let set =
        PopSet::from_toml(super::faults::REGIONS, [("los1", super::faults::POP)]).expect("a set");
    let pop = set.get("los1").expect("a PoP");
    assert_eq!(pop.fallback_rank, 100);
    assert!(pop.footprints.is_empty());
}

#[test]
fn other_files_and_hidden_ones_are_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let write =
        |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    write("regions.toml", super::faults::REGIONS);
    write("los1.toml", super::faults::POP);
    write("README.md", "no TOML");
    write(".los1.toml", "an editor's leavings");
    assert_eq!(PopSet::load_dir(folder.path()).expect("a set").len(), 1);
}
