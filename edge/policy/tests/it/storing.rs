//! RFC 9111 section 3: what is stored.

use http::{HeaderMap, Method, StatusCode};
use mcsp_edge_policy::age::Exchange;
use mcsp_edge_policy::store::{Candidate, Refusal, SetCookie, StorePlan, StoreRules, decide};

use crate::{NOW_MS, dated, headers};

pub(crate) const TARGET: &str = "https://example.org/a";

/// An exchange to be decided about; a plain GET answered 200 at once, unless said otherwise.
pub(crate) struct Case {
    pub(crate) method: Method,
    pub(crate) status: u16,
    pub(crate) request: Vec<String>,
    pub(crate) response: Vec<String>,
    pub(crate) rules: StoreRules,
}

impl Case {
    pub(crate) fn answered(response: &[&str]) -> Self {
        Self {
            method: Method::GET,
            status: 200,
            request: vec![],
            response: response.iter().map(ToString::to_string).collect(),
            rules: StoreRules::default(),
        }
    }

    pub(crate) fn with_date(mut self, name: &str, offset_s: i64) -> Self {
        self.response.push(dated(name, offset_s));
        self
    }

    fn asked(mut self, request: &[&str]) -> Self {
        self.request = request.iter().map(ToString::to_string).collect();
        self
    }

    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    pub(crate) fn rules(mut self, change: impl FnOnce(&mut StoreRules)) -> Self {
        change(&mut self.rules);
        self
    }

