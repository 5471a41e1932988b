//! RFC 9111 section 4.2.1: how long what is stored is fresh.

use mcsp_edge_policy::freshness::Basis::{
    Expires, Heuristic, MaxAge, Negative, None as Nothing, Route, SMaxAge,
};
use mcsp_edge_policy::freshness::{Basis, Freshness};

use crate::NOW_MS;
use crate::storing::Case;

fn plan(case: &Case) -> Freshness {
    case.decide().unwrap().freshness
}

#[test]
fn lifetimes() {
    let ok = |lines: &[&str]| Case::answered(lines).with_date("Date", 0);
    let old = |seconds: i64| ok(&[]).with_date("Last-Modified", -seconds);
    let rows: Vec<(&str, Case, Basis, i64)> = vec![
        (
            "4.2.1: s-maxage",
            ok(&["Cache-Control: max-age=1, s-maxage=5"]).with_date("Expires", 9),
            SMaxAge,
            5,
        ),
        (
            "4.2.1: s-maxage, reversed",
            ok(&["Cache-Control: s-maxage=5", "Cache-Control: max-age=9"]),
            SMaxAge,
            5,
        ),
        (
            "4.2.1: max-age",
            ok(&["Cache-Control: max-age=5"]).with_date("Expires", 9),
            MaxAge,
            5,
        ),
        (
            "4.2.1: max-age and a past Expires",
            ok(&["Cache-Control: max-age=5", "Expires: 0"]),
            MaxAge,
            5,
        ),
        (
            "4.2.1: Expires",
            ok(&[]).with_date("Expires", 9),
            Expires,
            9,
        ),
        (
            "4.2.1: Expires minus Date",
            Case::answered(&[])
                .with_date("Date", -10)
                .with_date("Expires", 10),
            Expires,
            20,
        ),
        (
            "4.2.1: Date ahead",
            Case::answered(&[])
                .with_date("Date", 10)
                .with_date("Expires", 20),
            Expires,
            10,
        ),
        (
            "4.2.1: a bad Date",
            Case::answered(&["Date: foo"]).with_date("Expires", 10),
            Expires,
            10,
        ),
        (
            "5.3: in RFC 850 form",
            ok(&["Expires: Sunday, 22-Nov-26 12:00:07 GMT"]),
            Expires,
            7,
        ),
        (
            "RFC 9213 2.2: Expires does not count",
            ok(&["CDN-Cache-Control: max-age=5", "Expires: 0"]),
            MaxAge,
            5,
        ),
        (
            "RFC 9213 2.2: Cache-Control does not count",
            ok(&[
                "CDN-Cache-Control: max-age=5",
                "Cache-Control: no-store, s-maxage=9",
            ]),
            MaxAge,
            5,
        ),
        ("4.2.2: a tenth", old(1_000), Heuristic, 100),
        ("4.2.2: a day at most", old(86_400 * 365), Heuristic, 86_400),
        (
            "4.2.2: by the rule's share",
            old(1_000).rules(|rules| rules.heuristic_percent = 50),
            Heuristic,
            500,
        ),
        (
            "4.2.2: modified after Date",
            ok(&["Cache-Control: public"]).with_date("Last-Modified", 5),
            Nothing,
            0,
        ),
        (
            "4.2.1: a bad max-age is no reason to guess",
            ok(&["Cache-Control: max-age=x"]).with_date("Last-Modified", -9_000),
            MaxAge,
            0,
        ),
        (
            "route: a default",
            ok(&[]).rules(|rules| rules.default_lifetime_s = Some(30)),
            Route,
            30,
        ),
        (
            "route: the origin goes first",
            ok(&["Cache-Control: max-age=5"]).rules(|rules| rules.default_lifetime_s = Some(30)),
            MaxAge,
            5,
        ),
        (
            "route: a bound",
            ok(&["Cache-Control: max-age=500"]).rules(|rules| rules.lifetime_max_s = Some(30)),
            MaxAge,
            30,
        ),
        (
            "route: a default is not for errors",
            ok(&["ETag: \"a\""])
                .status(404)
                .rules(|rules| rules.default_lifetime_s = Some(30)),
            Nothing,
            0,
        ),
        (
            "route: errors for a moment",
            ok(&[])
                .status(404)
                .rules(|rules| rules.negative_lifetime_s = 5),
            Negative,
            5,
        ),
        (
            "route: a bound for errors",
            ok(&["Cache-Control: max-age=500"])
                .status(404)
                .rules(|rules| rules.negative_max_s = Some(10)),
            MaxAge,
            10,
        ),
        (
            "route: the lower of two bounds",
            ok(&["Cache-Control: max-age=500"])
                .status(404)
                .rules(|rules| {
                    rules.negative_max_s = Some(10);
                    rules.lifetime_max_s = Some(7);
                }),
            MaxAge,
            7,
        ),
        (
            "route: errors within the other bound",
            ok(&["Cache-Control: max-age=500"])
                .status(404)
                .rules(|rules| rules.lifetime_max_s = Some(7)),
            MaxAge,
            7,
        ),
    ];
    for (rule, case, basis, lifetime_s) in rows {
        let freshness = plan(&case);
        assert_eq!(
            (freshness.basis, freshness.lifetime_ms),
            (basis, lifetime_s * 1_000),
            "{rule}"
        );
        assert_eq!(
            freshness.basis.is_explicit(),
            matches!(basis, SMaxAge | MaxAge | Expires),
            "{rule}"
        );
    }
}

