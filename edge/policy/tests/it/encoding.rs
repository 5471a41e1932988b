//! RFC 9110 section 12.5.3.

use std::collections::HashSet;

use mcsp_edge_policy::encoding::{Accepted, normal};
use proptest::prelude::*;

use crate::headers;

#[test]
fn lists_in_their_one_form() {
    for (said, wanted) in [
        ("gzip, deflate, br, zstd", "br,gzip,zstd"),
        ("GZIP;q=1.0", "gzip"),
        ("br;q=0.5, gzip", "gzip,br;q=0.9"),
        ("zstd, br;q=0.5, gzip;q=0.25", "zstd,br;q=0.9,gzip;q=0.8"),
        ("", "identity"),
        ("deflate, foo", "identity"),
        ("gzip;q=0", "identity"),
        ("gzip, identity;q=0.5", "gzip,identity;q=0.9"),
        ("gzip, identity", "gzip,identity"),
        ("gzip;q=0.5, identity", "identity,gzip;q=0.9"),
        ("gzip, identity;q=0", "gzip,identity;q=0"),
        ("gzip, *;q=0", "gzip,identity;q=0"),
        ("*", "br,gzip,identity,zstd"),
        ("*;q=0.1, gzip", "gzip,br;q=0.9,identity;q=0.9,zstd;q=0.9"),
        ("*;q=0", "identity;q=0"),
        ("gzip;q=x, br;level=1, zstd;q=1;q=1", "identity"),
        ("gzip;q=0.2, x-gzip;q=0.9, br;q=0.5", "gzip,br;q=0.9"),
    ] {
        let said = headers(&[&format!("Accept-Encoding: {said}")]);
        assert_eq!(normal(&said).as_deref(), Some(wanted), "{said:?}");
    }
    assert_eq!(normal(&headers(&[])), None);
    let lines = headers(&["Accept-Encoding: gzip", "Accept-Encoding: br"]);
    assert_eq!(normal(&lines).as_deref(), Some("br,gzip"));
}

#[test]
fn what_is_taken() {
    for (said, coding, wanted) in [
        ("gzip", "gzip", true),
        ("gzip", "X-GZIP", true),
        ("gzip", "br", false),
        ("gzip, br", "gzip, br", true),
        ("gzip", "gzip, br", false),
        ("gzip, deflate", "deflate", false),
        ("gzip", "", true),
        ("gzip, identity;q=0", "", false),
        ("br;q=0, *", "br", false),
    ] {
        let accepted = Accepted::of(&headers(&[&format!("Accept-Encoding: {said}")])).unwrap();
        let response = headers(&[&format!("Content-Encoding: {coding}")]);
        assert_eq!(accepted.takes(&response), wanted, "{said} / {coding}");
    }
}

/// However clients write it, a response has no more variants than these.
#[test]
fn there_are_few_forms() {
    let weights = ["-", "0", "0.2", "0.4", "0.6", "1"];
    let mut forms = HashSet::new();
    for number in 0..weights.len().pow(5) {
        let mut rest = number;
        let mut list = String::new();
        for name in ["br", "gzip", "identity", "zstd", "*"] {
            let weight = weights[rest % weights.len()];
            rest /= weights.len();
            if weight != "-" {
                list = format!("{list}{name};q={weight}, ");
            }
        }
        forms.insert(normal(&headers(&[&format!("Accept-Encoding: {list}")])).unwrap());
    }
    assert!(forms.len() <= 200, "{}", forms.len());
}

proptest! {
    #[test]
    fn the_form_is_its_own(
        list in "((br|gzip|zstd|identity|deflate|x-gzip|\\*)(;q=(0|1|0\\.[0-9]{1,3}))?,? ?){0,6}",
    ) {
        let form = normal(&headers(&[&format!("Accept-Encoding: {list}")])).unwrap();
        let again = normal(&headers(&[&format!("Accept-Encoding: {form}")])).unwrap();
        prop_assert_eq!(&form, &again, "{}", list);
        prop_assert!(form.len() < 64);
    }
}