    fn map(lines: &[String]) -> HeaderMap {
        headers(&lines.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn decide(&self) -> Result<StorePlan, Refusal> {
        let candidate = Candidate {
            method: &self.method,
            target_uri: TARGET,
            request: &Self::map(&self.request),
            status: StatusCode::from_u16(self.status).unwrap(),
            response: &Self::map(&self.response),
            exchange: Exchange {
                request_ms: NOW_MS,
                response_ms: NOW_MS,
            },
        };
        decide(&candidate, &self.rules)
    }
}

#[test]
fn what_is_refused() {
    let fresh = |lines: &[&str]| {
        let mut case = Case::answered(lines);
        case.response.push("Cache-Control: max-age=60".into());
        case
    };
    let rows: Vec<(&str, Case, Option<Refusal>)> = vec![
        ("3", fresh(&[]), None),
        (
            "5.2.2.5",
            fresh(&["Cache-Control: no-store"]),
            Some(Refusal::NoStore),
        ),
        (
            "5.2.2.5, RFC 9213",
            fresh(&["CDN-Cache-Control: no-store"]),
            Some(Refusal::NoStore),
        ),
        (
            "RFC 9213 2.2",
            fresh(&["Cache-Control: no-store", "CDN-Cache-Control: max-age=9"]),
            None,
        ),
        (
            "5.2.2.7",
            fresh(&["Cache-Control: private"]),
            Some(Refusal::Private),
        ),
        (
            "5.2.2.7: fields only",
            fresh(&[r#"Cache-Control: private="a""#]),
            None,
        ),
        (
            "5.2.1.5",
            fresh(&[]).asked(&["Cache-Control: no-store"]),
            Some(Refusal::RequestNoStore),
        ),
        (
            "5.2.1.5: not on a route that does not listen",
            fresh(&[])
                .asked(&["Cache-Control: no-store"])
                .rules(|rules| rules.honours_request = false),
            None,
        ),
        (
            "3.5",
            fresh(&[]).asked(&["Authorization: x"]),
            Some(Refusal::Authorization),
        ),
        (
            "3.5: public",
            fresh(&["Cache-Control: public"]).asked(&["Authorization: x"]),
            None,
        ),
        (
            "3.5: must-revalidate",
            fresh(&["Cache-Control: must-revalidate"]).asked(&["Authorization: x"]),
            None,
        ),
        (
            "3.5: s-maxage",
            fresh(&["Cache-Control: s-maxage=5"]).asked(&["Authorization: x"]),
            None,
        ),
        (
            "3.5: proxy-revalidate is not enough",
            fresh(&["Cache-Control: proxy-revalidate"]).asked(&["Authorization: x"]),
            Some(Refusal::Authorization),
        ),
        (
            "7.3: cookies of the client",
            fresh(&[]).asked(&["Cookie: a=b"]),
            None,
        ),
        (
            "7.3: cookies of the origin",
            fresh(&["Set-Cookie: a=b"]),
            None,
        ),
        (
            "7.3: cookies for all",
            fresh(&["Set-Cookie: a=b", "Cache-Control: public"]),
            None,
        ),
        (
            "7.3: cookies for shared caches",
            fresh(&["Set-Cookie: a=b", "Cache-Control: s-maxage=5"]),
            None,
        ),
        (
            "7.3: cookies for caches like this one",
            fresh(&["Set-Cookie: a=b", "CDN-Cache-Control: max-age=5"]),
            None,
        ),
        (
            "7.3: cookies for all, of a lifetime that is guessed",
            Case::answered(&[
                "Set-Cookie: a=b",
                "Cache-Control: public",
                "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT",
            ]),
            Some(Refusal::SetCookie),
        ),
        (
            "5.2.2.7: cookies that are not kept",
            fresh(&["Set-Cookie: a=b", r#"Cache-Control: private="set-cookie""#]),
            None,
        ),
        (
            "7.3: cookies stored",
            fresh(&["Set-Cookie: a=b"]).rules(|rules| rules.set_cookie = SetCookie::Store),
            None,
        ),
        (
            "7.3: cookies refused",
            fresh(&["Set-Cookie: a=b"]).rules(|rules| rules.set_cookie = SetCookie::Refuse),
            Some(Refusal::SetCookie),
        ),
        ("4.1: *", fresh(&["Vary: Foo, *"]), Some(Refusal::VaryStar)),
        (
            "4.1: absurd",
            fresh(&["Vary: a b"]),
            Some(Refusal::VaryAbsurd),
        ),
        (
            "3: neither lifetime nor validator",
            Case::answered(&[]),
            Some(Refusal::NoLifetime),
        ),
        (
            "3: over, no validator",
            Case::answered(&["Cache-Control: max-age=0"]),
            Some(Refusal::NoLifetime),
        ),
        (
            "3: over, with a validator",
            Case::answered(&["Cache-Control: max-age=0", "ETag: \"a\""]),
            None,
        ),
        (
            "RFC 5861 4: over, but good for failures",
            Case::answered(&["Cache-Control: max-age=0, stale-if-error=9"]),
            None,
        ),
        (
            "4.2.4: over, and not good for failures",
            Case::answered(&["Cache-Control: max-age=0, must-revalidate, stale-if-error=9"]),
            Some(Refusal::NoLifetime),
        ),
        (
            "3: what only the route allows is no reason",
            Case::answered(&[]).rules(|rules| rules.stale_if_error_s = 60),
            Some(Refusal::NoLifetime),
        ),
        (
            "5.2.2.4: no validator",
            fresh(&["Cache-Control: no-cache"]),
            Some(Refusal::NoLifetime),
        ),
        (
            "5.2.2.4: with a validator",
            fresh(&["Cache-Control: no-cache", "ETag: \"a\""]),
            None,
        ),
        (
            "5.4: Pragma says nothing",
            fresh(&["Pragma: no-cache"]),
            None,
        ),
    ];
    for (rule, case, expected) in rows {
        assert_eq!(case.decide().err(), expected, "{rule}");
    }
}

#[test]
fn methods() {
    let by = |method: &str, lines: &[&str]| Case {
        method: method.parse().unwrap(),
        ..Case::answered(lines)
    };
    let fresh = "Cache-Control: max-age=60";
    let rows = [
        ("GET", by("GET", &[fresh]), None),
        (
            "HEAD: has no content",
            by("HEAD", &[fresh]),
            Some(Refusal::Method),
        ),
        ("OPTIONS", by("OPTIONS", &[fresh]), Some(Refusal::Method)),
        (
            "PUT",
            by("PUT", &[fresh, "Content-Location: /a"]),
            Some(Refusal::Method),
        ),
        (
            "RFC 9110 9.3.3",
            by("POST", &[fresh, "Content-Location: /a"]),
            None,
        ),
        (
            "RFC 9110 9.3.3: absolute",
            by("POST", &[fresh, "Content-Location: https://example.org/a"]),
            None,
        ),
        (
            "RFC 9110 9.3.3: of another resource",
            by("POST", &[fresh, "Content-Location: /b"]),
            Some(Refusal::Method),
        ),
        (
            "RFC 9110 9.3.3: of none",
            by("POST", &[fresh]),
            Some(Refusal::Method),
        ),
        (
            "RFC 9110 9.3.3: only with explicit freshness",
            by("POST", &["ETag: \"a\"", "Content-Location: /a"]),
            Some(Refusal::Method),
        ),
        (
            "RFC 9110 9.3.3: only 200",
            by("POST", &[fresh, "Content-Location: /a"]).status(201),
            Some(Refusal::Method),
        ),
    ];
    for (rule, case, expected) in rows {
        assert_eq!(case.decide().err(), expected, "{rule}");
    }
}

#[test]
fn what_is_kept_with_it() {
    let case = Case::answered(&[
        r#"Cache-Control: max-age=60, stale-while-revalidate=5, no-cache="a, b", private=c"#,
        "Vary: Foo",
        "Set-Cookie: a=b",
    ])
    .rules(|rules| {
        rules.set_cookie = SetCookie::Strip;
        rules.stale_while_revalidate_s = 99;
        rules.stale_if_error_s = 30;
    });
    let plan = case.decide().unwrap();
    let strip: Vec<&str> = plan.strip.iter().map(http::HeaderName::as_str).collect();
    assert_eq!(
        strip,
        ["a", "b", "c", "set-cookie"],
        "5.2.2.4, 5.2.2.7, 7.3"
    );
    assert_eq!(plan.vary.names(), ["foo"]);
    let freshness = plan.freshness;
    assert_eq!(
        freshness.stale_while_revalidate_ms, 5_000,
        "RFC 5861: the origin's word goes first"
    );
    assert_eq!(
        freshness.stale_if_error_ms, 30_000,
        "4.2.4: else the route's"
    );
    assert!(!freshness.always_validate && !freshness.never_stale);
}

#[test]
fn who_forbids_staleness() {
    let rows = [
        ("5.2.2.2", "must-revalidate", true, false),
        ("5.2.2.8", "proxy-revalidate", true, false),
        ("5.2.2.10", "s-maxage=60", true, false),
        ("5.2.2.4", "no-cache", false, true),
        ("nobody", "public", false, false),
    ];
    for (rule, directive, never_stale, always_validate) in rows {
        let line = format!("Cache-Control: max-age=60, {directive}");
        let case = Case::answered(&[&line, "ETag: \"a\""]);
        let freshness = case.decide().unwrap().freshness;
        assert_eq!(
            (freshness.never_stale, freshness.always_validate),
            (never_stale, always_validate),
            "{rule}"
        );
    }
}

#[test]
fn refusals_are_tokens() {
    for refusal in [
        Refusal::Method,
        Refusal::RequestNoStore,
        Refusal::VaryAbsurd,
        Refusal::NoLifetime,
    ] {
        assert!(
            refusal
                .to_string()
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        );
    }
}