/// Stored with a validator, but stale at once.
#[test]
fn lifetimes_that_are_over() {
    let rows = [
        (
            "4.2.1: max-age=0 and a future Expires",
            Case::answered(&["Cache-Control: max-age=0"]).with_date("Expires", 3_600),
        ),
        ("5.3: now", Case::answered(&[]).with_date("Expires", 0)),
        (
            "5.3: before Date, both ahead",
            Case::answered(&[])
                .with_date("Date", 400)
                .with_date("Expires", 300),
        ),
        ("5.3: 0", Case::answered(&["Expires: 0"])),
        (
            "5.3: another zone",
            Case::answered(&["Expires: Thu, 18 Aug 2050 02:01:18 UTC"]),
        ),
        (
            "5.3: two lines, the first bad",
            Case::answered(&["Expires: x", "Expires: Thu, 18 Aug 2050 02:01:18 GMT"]),
        ),
        (
            "4.2.3: Age is greater",
            Case::answered(&["Cache-Control: max-age=3600", "Age: 7200"]),
        ),
        (
            "4.2.3: Age is greater, Date slow",
            Case::answered(&["Age: 25"])
                .with_date("Date", -10)
                .with_date("Expires", 10),
        ),
        (
            "4.2.3: Age is greater, Date fast",
            Case::answered(&["Age: 15"])
                .with_date("Date", 10)
                .with_date("Expires", 20),
        ),
        (
            "4.2.3: apparent age",
            Case::answered(&["Cache-Control: max-age=3600"]).with_date("Date", -7_200),
        ),
        (
            "RFC 9213: Age counts",
            Case::answered(&["CDN-Cache-Control: max-age=3600", "Age: 7200"]),
        ),
    ];
    for (rule, mut case) in rows {
        case.response.push("ETag: \"a\"".into());
        assert!(!plan(&case).is_fresh(NOW_MS), "{rule}");
    }
}

/// RFC 5861: what the origin allows it allows; what the route adds is not for errors, which would outlive what they told of.
#[test]
fn errors_stand_in_for_failures_only_where_their_origin_says_so() {
    let windows = |status: u16, life: &str| {
        let case = Case::answered(&[life]).status(status).rules(|rules| {
            rules.stale_if_error_s = 86_400;
            rules.stale_while_revalidate_s = 60;
        });
        let freshness = plan(&case);
        (
            freshness.stale_if_error_ms,
            freshness.stale_while_revalidate_ms,
        )
    };
    assert_eq!(
        windows(200, "Cache-Control: max-age=1"),
        (86_400_000, 60_000)
    );
    assert_eq!(windows(404, "Cache-Control: max-age=1"), (0, 0));
    assert_eq!(windows(503, "Cache-Control: max-age=1"), (0, 0));
    let said = "Cache-Control: max-age=1, stale-if-error=5, stale-while-revalidate=3";
    assert_eq!(windows(404, said), (5_000, 3_000));
}
