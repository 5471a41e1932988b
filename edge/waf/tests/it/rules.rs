//! What rules do: targets, chains, variables, flow and decisions.

use mcsp_edge_waf::{Beyond, Limits, Outcome, Transaction};

use crate::support::{begin, client, environment, ids, rules};

#[test]
fn targets_select_exclude_and_count() {
    let table = [
        (r#"SecRule ARGS "@streq x" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS:b "@streq x" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS:B "@streq x" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS:a "@streq x" "id:1,phase:1,pass""#, false),
        (
            r#"SecRule ARGS|!ARGS:b "@streq x" "id:1,phase:1,pass""#,
            false,
        ),
        (
            r#"SecRule ARGS|!ARGS:/^B$/ "@streq x" "id:1,phase:1,pass""#,
            false,
        ),
        (r#"SecRule ARGS:/^b/ "@streq x" "id:1,phase:1,pass""#, true),
        (r#"SecRule &ARGS "@eq 2" "id:1,phase:1,pass""#, true),
        (r#"SecRule &ARGS:c "@eq 0" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS_NAMES "@streq b" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS "!@streq x" "id:1,phase:1,pass""#, true),
        (r#"SecRule ARGS:b "!@streq x" "id:1,phase:1,pass""#, false),
        (
            r#"SecRule REQUEST_BASENAME "@streq p.txt" "id:1,phase:1,pass""#,
            true,
        ),
        (
            r#"SecRule REQUEST_FILENAME "@streq /d/p.txt" "id:1,phase:1,pass""#,
            true,
        ),
        (
            r#"SecRule QUERY_STRING "@streq a=1&b=x" "id:1,phase:1,pass""#,
            true,
        ),
        (
            r#"SecRule REMOTE_ADDR "@ipMatch 192.0.2.0/24" "id:1,phase:1,pass""#,
            true,
        ),
        (
            r#"SecRule GEO:COUNTRY_CODE "@streq NG" "id:1,phase:1,pass""#,
            true,
        ),
        (r#"SecRule TIME_EPOCH "@eq 1" "id:1,phase:1,pass""#, true),
        (
            r#"SecRule RESPONSE_STATUS "@eq 200" "id:1,phase:3,pass""#,
            true,
        ),
    ];
    for (text, expected) in &table {
        assert_eq!(
            ids(text, "/d%2Fp.txt?a=1&b=x") == vec![1],
            *expected,
            "{text}"
        );
    }
}

#[test]
fn chains_match_as_a_whole_and_see_what_matched_before() {
    let text = r#"
        SecRule ARGS "@rx ^(\w)(\w)$" "id:1,phase:1,pass,capture,chain,msg:'%{TX.1}-%{MATCHED_VAR_NAME}'"
            SecRule MATCHED_VARS "@streq zz" "chain"
            SecRule TX:1 "@streq %{TX.2}"
    "#;
    assert_eq!(ids(text, "/?a=zz"), vec![1]);
    assert_eq!(ids(text, "/?a=yy"), Vec::<u64>::new());
    assert_eq!(ids(text, "/?a=z"), Vec::<u64>::new());
}

#[test]
fn variables_count_by_match_and_by_computed_name() {
    let text = r#"
        SecRule ARGS_NAMES "@rx ." "id:1,phase:1,nolog,pass,setvar:'tx.seen_%{MATCHED_VAR}=+1',setvar:tx.sum=+2"
        SecRule TX:/^seen_/ "@gt 1" "id:2,phase:1,pass"
        SecRule TX:sum "@eq 6" "id:3,phase:1,pass,setvar:'!tx.sum'"
        SecRule &TX:sum "@eq 0" "id:4,phase:1,pass"
    "#;
    assert_eq!(ids(text, "/?a=1&a=2&b=3"), vec![2, 3, 4]);
    assert_eq!(ids(text, "/?a=1&b=2"), Vec::<u64>::new());
}

#[test]
fn flow_skips_to_markers_and_past_rules() {
    let text = r#"
        SecRule ARGS:a "@eq 1" "id:1,phase:1,pass,nolog,skipAfter:END"
        SecAction "id:2,phase:1,pass"
        SecMarker END
        SecRule ARGS:a "@eq 2" "id:3,phase:1,pass,nolog,skip:1"
        SecAction "id:4,phase:1,pass"
        SecAction "id:5,phase:1,pass"
    "#;
    assert_eq!(ids(text, "/?a=1"), vec![4, 5]);
    assert_eq!(ids(text, "/?a=2"), vec![2, 5]);
}

#[test]
fn rules_and_targets_are_removed_for_one_transaction() {
    let text = r#"
        SecRule ARGS:off "@eq 1" "id:1,phase:1,pass,nolog,ctl:ruleRemoveById=5-6"
        SecRule ARGS:off "@eq 2" "id:2,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=t;ARGS:q"
        SecRule ARGS:off "@eq 3" "id:3,phase:1,pass,nolog,ctl:ruleEngine=Off"
        SecRule ARGS "@streq bad" "id:5,phase:2,pass,tag:'t'"
        SecRule ARGS "@streq bad" "id:7,phase:2,pass"
    "#;
    assert_eq!(ids(text, "/?q=bad&off=0"), vec![5, 7]);
    assert_eq!(ids(text, "/?q=bad&off=1"), vec![7]);
    assert_eq!(ids(text, "/?q=bad&off=2"), vec![7]);
    assert_eq!(ids(text, "/?q=bad&off=3"), Vec::<u64>::new());
}

#[test]
fn directives_change_rules_that_were_read() {
    let text = r#"
        SecRule ARGS "@streq bad" "id:5,phase:1,pass,tag:'t'"
        SecRule ARGS "@streq bad" "id:6,phase:1,pass"
        SecRuleUpdateTargetById 5 "!ARGS:q"
        SecRuleRemoveById 6
        SecRuleUpdateActionById 5 "deny,status:418"
    "#;
    assert_eq!(ids(text, "/?q=bad"), Vec::<u64>::new());
    let mut transaction = begin(text, "/?r=bad");
    let Outcome::Block(block) = transaction.request_head_done() else {
        panic!("not blocked")
    };
    assert_eq!((block.status, block.rule), (418, 5));
}

#[test]
fn blocking_ends_the_request_and_detecting_does_not() {
    let text = r#"
        SecDefaultAction "phase:1,log,deny,status:403"
        SecRule ARGS "@streq bad" "id:1,phase:1,block,t:lowercase,severity:CRITICAL,logdata:'%{MATCHED_VAR_NAME}'"
        SecAction "id:2,phase:2,pass"
    "#;
    let mut transaction = begin(text, "/?q=BAD");
    assert!(matches!(transaction.request_head_done(), Outcome::Block(_)));
    assert!(!transaction.wants_request_body());
    assert!(matches!(transaction.request_body_done(), Outcome::Block(_)));
    let event = transaction.finish().unwrap();
    assert!(event.enforced && event.block.is_some());
    assert_eq!(event.matches.len(), 1);
    assert_eq!(
        (event.matches[0].data.as_str(), event.matches[0].severity),
        ("ARGS:q", Some(2))
    );
    assert_eq!(event.matches[0].location, "test.conf:3:9");

    let detecting = format!("SecRuleEngine DetectionOnly\n{text}");
    let mut transaction = begin(&detecting, "/?q=BAD");
    assert_eq!(transaction.request_head_done(), Outcome::Pass);
    assert_eq!(transaction.request_body_done(), Outcome::Pass);
    let event = transaction.finish().unwrap();
    assert!(!event.enforced && event.block.is_some());
    assert!(serde_json::to_string(&event).unwrap().contains("\"id\":1"));
}

#[test]
fn multi_match_looks_between_the_steps() {
    let text = |more: &str| {
        format!(r#"SecRule ARGS "@contains %41" "id:1,phase:1,pass,t:none,t:urlDecode{more}""#)
    };
    assert_eq!(ids(&text(""), "/?a=%2541"), Vec::<u64>::new());
    assert_eq!(ids(&text(",multiMatch"), "/?a=%2541"), vec![1]);
}

#[test]
fn counters_outlive_a_transaction_and_expire() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog,initcol:ip=%{REMOTE_ADDR}"
        SecAction "id:2,phase:1,pass,nolog,setvar:ip.count=+1,expirevar:ip.count=60"
        SecRule IP:COUNT "@gt 2" "id:3,phase:1,pass"
    "#;
    let (set, environment) = (rules(text), environment(Limits::default()));
    let seen: Vec<usize> = [0, 0, 0, 61_000]
        .into_iter()
        .map(|later_ms| {
            let mut client = client();
            client.now_ms += later_ms;
            let mut transaction = Transaction::new(&set, &environment, client);
            transaction.request_head_done();
            transaction.matches().len()
        })
        .collect();
    assert_eq!(seen, vec![0, 0, 1, 0]);
}

#[test]
fn bodies_beyond_the_limit_are_cut_or_refused_and_reported() {
    let text = r#"SecRule ARGS_POST "@contains end" "id:1,phase:2,pass""#;
    for (beyond, refused) in [(Beyond::Pass, false), (Beyond::Reject, true)] {
        let limits = Limits {
            request_body_bytes_max: 8,
            beyond,
            ..Limits::default()
        };
        let mut transaction = Transaction::new(&rules(text), &environment(limits), client());
        transaction.request_header(b"Content-Type", b"application/x-www-form-urlencoded");
        transaction.request_head_done();
        let outcome = transaction.request_body(b"a=123456789end");
        assert_eq!(
            matches!(outcome, Outcome::Block(ref block) if block.status == 413),
            refused
        );
        transaction.request_body_done();
        let event = transaction.finish().unwrap();
        assert!(event.body_cut && event.matches.is_empty());
    }
}

#[test]
fn what_a_connection_tells_can_be_asked() {
    let text = r#"
        SecRule TX:ja4 "@rx ^t13d" "id:1,phase:1,pass"
        SecRule TX:ASN "@eq 36873" "id:2,phase:1,pass"
        SecRule TX:network "@streq hosting" "id:3,phase:1,pass"
        SecRule TX:network "@rx ^$" "id:4,phase:1,pass"
    "#;
    assert_eq!(ids(text, "/"), vec![1, 2, 4]);
}

#[test]
fn numbers_of_the_transactions_own_are_compared() {
    let text = r#"
        SecAction "id:1,phase:1,pass,nolog,setvar:tx.level=2,setvar:tx.most=5"
        SecRule TX:level "@lt 3" "id:2,phase:1,pass"
        SecRule TX:level "!@lt 3" "id:3,phase:1,pass"
        SecRule TX:nothing "@eq 0" "id:4,phase:1,pass"
        SecRule TX:nothing "!@eq 0" "id:5,phase:1,pass"
        SecRule &TX:nothing "@eq 0" "id:6,phase:1,pass"
        SecRule &TX:level "@ge 1" "id:7,phase:1,pass"
        SecRule TX:level "@ge %{tx.most}" "id:8,phase:1,pass"
        SecRule TX:most "@ge %{tx.level}" "id:9,phase:1,pass"
        SecRule TX:level "@ge %{tx.nothing}" "id:10,phase:1,pass"
        SecRule TX:level "@eq 2" "id:11,phase:1,pass,nolog,skipAfter:FAR"
        SecAction "id:12,phase:1,pass"
        SecMarker FAR
        SecRule TX:level "@eq 3" "id:13,phase:1,pass,nolog,skip:1"
        SecRule TX:level "@eq 2" "id:14,phase:1,pass,chain"
            SecRule TX:most "@eq 5" "setvar:tx.level=3"
        SecRule TX:level "@eq 3" "id:15,phase:1,pass,t:length"
        SecRule TX:level "@eq 3" "id:16,phase:1,pass"
    "#;
    assert_eq!(ids(text, "/"), vec![2, 6, 7, 9, 10, 14, 16]);
}

#[test]
fn what_comes_later_is_looked_at_by_who_looked_before() {
    let text = r#"
        SecRule ARGS|REQUEST_HEADERS "@contains evil" "id:1,phase:1,pass,t:lowercase"
        SecRule ARGS|REQUEST_HEADERS "@contains evil" "id:2,phase:2,pass,t:lowercase"
        SecRule ARGS "@contains evil" "id:3,phase:2,pass,t:urlDecodeUni,t:lowercase,multiMatch"
        SecRule ARGS "@contains evil" "id:4,phase:2,pass,t:urlDecodeUni"
    "#;
    let seen = |body: &[u8]| {
        let mut transaction = begin(text, "/?q=Good");
        transaction.request_header(b"Content-Type", b"application/x-www-form-urlencoded");
        transaction.request_head_done();
        transaction.request_body(body);
        transaction.request_body_done();
        let found = transaction.finish_aloud();
        found
            .matches
            .iter()
            .map(|found| found.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(b"a=good&b=EVIL"), vec![2, 3]);
    assert_eq!(seen(b"a=good&b=%2565vil"), vec![3, 4]);
    assert_eq!(seen(b"a=good"), Vec::<u64>::new());
}
