//! The cluster's PoP manifests, and the test database of countries by address.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::addresses::Addresses;
use crate::error::ClusterError;
use crate::topology::{Layout, POPS, REGIONS};

/// Loopback is where every viewer of a cluster is; parts of it stand for countries.
const COUNTRIES: [(&str, &str); 3] = [
    ("127.0.0.0/16", "NG"),
    ("127.1.0.0/16", "NG"),
    ("127.2.0.0/16", "GB"),
];

fn write_text(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(|source| ClusterError::file(path, source))
}

/// Writes the manifests, the regions and the countries.
pub(crate) fn write(layout: &Layout, addresses: &Addresses) -> Result<(), ClusterError> {
    let folder = layout.pops();
    fs::create_dir_all(&folder).map_err(|source| ClusterError::file(&folder, source))?;
    let mut regions = String::new();
    for region in &REGIONS {
        let (id, code, country) = (region.id, region.code, region.country);
        // Writing to a string cannot fail.
        let _ = writeln!(
            regions,
            "[[region]]\nid = \"{id}\"\ncode = \"{code}\"\ncountry = \"{country}\"\n"
        );
    }
    write_text(&folder.join("regions.toml"), &regions)?;
    for pop in &POPS {
        let text = format!(
            "id = \"{}\"\nname = \"{}\"\ncountry = \"{}\"\nlatitude = {:?}\nlongitude = {:?}\ntrust = \"own\"\n\
             region = \"{}\"\nbase_urls = [\"{}\"]\n",
            pop.id,
            pop.name,
            pop.country,
            pop.latitude,
            pop.longitude,
            pop.region,
            addresses.pop_url(pop.id),
        );
        write_text(&folder.join(format!("{}.toml", pop.id)), &text)?;
    }
    mcsp_geo::testdb::write_test_db(layout.countries(), &COUNTRIES)
        .map_err(|error| ClusterError::Broken(format!("the test database of countries: {error}")))
}
