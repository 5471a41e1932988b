//! Tests of the public suite that a cache is right to fail: what the RFCs say against them.

/// Required tests of releases up to 0.4.5 that no proxy can pass and keep to RFC 9111 as it was published: those releases
/// are of the time of its drafts. The suite has since turned their expectations round, so only the old ones are counted
/// apart, and only where a test still has the old one.
const OVERTAKEN: [(&str, &str); 13] = [
    ("age-parse-nonnumeric", NOT_A_NUMBER),
    ("age-parse-negative", NOT_A_NUMBER),
    ("age-parse-float", NOT_A_NUMBER),
    ("age-parse-parameter", NOT_A_NUMBER),
    ("age-parse-numeric-parameter", NOT_A_NUMBER),
    ("age-parse-prefix-twoline", FIRST_COUNTS),
    ("age-parse-dup-0", FIRST_COUNTS),
    ("age-parse-dup-0-twoline", FIRST_COUNTS),
    ("age-parse-dup-old", FIRST_COUNTS),
    ("stale-close-must-revalidate", OWN_ERROR),
    ("stale-close-proxy-revalidate", OWN_ERROR),
    ("stale-close-no-cache", OWN_ERROR),
    ("stale-close-s-maxage=2", OWN_ERROR),
];
const NOT_A_NUMBER: &str =
    "RFC 9111 §5.1: an Age that is no number is ignored; the test wants it to be stale";
const FIRST_COUNTS: &str =
    "RFC 9111 §5.1: of several Ages the first counts; the test wants them to be stale";
const OWN_ERROR: &str = "RFC 9111 §5.2.2.2: a disconnected cache answers 504; the test takes any answer that is not the origin's for a hit";

/// What the last request of an [`OVERTAKEN`] test expects while it is the old one.
const OLD_EXPECTATION: &str = "not_cached";

/// Tests that ask for what is better left.
const LEFT: [(&str, &str); 5] = [
    ("conditional-lm-fresh-no-lm", DATE_STANDS_IN),
    ("partial-store-partial-reuse-partial", SIX_IN_FIVE),
    ("partial-store-partial-reuse-partial-absent", SIX_IN_FIVE),
    ("partial-store-partial-reuse-partial-byterange", SIX_IN_FIVE),
    ("partial-store-partial-reuse-partial-suffix", SIX_IN_FIVE),
];
const DATE_STANDS_IN: &str = "RFC 9111 §4.3.2: without Last-Modified, Date stands in for it, and it is later than what the test asks about: 200";
const SIX_IN_FIVE: &str = "RFC 9110 §14.4: the test's Content-Range names six bytes and its body has five; which of them these are is not known, so they are not kept";

/// Why a required test with this last expectation is not counted among the required ones.
pub(super) fn overtaken(id: &str, kind: &str, last_expectation: &str) -> Option<&'static str> {
    if kind != super::KIND_REQUIRED || last_expectation != OLD_EXPECTATION {
        return None;
    }
    find(&OVERTAKEN, id)
}

/// Why a cache leaves a test unpassed.
pub(super) fn left(id: &str) -> Option<&'static str> {
    find(&LEFT, id)
}

fn find(table: &[(&str, &'static str)], id: &str) -> Option<&'static str> {
    let of_id = table.iter().find(|(known, _)| *known == id);
    of_id.map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_old_form_of_a_test_is_overtaken() {
        let id = "age-parse-float";
        assert!(overtaken(id, "required", "not_cached").is_some());
        assert_eq!(overtaken(id, "required", "cached"), None);
        assert_eq!(overtaken(id, "required", ""), None);
        // Asked and not demanded since.
        assert_eq!(
            overtaken("age-parse-parameter", "check", "not_cached"),
            None
        );
        assert_eq!(
            overtaken("freshness-max-age-0", "required", "not_cached"),
            None
        );
    }
}
