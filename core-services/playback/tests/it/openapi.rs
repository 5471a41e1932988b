//! The committed OpenAPI document is the code's. `MCSP_WRITE_OPENAPI=1` writes it anew.

use std::path::Path;

use mcsp_core_services_playback::openapi;

#[test]
fn the_committed_document_is_the_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let generated = openapi().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("MCSP_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "openapi.json is out of date; run this test with MCSP_WRITE_OPENAPI=1"
    );
}
