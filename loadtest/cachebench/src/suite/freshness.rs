//! How long a stored answer is fresh (RFC 9111 §4.2), and what `Age` says (§5.1).

use super::storing::{LAST_MODIFIED, cc, kept, not_kept, ok};
use super::{Row, Step};
use crate::origin::{Answer, with_dates};

pub(super) fn rows() -> Vec<Row> {
    let mut rows = lives();
    rows.extend(parsing());
    rows.extend(expires());
    rows.extend(ages());
    rows
}

fn lives() -> Vec<Row> {
    const S: &str = "RFC 9111 §4.2.1";
    vec![
        kept(
            S,
            "s-maxage goes before max-age, longer",
            cc("max-age=0, s-maxage=60"),
        ),
        not_kept(
            S,
            "s-maxage goes before max-age, shorter",
            cc("max-age=60, s-maxage=0"),
        ),
        kept(
            S,
            "max-age goes before Expires, longer",
            ok(&[("Cache-Control", "max-age=60"), ("Expires", "{date:-60}")]),
        ),
        not_kept(
            S,
            "max-age goes before Expires, shorter",
            ok(&[("Cache-Control", "max-age=0"), ("Expires", "{date:60}")]),
        ),
        Row::steps(
            "RFC 9111 §4.2",
            "what has outlived max-age is forwarded",
            vec![
                Step::get().answer(cc("max-age=1")).forwarded(),
                Step::get().hit().number(1),
                Step::get().after_ms(2100).forwarded().number(2),
            ],
        ),
        kept(
            "RFC 9111 §4.2.2",
            "a tenth of the time since Last-Modified is a life",
            ok(&[LAST_MODIFIED]),
        ),
        not_kept(
            "RFC 9111 §4.2.2",
            "what was modified just now has next to no life",
            ok(&[("Last-Modified", "{date:0}"), ("Age", "1")]),
        ),
        kept(
            "RFC 9111 §4.2.2",
            "public and Last-Modified make an unlisted status cacheable",
            Answer::new(599).with_all(&[("Cache-Control", "public"), LAST_MODIFIED]),
        ),
    ]
}

fn parsing() -> Vec<Row> {
    const S: &str = "RFC 9111 §5.2";
    vec![
        kept(S, "names of directives have no case", cc("MaX-aGe=60")),
        kept(S, "an argument may be quoted", cc("max-age=\"60\"")),
        kept(S, "an argument may have zeros in front", cc("max-age=0060")),
        not_kept(
            "RFC 9111 §4.2.1",
            "of two max-age neither the later nor the longer counts",
            cc("max-age=0, max-age=60"),
        ),
        not_kept(
            "RFC 9111 §4.2.1",
            "max-age that is no number is stale",
            cc("max-age=abc"),
        ),
        not_kept(
            "RFC 9111 §4.2.1",
            "a negative max-age is stale",
            cc("max-age=-60"),
        ),
        kept(
            "RFC 9111 §1.2.2",
            "a max-age beyond 2^31 is long",
            cc("max-age=9999999999"),
        ),
        kept(
            "RFC 9111 §1.2.2",
            "a max-age beyond 2^64 is long",
            cc("max-age=99999999999999999999999"),
        ),
        not_kept(
            S,
            "a quoted string is not a list of directives",
            cc("foo=\"max-age=60\""),
        ),
    ]
}

fn expires() -> Vec<Row> {
    const S: &str = "RFC 9111 §5.3";
    let expires = |value: &str| ok(&[("Expires", value)]);
    // RFC 9110 §5.6.7 has two obsolete forms that recipients must know.
    let soon = with_dates("{date:3600}");
    let words: Vec<String> = soon
        .split([' ', ','])
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let mut rows = vec![
        not_kept(S, "Expires: 0 is the past", expires("0")),
        not_kept(S, "Expires: -1 is the past", expires("-1")),
        not_kept(S, "an Expires that is no date is the past", expires("soon")),
        not_kept(S, "an Expires of the past is stale", expires("{date:-60}")),
        not_kept(
            S,
            "Expires counts from Date",
            ok(&[("Date", "{date:-7200}"), ("Expires", "{date:-3600}")]),
        ),
    ];
    if let [day, date, month, year, time, _] = words.as_slice() {
        let long_day = match day.as_str() {
            "Mon" => "Monday",
            "Tue" => "Tuesday",
            "Wed" => "Wednesday",
            "Thu" => "Thursday",
            "Fri" => "Friday",
            "Sat" => "Saturday",
            _ => "Sunday",
        };
        let short_year = &year[2..];
        let asctime_date = format!("{:>2}", date.trim_start_matches('0'));
        rows.push(kept(
            "RFC 9110 §5.6.7",
            "Expires in RFC 850's form",
            expires(&format!(
                "{long_day}, {date}-{month}-{short_year} {time} GMT"
            )),
        ));
        rows.push(kept(
            "RFC 9110 §5.6.7",
            "Expires in asctime's form",
            expires(&format!("{day} {month} {asctime_date} {time} {year}")),
        ));
    }
    rows
}

fn ages() -> Vec<Row> {
    const S: &str = "RFC 9111 §4.2.3";
    let aged = |age: &str| ok(&[("Cache-Control", "max-age=60"), ("Age", age)]);
    vec![
        not_kept(S, "an Age beyond max-age is stale on arrival", aged("61")),
        Row::steps(
            S,
            "the Age that came goes on growing",
            vec![
                Step::get().answer(aged("30")).forwarded(),
                Step::get().after_ms(2100).hit().age(32, 34),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.1",
            "a hit has an Age",
            vec![
                Step::get().answer(cc("max-age=60")).forwarded(),
                Step::get().after_ms(1100).hit().age(1, 3),
            ],
        ),
        not_kept(
            S,
            "a Date of long ago counts as age",
            ok(&[("Cache-Control", "max-age=60"), ("Date", "{date:-120}")]),
        ),
        Row::steps(
            S,
            "the larger of Age and Date's age counts",
            vec![
                Step::get()
                    .answer(
                        ok(&[("Cache-Control", "max-age=600"), ("Date", "{date:-100}")])
                            .with("Age", "30"),
                    )
                    .forwarded(),
                Step::get().hit().age(100, 103),
            ],
        ),
        Row::steps(
            S,
            "the time the origin took counts as age",
            vec![
                Step::get()
                    .answer(cc("max-age=1").after_ms(2100))
                    .forwarded(),
                Step::get().answer(cc("max-age=1")).forwarded(),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.1",
            "an Age that is no number is ignored",
            vec![
                Step::get().answer(aged("abc")).forwarded(),
                Step::get().hit().age(0, 2),
            ],
        ),
        Row::steps(
            "RFC 9111 §5.1",
            "of several Ages the first counts",
            vec![
                Step::get()
                    .answer(ok(&[
                        ("Cache-Control", "max-age=60"),
                        ("Age", "5"),
                        ("Age", "90"),
                    ]))
                    .forwarded(),
                Step::get().hit().age(5, 7),
            ],
        ),
        Row::steps(
            "RFC 9110 §6.6.1",
            "a hit keeps the origin's Date",
            vec![
                Step::get()
                    .answer(ok(&[
                        ("Cache-Control", "max-age=60"),
                        ("Date", "{date:-5}"),
                    ]))
                    .forwarded(),
                Step::get().after_ms(1100).hit().age(6, 8),
            ],
        ),
    ]
}
