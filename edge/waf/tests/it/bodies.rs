//! Request bodies of every kind, and response bodies.

use std::io::Read as _;
use std::path::Path;

use mcsp_edge_waf::{
    AuditEvent, Beyond, Limits, Loader, Outcome, Policy, RulesConfig, Transaction,
};

use crate::support::{begin, client, environment, ids_of_body, rules};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn bodies_become_arguments() {
    let rule = |name: &str, value: &str| {
        format!(r#"SecRule ARGS_POST:{name} "@streq {value}" "id:1,phase:2,pass""#)
    };
    let table: [(&str, &str, &str, &[u8]); 5] = [
        (FORM, "a", "b c", b"x=1&a=b+c"),
        (
            "application/json; charset=utf-8",
            "json.a.b",
            "c",
            br#"{"a":{"b":"c"}}"#,
        ),
        ("application/vnd.api+json", "json.array_1", "2", b"[1,2]"),
        (
            "multipart/form-data; boundary=X",
            "a",
            "b",
            b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--X--\r\n",
        ),
        (
            "multipart/form-data; boundary=X",
            "a",
            "b",
            b"--X\r\r\nContent-Disposition: form-data; name=\"a\"\r\r\n\r\r\nb\r\n--X--\r\n",
        ),
    ];
    for (content_type, name, value, body) in table {
        assert_eq!(
            ids_of_body(&rule(name, value), content_type, body),
            vec![1],
            "{content_type}"
        );
    }
}

/// What no rule would be run on any more, if it were read.
#[test]
fn long_names_around_many_values_are_a_body_that_cannot_be_read() {
    let rules = r#"
        SecRule REQBODY_ERROR "@eq 1" "id:1,phase:2,pass"
        SecRule ARGS|ARGS_NAMES "@contains attack" "id:2,phase:2,pass,t:urlDecodeUni,t:lowercase"
    "#;
    let body = format!(
        r#"{{"{}":["attack"{}]}}"#,
        "Na%6De".repeat(5_600),
        ",1".repeat(990)
    );
    assert_eq!(
        ids_of_body(rules, "application/json", body.as_bytes()),
        vec![1, 2]
    );
}

#[test]
fn a_file_that_some_take_for_a_field_is_one_too() {
    let rule = r#"SecRule ARGS_POST:a "@streq b" "id:1,phase:2,pass""#;
    for (file_name, is_field) in [
        ("; filename=\"\"", true),
        ("; filename*=UTF-8''x", true),
        ("; filename=\"\"; filename*=UTF-8''x", true),
        ("; filename=\"x\"", false),
    ] {
        let body = format!(
            "--X\r\nContent-Disposition: form-data; name=\"a\"{file_name}\r\n\r\nb\r\n--X--\r\n"
        );
        let ids = ids_of_body(rule, "multipart/form-data; boundary=X", body.as_bytes());
        assert_eq!(!ids.is_empty(), is_field, "{file_name}");
    }
    let rule = r#"SecRule FILES_NAMES "@streq a" "id:1,phase:2,pass""#;
    let body = b"--X\r\nContent-Disposition: form-data; name=a; filename=\"\"\r\n\r\n\r\n--X--\r\n";
    assert_eq!(
        ids_of_body(rule, "multipart/form-data; boundary=X", body),
        vec![1]
    );
}

#[test]
fn two_types_are_a_body_that_cannot_be_read() {
    let rule = r#"SecRule REQBODY_ERROR "@eq 1" "id:1,phase:2,pass""#;
    for (second, is_error) in [("application/json", false), ("text/plain", true)] {
        let mut transaction = begin(rule, "/");
        transaction.request_header(b"Content-Type", second.as_bytes());
        transaction.request_header(b"content-type", b"application/json");
        transaction.request_head_done();
        transaction.request_body(b"{}");
        transaction.request_body_done();
        assert_eq!(transaction.finish().is_some(), is_error, "{second}");
    }
}

#[test]
fn xml_text_and_attributes_are_apart() {
    let body = b"<a b='attribute'>te<c/>xt</a>";
    let ids = |target: &str, value: &str| {
        ids_of_body(
            &format!(r#"SecRule {target} "@streq {value}" "id:1,phase:2,pass""#),
            "text/xml",
            body,
        )
    };
    assert_eq!(ids("XML:/*", "text"), vec![1]);
    assert_eq!(ids("XML://@*", "attribute"), vec![1]);
    assert_eq!(ids("XML:/*", "attribute"), Vec::<u64>::new());
    let excluded = r#"
        SecRule XML:/*|XML://@* "@streq attribute" "id:1,phase:2,pass"
        SecRuleUpdateTargetById 1 "!XML://@*"
    "#;
    assert_eq!(ids_of_body(excluded, "text/xml", body), Vec::<u64>::new());
}

#[test]
fn uploads_show_names_sizes_and_headers() {
    let body = b"--X\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a;b.php\"\r\nContent-Type: text/plain\r\n\r\n12345\r\n--X--\r\n";
    let table = [
        r#"SecRule FILES "@streq a;b.php" "id:1,phase:2,pass""#,
        r#"SecRule FILES_NAMES "@streq f" "id:1,phase:2,pass""#,
        r#"SecRule FILES_SIZES "@eq 5" "id:1,phase:2,pass""#,
        r#"SecRule FILES_COMBINED_SIZE "@eq 5" "id:1,phase:2,pass""#,
        r#"SecRule MULTIPART_PART_HEADERS:f "@streq Content-Type: text/plain" "id:1,phase:2,pass""#,
        r#"SecRule MULTIPART_STRICT_ERROR "@eq 0" "id:1,phase:2,pass""#,
        r#"SecRule &ARGS_POST "@eq 0" "id:1,phase:2,pass""#,
    ];
    for text in table {
        assert_eq!(
            ids_of_body(text, "multipart/form-data; boundary=X", body),
            vec![1],
            "{text}"
        );
    }
}

#[test]
fn what_a_processor_cannot_read_is_an_error_that_rules_see() {
    let text = r#"SecRule REQBODY_ERROR "!@eq 0" "id:1,phase:2,pass,msg:'%{REQBODY_ERROR_MSG}'""#;
    let table: [(&str, &[u8]); 5] = [
        ("application/json", b"{\"a\":"),
        ("text/xml", b"<a>"),
        ("multipart/form-data; boundary=X", b"--X\r\nno end"),
        ("multipart/form-data", b"x"),
        (
            "multipart/form-data; boundary=X",
            b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n",
        ),
    ];
    for (content_type, body) in table {
        assert_eq!(
            ids_of_body(text, content_type, body),
            vec![1],
            "{content_type}"
        );
    }
    assert_eq!(
        ids_of_body(text, "application/json", b"{}"),
        Vec::<u64>::new()
    );
}

#[test]
fn oddities_of_forms_are_flags() {
    let table: [(&str, &str, &[u8]); 5] = [
        (
            "MULTIPART_LF_LINE",
            "multipart/form-data; boundary=X",
            b"--X\nContent-Disposition: form-data; name=\"a\"\n\nb\n--X--\n",
        ),
        (
            "MULTIPART_DATA_BEFORE",
            "multipart/form-data; boundary=X",
            b"x\r\n--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--X--\r\n",
        ),
        (
            "MULTIPART_BOUNDARY_QUOTED",
            "multipart/form-data; boundary=\"X\"",
            b"--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--X--\r\n",
        ),
        (
            "MULTIPART_INVALID_QUOTING",
            "multipart/form-data; boundary=X",
            b"--X\r\nContent-Disposition: form-data; name='a'\r\n\r\nb\r\n--X--\r\n",
        ),
        (
            "MULTIPART_INVALID_PART",
            "multipart/form-data; boundary=X",
            b"--X\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nb\r\n--X--\r\n",
        ),
    ];
    for (flag, content_type, body) in table {
        let text = format!(
            r#"SecRule {flag} "@eq 1" "id:1,phase:2,pass,chain"
            SecRule MULTIPART_STRICT_ERROR "@eq 1""#
        );
        assert_eq!(ids_of_body(&text, content_type, body), vec![1], "{flag}");
    }
}

#[test]
fn the_raw_body_is_there_where_no_processor_takes_it_apart() {
    let text = r#"SecRule REQUEST_BODY "@contains b" "id:1,phase:2,pass""#;
    let forced =
        format!("SecAction \"id:2,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n{text}");
    assert_eq!(ids_of_body(text, FORM, b"a=b"), vec![1]);
    assert_eq!(ids_of_body(text, "text/plain", b"a=b"), Vec::<u64>::new());
    assert_eq!(ids_of_body(&forced, "text/plain", b"a=b"), vec![1]);
}

#[test]
fn response_bodies_are_read_in_phase_four() {
    let mut transaction = begin(
        r#"SecRule RESPONSE_BODY "@contains secret" "id:1,phase:4,deny""#,
        "/",
    );
    transaction.request_head_done();
    transaction.request_body_done();
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", b"text/html");
    transaction.response_head_done();
    assert!(transaction.wants_response_body());
    transaction.response_body(b"a sec");
    transaction.response_body(b"ret");
    assert!(matches!(
        transaction.response_body_done(),
        mcsp_edge_waf::Outcome::Block(_)
    ));
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzEncoder::new(text, flate2::Compression::fast())
        .read_to_end(&mut out)
        .unwrap();
    out
}

/// An answer with these fields and this body, in pieces, under a rule that refuses a secret.
fn answered(limits: Limits, codings: &[&str], body: &[u8]) -> (Outcome, AuditEvent) {
    let rules = rules(r#"SecRule RESPONSE_BODY "@contains secret" "id:1,phase:4,deny""#);
    let mut transaction = Transaction::new(&rules, &environment(limits), client());
    transaction.request_line(b"GET", b"/", b"HTTP/1.1");
    transaction.request_head_done();
    transaction.request_body_done();
    transaction.response_line(200, b"HTTP/1.1");
    transaction.response_header(b"Content-Type", b"text/html");
    for coding in codings {
        transaction.response_header(b"content-encoding", coding.as_bytes());
    }
    transaction.response_head_done();
    assert!(transaction.wants_response_body());
    let mut outcome = Outcome::Pass;
    for piece in body.chunks(7) {
        if outcome == Outcome::Pass {
            outcome = transaction.response_body(piece);
        }
    }
    if outcome == Outcome::Pass {
        outcome = transaction.response_body_done();
    }
    (outcome, transaction.finish_aloud())
}

fn patient() -> Limits {
    Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    }
}

/// Whoever asks for an answer in gzip would get past every rule about answers otherwise.
#[test]
fn response_bodies_are_read_in_their_codings() {
    let leak = gzip(b"it is a secret");
    let is_blocked = |codings: &[&str], body: &[u8]| {
        let (outcome, event) = answered(patient(), codings, body);
        assert_eq!(event.body_error, None, "{codings:?}");
        matches!(outcome, Outcome::Block(_))
    };
    assert!(is_blocked(&["gzip"], &leak));
    assert!(is_blocked(&["X-GZIP"], &leak));
    assert!(is_blocked(&["identity", "gzip, identity"], &leak));
    assert!(is_blocked(&["identity"], b"it is a secret"));
    assert!(!is_blocked(&["gzip"], &gzip(b"nothing")));
    // An answer to HEAD has the field and no body.
    assert!(!is_blocked(&["gzip"], b""));
}

#[test]
fn a_response_that_cannot_be_read_is_told_and_refused_where_that_is_wanted() {
    let leak = gzip(b"it is a secret");
    for (codings, body) in [
        (&["gzip"][..], &b"it is a secret"[..]),
        (&["gzip"], &leak[3..]),
        (&["exi"], &leak),
        (&["gzip, gzip"], &leak),
        (&["gzip", "br"], &leak),
    ] {
        let (outcome, event) = answered(patient(), codings, body);
        assert_eq!(outcome, Outcome::Pass, "{codings:?}");
        assert!(event.body_cut && event.body_error.is_some(), "{codings:?}");
        let strict = Limits {
            beyond: Beyond::Reject,
            ..patient()
        };
        let (outcome, _) = answered(strict, codings, body);
        assert!(matches!(outcome, Outcome::Block(_)), "{codings:?}");
    }
}

#[test]
fn what_a_response_decodes_to_is_bounded_as_others_are() {
    let limits = Limits {
        response_body_bytes_max: 1000,
        ..patient()
    };
    let long = |at: usize| {
        let mut text = vec![b'a'; 100_000];
        text[at..at + 6].copy_from_slice(b"secret");
        gzip(&text)
    };
    let (outcome, event) = answered(limits.clone(), &["gzip"], &long(500));
    assert!(matches!(outcome, Outcome::Block(_)) && event.body_cut);
    let (outcome, event) = answered(limits, &["gzip"], &long(2000));
    assert!(outcome == Outcome::Pass && event.body_cut);
}

#[test]
fn a_body_that_nothing_reads_is_not_wanted() {
    let wants = |rules: &str, content_type: &str| {
        let mut transaction = begin(rules, "/");
        transaction.request_header(b"Content-Type", content_type.as_bytes());
        transaction.request_head_done();
        transaction.wants_request_body()
    };
    let rule = r#"SecRule ARGS "@contains x" "id:1,phase:2,pass""#;
    assert!(wants(rule, FORM) && wants(rule, "application/json"));
    assert!(!wants(rule, "video/mp4"));
    let forced =
        format!("SecAction \"id:2,phase:1,pass,nolog,ctl:forceRequestBodyVariable=On\"\n{rule}");
    assert!(wants(&forced, "video/mp4"));
    let length = r#"SecAction "id:1,phase:2,pass,chain"
        SecRule REQUEST_BODY_LENGTH "@gt 10""#;
    assert!(wants(length, "video/mp4"));
    let removed = format!("SecAction \"id:2,phase:1,pass,nolog,ctl:ruleRemoveById=1\"\n{length}");
    assert!(!wants(&removed, "video/mp4"));
}

const JSON: &str = "application/json";
const MULTIPART: &str = "multipart/form-data; boundary=X";

#[test]
fn what_rules_cannot_look_into_is_refused_by_a_nodes_own() {
    let ids = |content_type: &str, body: &[u8]| {
        ids_of_body(&RulesConfig::default().settings(), content_type, body)
    };
    let hidden = "<script>";
    let part = |head: &str, value: &str| format!("--X\r\n{head}\r\n\r\n{value}\r\n");
    let named = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"");
    let file = format!("{}; filename=\"f\"", named("b"));
    let table: [(u64, &str, String); 16] = [
        (2, JSON, format!("{{\"a\":1,,\"x\":\"{hidden}\"}}")),
        (2, JSON, format!("{{\"a\":NaN,\"x\":\"{hidden}\"}}")),
        (2, JSON, format!("{{}}\n{{\"x\":\"{hidden}\"}}")),
        (2, JSON, format!("/**/{{\"x\":\"{hidden}\"}}")),
        (
            2,
            JSON,
            format!(
                "{{\"a\":{}{},\"x\":\"{hidden}\"}}",
                "[".repeat(65),
                "]".repeat(65)
            ),
        ),
        (2, JSON, "{\0\"\0x\0\"\0:\0\"\0a\0\"\0}\0".to_owned()),
        (2, "text/xml", format!("<a><b></a>{hidden}")),
        (2, MULTIPART, part("no colon", "1")),
        (2, MULTIPART, part(&named("a"), hidden)),
        (2, "multipart/form-data", part(&named("a"), hidden)),
        (
            3,
            MULTIPART,
            part("Content-Disposition: form-data; nam=\"a\"", hidden) + "--X--\r\n",
        ),
        (
            3,
            MULTIPART,
            part(&format!("{}\r\n{file}", named("a")), hidden) + "--X--\r\n",
        ),
        (
            3,
            MULTIPART,
            part(&named("a"), "1") + "--X--\r\n" + &part(&named("b"), hidden) + "--X--\r\n",
        ),
        (
            3,
            MULTIPART,
            format!("{hidden}\r\n") + &part(&named("a"), "1") + "--X--\r\n",
        ),
        (
            3,
            MULTIPART,
            part("Content-Disposition: form-data; name='a'", "1") + "--X--\r\n",
        ),
        (
            3,
            "multipart/form-data; boundary= X",
            part(&named("a"), "1") + "--X--\r\n",
        ),
    ];
    for (rule, content_type, body) in table {
        assert_eq!(
            ids(content_type, body.as_bytes()),
            [rule],
            "{content_type} {body}"
        );
    }
    for (content_type, body) in [
        (JSON, "{\"a\":[1,2]}".to_owned()),
        (JSON, "\u{feff}{}".to_owned()),
        (JSON, String::new()),
        ("text/xml", "<a/>".to_owned()),
        (FORM, "a=%zz&b".to_owned()),
        (MULTIPART, part(&file, "1") + "--X--\r\n"),
        (
            "multipart/form-data; boundary=\"X\"",
            part(&named("a"), "1") + "--X--\r\n",
        ),
        ("text/plain", "{".to_owned()),
    ] {
        assert!(
            ids(content_type, body.as_bytes()).is_empty(),
            "{content_type} {body}"
        );
    }
}

#[test]
fn a_head_with_more_than_is_looked_at_is_refused_by_a_nodes_own_rules() {
    let policy = Policy::plain(&crate::support::rules(&RulesConfig::default().settings()));
    let refused = |query: &str, fields: &[(&str, &str)]| {
        let limits = Limits {
            arguments_max: 4,
            headers_max: 4,
            ..Limits::default()
        };
        let mut transaction = Transaction::under(&policy, &environment(limits), client());
        transaction.request_line(b"GET", format!("/?{query}").as_bytes(), b"HTTP/1.1");
        for (name, value) in fields {
            transaction.request_header(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(transaction.request_head_done(), Outcome::Pass);
        transaction.request_body(b"a=b");
        transaction.request_body_done();
        let event = transaction.finish();
        event.is_some_and(|event| event.matches.iter().any(|found| found.id == 2))
    };
    assert!(!refused(
        "a&b&c&d",
        &[("Cookie", "a=1;b;c;d"), ("x", "1"), ("y", "2")]
    ));
    assert!(refused("a&b&c&d&e&f", &[]));
    assert!(refused("", &[("Cookie", "a=1;b;c;d;e=<script>")]));
    assert!(refused(
        "",
        &[
            ("a", ""),
            ("b", ""),
            ("c", ""),
            ("d", ""),
            ("Cookie", "x=<script>")
        ]
    ));
}

/// More than is looked at is no error of the body: what is within is inspected, and the rest is as configured.
#[test]
fn more_than_is_looked_at_is_handled_as_configured() {
    let mut loader = Loader::new();
    let settings = RulesConfig::default().settings();
    let rule = r#"SecRule ARGS "@contains bad" "id:100,phase:2,pass""#;
    for text in [settings.as_str(), rule] {
        loader
            .text("t", text.as_bytes(), Path::new("."))
            .expect("rules");
    }
    let policy = Policy::plain(&loader.compile().expect("rules"));
    let asked = |beyond: Beyond, query: &str, content_type: &str, body: &str| {
        let limits = Limits {
            arguments_max: 4,
            parts_max: 2,
            request_body_bytes_max: 400,
            beyond,
            ..Limits::default()
        };
        let mut transaction = Transaction::under(&policy, &environment(limits), client());
        transaction.request_line(b"POST", format!("/?{query}").as_bytes(), b"HTTP/1.1");
        transaction.request_header(b"Content-Type", content_type.as_bytes());
        let mut outcome = transaction.request_head_done();
        if outcome == Outcome::Pass {
            transaction.request_body(body.as_bytes());
            outcome = transaction.request_body_done();
        }
        (outcome, transaction.finish().expect("an event"))
    };
    let part = "--X\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nbad\r\n";
    for (query, content_type, body) in [
        ("", JSON, r#"["bad",1,2,3,4]"#.to_owned()),
        ("", FORM, "a=bad&b&c&d&e".to_owned()),
        ("", MULTIPART, format!("{part}{part}{part}--X--\r\n")),
        ("", JSON, format!("[\"bad\",\"{}\"]", "a".repeat(400))),
    ] {
        let (outcome, event) = asked(Beyond::Pass, query, content_type, &body);
        assert_eq!(outcome, Outcome::Pass, "{query} {body}");
        assert!(event.body_cut && event.body_error.is_none(), "{event:?}");
        let ids: Vec<u64> = event.matches.iter().map(|found| found.id).collect();
        assert_eq!(ids, [100], "{query} {body}");
        let (outcome, _) = asked(Beyond::Reject, query, content_type, &body);
        assert!(
            matches!(outcome, Outcome::Block(block) if block.status == 413),
            "{query} {body}"
        );
    }
}
