//! `CDN-Loop` (RFC 8586).

use http::HeaderMap;
use mcsp_edge_policy::cdn_loop::{CDN_LOOP, Member};

fn said(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(&CDN_LOOP, line.parse().unwrap());
    }
    headers
}

#[test]
fn a_request_that_was_here_is_known_by_name_and_run() {
    let own = Member::new("1.los1.mcsp-edge", "5f").unwrap();
    assert_eq!(own.value(), "1.los1.mcsp-edge; run=5f");
    for (lines, has_passed) in [
        (&[][..], false),
        (&["1.los1.mcsp-edge; run=5f"], true),
        (&["1.LOS1.mcsp-edge;run=5f"], true),
        (&["1.los1.mcsp-edge"], true),
        (&["1.los1.mcsp-edge; of=me"], true),
        (&["1.los1.mcsp-edge; run=60"], false),
        (&["other, 1.los1.mcsp-edge; run=5f ,"], true),
        (&["other", "1.los1.mcsp-edge; run=5f"], true),
        (&["2.los1.mcsp-edge; run=5f"], false),
        (&["x; a=\"1.los1.mcsp-edge, 1.los1.mcsp-edge\""], false),
    ] {
        assert_eq!(own.has_passed(&said(lines)), has_passed, "{lines:?}");
    }
}

#[test]
fn what_is_no_field_is_no_member() {
    assert_eq!(Member::new("a\r\nb", "1"), None);
}
