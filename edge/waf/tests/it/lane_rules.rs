//! What rules of one's own do to the lane for media.

use std::path::Path;
use std::sync::Arc;

use mcsp_edge_waf::{Exclusions, Loader, MediaHead, Mode, Policy};

use crate::lane::{Head, clears};
use crate::support::client;

/// Rules of one's own, and what they do to the lane.
#[test]
fn what_cannot_be_told_from_the_head_needs_every_rule() {
    let policy = |text: &str| {
        let mut loader = Loader::new();
        loader
            .text("t", text.as_bytes(), Path::new("."))
            .expect("rules");
        Policy::plain(&loader.compile().expect("rules"))
    };
    let asks = |text: &str, user_agent: &str| {
        clears(&policy(text), &Head::of(user_agent, "", "bytes=0-9"))
    };
    let deny = r#"SecRule REQUEST_HEADERS:User-Agent "@contains bad" "id:1,phase:1,deny""#;
    assert!(asks(deny, "good") && !asks(deny, "bad"));
    let pattern =
        r#"SecRule REQUEST_HEADERS:/^user-/ "@contains bad" "id:1,phase:2,t:lowercase,pass""#;
    assert!(asks(pattern, "good") && !asks(pattern, "BAD"));
    let excluded = r#"SecRule REQUEST_HEADERS|!REQUEST_HEADERS:User-Agent "@contains bad" "id:1,phase:1,deny""#;
    assert!(asks(excluded, "bad"));
    let missing = r#"SecRule &REQUEST_HEADERS:User-Agent "@eq 0" "id:1,phase:1,deny""#;
    assert!(asks(missing, "good") && !asks(missing, ""));
    let client = r#"SecRule REMOTE_ADDR "@ipMatch 192.0.2.0/24" "id:1,phase:1,deny""#;
    assert!(!asks(client, "good"));
    let elsewhere = r#"SecRule REMOTE_ADDR "@ipMatch 198.51.100.0/24" "id:1,phase:1,deny""#;
    assert!(asks(elsewhere, "good"));
    // What the connection tells.
    let fingerprint = r#"SecRule TX:ja4 "@beginsWith t13d1516h2_" "id:1,phase:1,deny""#;
    assert!(!asks(fingerprint, "good"));
    let other = r#"SecRule TX:ja4 "@beginsWith q13" "id:1,phase:1,deny""#;
    assert!(asks(other, "good"));
    let network = r#"SecRule TX:network "!@streq" "id:1,phase:1,deny""#;
    assert!(asks(network, "good"));
    let system = r#"SecRule TX:asn "@eq 36873" "id:1,phase:1,deny,chain"
        SecRule REQUEST_HEADERS:User-Agent "@contains bad""#;
    assert!(asks(system, "good") && !asks(system, "bad"));
    // A link that fails by what is fixed settles its chain; one that holds leaves it to the others.
    let never = r#"SecRule REQUEST_METHOD "@streq PUT" "id:1,phase:1,deny,chain"
        SecRule REQUEST_HEADERS:User-Agent "@contains bad""#;
    assert!(asks(never, "bad"));
    let held = r#"SecRule REQUEST_METHOD "@streq GET" "id:1,phase:1,deny,chain"
        SecRule REQUEST_HEADERS:User-Agent "@contains bad""#;
    assert!(asks(held, "good") && !asks(held, "bad"));
    // A match that others ask about counts, whether its own chain is whole or not.
    let told = r#"SecRule REQUEST_HEADERS:User-Agent "@contains bad" "id:1,phase:1,nolog,pass,setvar:tx.bad=1,chain"
        SecRule REQUEST_METHOD "@streq PUT"
        SecRule TX:bad "@eq 1" "id:2,phase:1,deny""#;
    assert!(asks(told, "good") && !asks(told, "bad"));
    // Bookkeeping that nobody asks about is no reason; one that somebody asks about is.
    let kept = |more: &str| {
        format!(
            "SecRule REQUEST_HEADERS:User-Agent \"@rx ^.*$\" \"id:1,phase:1,nolog,pass,setvar:tx.seen=%{{MATCHED_VAR}}\"\n{more}"
        )
    };
    assert!(asks(&kept(""), "good"));
    let asked = kept(r#"SecRule TX:seen "@contains bad" "id:2,phase:1,deny""#);
    assert!(policy(&asked).media_rules().is_none() && !asks(&asked, "good"));
    // A set that has something to say to a plain request has no lane.
    let loud = r#"SecRule REQUEST_METHOD "@streq GET" "id:1,phase:1,pass""#;
    assert!(!asks(loud, "good"));
}

fn of_rules(text: &str) -> Arc<Policy> {
    let mut loader = Loader::new();
    loader
        .text("t", text.as_bytes(), Path::new("."))
        .expect("rules");
    Policy::plain(&loader.compile().expect("rules"))
}

/// What is neither inspected nor the same for all may decide nothing: each of these rules refuses some plain request for media, and
/// the lane must not clear any.
#[test]
fn what_differs_without_being_inspected_needs_every_rule() {
    let head = Head::of("good", "https://elsewhere.example/", "bytes=0-9");
    for text in [
        // Where the client is, asked of its address or of a copy of it.
        r#"SecRule GEO:COUNTRY_CODE "@streq NG" "id:1,phase:1,deny""#,
        r#"SecRule REMOTE_ADDR "@geoLookup" "id:1,phase:1,deny,chain"
            SecRule GEO:COUNTRY_CODE "@streq NG""#,
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.real_ip=%{remote_addr}"
            SecRule TX:real_ip "@geoLookup" "id:2,phase:1,deny""#,
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.real_ip=%{remote_addr}"
            SecRule TX:real_ip "@ipMatch 198.51.100.0/24" "id:2,phase:1,deny""#,
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.real_ip=%{remote_addr}"
            SecAction "id:2,phase:1,nolog,pass,setvar:tx.again=%{tx.real_ip}"
            SecRule TX:/^again$/ "@beginsWith 198." "id:3,phase:2,deny""#,
        // What was counted of it before.
        r#"SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{remote_addr}"
            SecRule IP:blocked "@eq 1" "id:2,phase:1,deny""#,
        r#"SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{remote_addr}"
            SecRule &IP:seen "@eq 1" "id:2,phase:1,nolog,pass,setvar:tx.seen=1"
            SecRule TX:seen "@eq 1" "id:3,phase:1,deny""#,
        r#"SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{remote_addr}"
            SecRule &IP:known "@eq 0" "id:2,phase:1,nolog,pass,skipAfter:KNOWN"
            SecRule REQUEST_METHOD "@streq GET" "id:3,phase:1,deny"
            SecMarker KNOWN"#,
        // When it asks, and from which of its ports.
        r#"SecRule TIME_HOUR "@ge 20" "id:1,phase:1,deny""#,
        r#"SecRule REMOTE_PORT "@lt 1024" "id:1,phase:1,deny""#,
        r#"SecRule UNIQUE_ID "@rx ^0" "id:1,phase:1,deny""#,
        // What is inspected, kept by a rule that every plain request matches.
        r#"SecRule REQUEST_HEADERS:User-Agent "@rx ^(\w+)" "id:1,phase:1,deny,capture,setvar:tx.product=%{tx.1},chain"
            SecRule TX:product "@streq bad""#,
        r#"SecRule REQUEST_HEADERS:User-Agent "@rx ." "id:1,phase:1,nolog,pass,setvar:tx.agent=%{matched_var},chain"
            SecRule REQUEST_METHOD "@streq PUT"
            SecRule TX:agent "@streq bad" "id:2,phase:1,deny""#,
        r#"SecRule REQUEST_HEADERS:User-Agent "@contains Mozilla" "id:1,phase:1,nolog,pass,setvar:tx.mozilla=1,chain"
            SecRule REQUEST_METHOD "@streq PUT"
            SecRule &TX:mozilla "@eq 0" "id:2,phase:1,deny""#,
        r#"SecRule REQUEST_HEADERS:User-Agent "@contains Mozilla" "id:1,phase:1,nolog,pass,ctl:ruleRemoveById=2,chain"
            SecRule REQUEST_METHOD "@streq PUT"
            SecRule REQUEST_METHOD "@streq GET" "id:2,phase:1,deny""#,
        // What is inspected, compared with what is the request's own.
        r#"SecRule REQUEST_HEADERS:Referer "!@contains %{request_headers.host}" "id:1,phase:1,deny""#,
    ] {
        assert!(!clears(&of_rules(text), &head), "{text}");
    }
}

/// The same things, where nothing comes of them.
#[test]
fn what_differs_and_decides_nothing_is_no_reason() {
    let head = Head::of("good", "", "bytes=0-9");
    for text in [
        r#"SecAction "id:1,phase:1,nolog,pass,initcol:ip=%{remote_addr},setvar:tx.real_ip=%{remote_addr}""#,
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.enabled=0"
            SecRule TX:enabled "@eq 1" "id:2,phase:1,deny,chain"
            SecRule IP:blocked "@eq 1""#,
        r#"SecAction "id:1,phase:1,nolog,pass,setvar:tx.enabled=0"
            SecRule IP:blocked "@eq 1" "id:2,phase:1,deny,chain"
            SecRule TX:enabled "@eq 1""#,
        r#"SecRule IP:known "@eq 1" "id:1,phase:1,nolog,pass,skipAfter:KNOWN"
            SecRule REQUEST_METHOD "@streq PUT" "id:2,phase:1,deny"
            SecMarker KNOWN"#,
    ] {
        assert!(clears(&of_rules(text), &head), "{text}");
    }
    // Switched on later than it is asked about, it may be on the next time.
    let later = r#"SecRule IP:blocked "@eq 1" "id:1,phase:1,deny,chain"
            SecRule &TX:enabled "@eq 0"
        SecAction "id:2,phase:1,nolog,pass,setvar:tx.enabled=1""#;
    assert!(!clears(&of_rules(later), &head));
}

/// A rule may refuse one method or protocol, or inspect it more closely.
#[test]
fn every_form_of_a_line_is_judged_by_itself() {
    let asks = |text: &str, method: &str, protocol: &str, user_agent: &str| {
        let head = Head::of(user_agent, "", "bytes=0-9");
        let client = client();
        let line = (method.as_bytes(), protocol.as_bytes());
        let signals = client.signals.each_ref().map(String::as_bytes);
        let head = MediaHead::of_fields(line, client.address, signals, head.fields());
        of_rules(text).clears_media(&head.expect("ordinary fields"))
    };
    let get_only = r#"SecRule REQUEST_METHOD "!@streq GET" "id:1,phase:1,deny""#;
    assert!(asks(get_only, "GET", "HTTP/1.1", "good"));
    assert!(asks(get_only, "GET", "HTTP/2.0", "good"));
    assert!(!asks(get_only, "HEAD", "HTTP/1.1", "good"));
    assert!(!asks(get_only, "HEAD", "HTTP/2.0", "good"));
    let not_old = r#"SecRule REQUEST_PROTOCOL "@streq HTTP/1.0" "id:1,phase:1,deny""#;
    assert!(asks(not_old, "HEAD", "HTTP/1.1", "good"));
    assert!(!asks(not_old, "GET", "HTTP/1.0", "good"));
    let heads_of_bad = r#"SecRule REQUEST_METHOD "@streq HEAD" "id:1,phase:1,deny,chain"
        SecRule REQUEST_HEADERS:User-Agent "@contains bad""#;
    assert!(asks(heads_of_bad, "HEAD", "HTTP/1.1", "good"));
    assert!(!asks(heads_of_bad, "HEAD", "HTTP/1.1", "bad"));
    for (method, protocol) in [
        ("POST", "HTTP/1.1"),
        ("GET", "HTTP/3.0"),
        ("get", "HTTP/1.1"),
    ] {
        assert!(!asks("", method, protocol, "good"), "{method} {protocol}");
    }
}

/// A value that grows under a rule beyond what the lane keeps was not looked at.
#[test]
fn what_is_too_much_for_the_lane_needs_every_rule() {
    let text = r#"SecRule REQUEST_HEADERS:Range "@beginsWith bytes" "id:1,phase:1,deny,chain"
        SecRule REQUEST_HEADERS:User-Agent "@endsWith bad" "t:utf8toUnicode""#;
    let long = format!("{}bad", "\u{e9}".repeat(60_000));
    assert!(!clears(&of_rules(text), &Head::of(&long, "", "bytes=0-9")));
    assert!(clears(&of_rules(text), &Head::of("good", "", "bytes=0-9")));
}

#[test]
fn what_a_route_goes_without_is_not_tried() {
    let mut loader = Loader::new();
    let text =
        r#"SecRule REQUEST_HEADERS:User-Agent "@contains bad" "id:1,phase:1,deny,tag:'agents'""#;
    loader
        .text("t", text.as_bytes(), Path::new("."))
        .expect("rules");
    let set = loader.compile().expect("rules");
    let bad = Head::of("bad", "", "");
    let by = |exclusions| Policy::new(&set, Mode::Block, &exclusions).expect("a policy");
    assert!(!clears(&by(Exclusions::default()), &bad));
    let tags = Exclusions {
        tags: vec!["agents".to_owned()],
        ..Exclusions::default()
    };
    assert!(clears(&by(tags), &bad));
}
