//! All PoPs and regions, read and checked together.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use ipnet::IpNet;
use mcsp_api::RegionCode;
use serde::de::DeserializeOwned;

use crate::fault::{Fault, Faults, PopConfigError};
use crate::manifest::{PopManifest, RawManifest, Trust};
use crate::region::{RawRegions, RegionConfig};

/// The file that lists the regions.
pub const REGIONS_FILE: &str = "regions.toml";
/// The largest file that is read, bytes.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most files a folder may hold.
pub const FILES_MAX: usize = 10_000;

/// Every PoP by id, and every region. Immutable: a new configuration is a new set.
#[derive(Debug, Clone, PartialEq)]
pub struct PopSet {
    pops: BTreeMap<String, PopManifest>,
    regions: Vec<RegionConfig>,
}

impl PopSet {
    /// Reads `regions.toml` and every other `*.toml` in the folder. Blocks.
    ///
    /// # Errors
    /// [`PopConfigError`] with every fault of every file.
    pub fn load_dir(dir: impl AsRef<Path>) -> Result<Self, PopConfigError> {
        let dir = dir.as_ref();
        let mut found = Vec::new();
        let texts = read_texts(dir, &mut found);
        if !found.is_empty() {
            return Err(PopConfigError { faults: found });
        }
        let Some(regions) = texts.get(REGIONS_FILE) else {
            Faults::of(&dir.display().to_string(), &mut found)
                .whole(format!("there is no {REGIONS_FILE}"));
            return Err(PopConfigError { faults: found });
        };
        let pops = texts
            .iter()
            .filter(|(name, _)| *name != REGIONS_FILE)
            .map(|(name, text)| (name.trim_end_matches(".toml"), text.as_str()));
        Self::from_toml(regions, pops)
    }

    /// Reads texts that are in memory: that of `regions.toml`, and each PoP's id with the text of its file.
    ///
    /// # Errors
    /// [`PopConfigError`] with every fault of every text.
    pub fn from_toml<'a>(
        regions: &str,
        pops: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, PopConfigError> {
        let mut found = Vec::new();
        let mut faults = Faults::of(REGIONS_FILE, &mut found);
        let regions = parse::<RawRegions>(regions, &mut faults).map(|raw| raw.check(&mut faults));
        let mut set = Self {
            pops: BTreeMap::new(),
            regions: regions.unwrap_or_default(),
        };
        let mut networks: BTreeMap<IpNet, String> = BTreeMap::new();
        for (stem, text) in pops {
            let file = format!("{stem}.toml");
            let mut faults = Faults::of(&file, &mut found);
            let Some(pop) = parse::<RawManifest>(text, &mut faults)
                .and_then(|raw| raw.check(stem, &mut faults))
            else {
                continue;
            };
            if set.region(&pop.region).is_none() {
                let known: Vec<_> = set
                    .regions
                    .iter()
                    .map(|region| region.id.as_str())
                    .collect();
                faults.value(
                    "region",
                    &pop.region,
                    format!("one of {REGIONS_FILE}: {}", known.join(", ")),
                );
            }
            for (place, network) in pop.footprints.iter().enumerate() {
                if let Some(other) = networks.insert(*network, pop.id.clone()) {
                    faults.value(
                        format!("footprints[{place}]"),
                        network,
                        format!("a network that is listed once; {other} has it too"),
                    );
                }
            }
            if set.pops.contains_key(&pop.id) {
                faults.value("id", &pop.id, "an id that no other PoP has");
            }
            set.pops.insert(pop.id.clone(), pop);
        }
        if found.is_empty() {
            Ok(set)
        } else {
            Err(PopConfigError { faults: found })
        }
    }

    /// The PoP with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&PopManifest> {
        self.pops.get(id)
    }

    /// Every PoP, by id.
    pub fn iter(&self) -> impl Iterator<Item = &PopManifest> {
        self.pops.values()
    }

    /// How many PoPs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pops.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pops.is_empty()
    }

    /// The PoPs in the country with this ISO 3166-1 alpha-2 code, by id.
    #[must_use]
    pub fn in_country(&self, country: &str) -> Vec<&PopManifest> {
        self.iter()
            .filter(|pop| pop.country.as_str() == country)
            .collect()
    }

    /// Every region, in the order of the file.
    #[must_use]
    pub fn regions(&self) -> &[RegionConfig] {
        &self.regions
    }

    /// The region with this id, such as `ng-lagos`.
    #[must_use]
    pub fn region(&self, id: &str) -> Option<&RegionConfig> {
        self.regions.iter().find(|region| region.id == id)
    }

    /// Do this PoP's nodes hold the HMAC keys of media URLs of the region, with which they could sign for its content?
    /// Only our own do, in the region's country, that follow the region's feed: such keys never leave their region. All
    /// others verify by public keys.
    #[must_use]
    pub fn holds_signing_keys(&self, pop: &str, region: &str) -> bool {
        let (Some(pop), Some(region)) = (self.get(pop), self.region(region)) else {
            return false;
        };
        pop.trust == Trust::Own && pop.region == region.id && pop.country == region.country
    }

    /// The home region of what bears this code in its id.
    #[must_use]
    pub fn region_by_code(&self, code: RegionCode) -> Option<&RegionConfig> {
        self.regions.iter().find(|region| region.code == code)
    }
}

/// The parser's own message points at line and column and names the key, the value's type and what was expected.
fn parse<T: DeserializeOwned>(text: &str, faults: &mut Faults<'_>) -> Option<T> {
    toml::from_str(text)
        .map_err(|error| faults.whole(error.to_string().trim_end()))
        .ok()
}

fn read_texts(dir: &Path, found: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let folder = dir.display().to_string();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            Faults::of(&folder, found).whole(format!("cannot be read: {error}"));
            return texts;
        }
    };
    for entry in entries.take(FILES_MAX + 1) {
        let name = match entry {
            Ok(entry) => entry.file_name().to_string_lossy().into_owned(),
            Err(error) => {
                Faults::of(&folder, found).whole(format!("cannot be read: {error}"));
                return texts;
            }
        };
        if !name.ends_with(".toml") || name.starts_with('.') {
            continue;
        }
        match read_text(&dir.join(&name)) {
            Ok(text) => {
                texts.insert(name, text);
            }
            Err(reason) => Faults::of(&name, found).whole(reason),
        }
    }
    if texts.len() > FILES_MAX {
        Faults::of(&folder, found).whole(format!("holds more than {FILES_MAX} files"));
    }
    texts
}

fn read_text(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = fs::File::open(path).map_err(cannot)?;
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}
