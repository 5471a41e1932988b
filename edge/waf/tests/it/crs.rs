//! Where the OWASP Core Rule Set is on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_edge_waf::{RuleSet, RulesConfig, load_rules};

/// Where Debian's `modsecurity-crs` (3.3) puts its rules.
const DEBIAN: &str = "/usr/share/modsecurity-crs/rules";

/// Rule sets that are here: 4.25.1 of the folder that `MCSP_CRS_DIR` names, and Debian's. Says so where there is none.
#[allow(clippy::print_stderr)] // Why nothing was tried is for the person who ran the tests.
pub(crate) fn folders() -> Vec<PathBuf> {
    let named =
        std::env::var_os("MCSP_CRS_DIR").map(|folder| PathBuf::from(folder).join("rules-4.25.1"));
    let found: Vec<PathBuf> = named
        .into_iter()
        .chain([PathBuf::from(DEBIAN)])
        .filter(|folder| folder.is_dir())
        .collect();
    if found.is_empty() {
        eprintln!("skipped: neither MCSP_CRS_DIR nor Debian's modsecurity-crs is here");
    }
    found
}

/// The rules as a node loads them by default, at a paranoia level.
pub(crate) fn load(folder: &Path, paranoia: u8) -> Arc<RuleSet> {
    let config = RulesConfig {
        files: vec![folder.to_path_buf()],
        paranoia,
        ..RulesConfig::default()
    };
    load_rules(&config).expect("the Core Rule Set loads")
}

/// Whether a folder has 3.3's rules.
pub(crate) fn is_debians(folder: &Path) -> bool {
    folder == Path::new(DEBIAN)
}
