//! The lane for media says yes only where all rules would have nothing to say.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use mcsp_edge_waf::{
    Environment, Exclusions, Limits, Loader, MediaHead, Mode, Outcome, Policy, Transaction,
};
use proptest::prelude::*;

use crate::crs;
use crate::support::{client, environment};

const CHROME: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36";
const IPHONE: &str = "AppleCoreMedia/1.0.0.22F76 (iPhone; U; CPU OS 18_5 like Mac OS X; en_gb)";
const EXO: &str = "Viewer/1.4 (Linux;Android 15) ExoPlayerLib/2.19.1";

/// Method and protocol of most requests.
const GET: (&[u8], &[u8]) = (b"GET", b"HTTP/1.1");

#[derive(Debug, Clone)]
struct Head {
    user_agent: Option<Vec<u8>>,
    referer: Option<Vec<u8>>,
    range: Option<Vec<u8>>,
    /// A field that is not inspected.
    other: Option<(&'static str, Vec<u8>)>,
}

impl Head {
    fn of(user_agent: &str, referer: &str, range: &str) -> Self {
        let some = |text: &str| Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
        Self {
            user_agent: some(user_agent),
            referer: some(referer),
            range: some(range),
            other: None,
        }
    }

    fn fields(&self) -> Vec<(&[u8], &[u8])> {
        let mut fields: Vec<(&[u8], &[u8])> = vec![
            (b"Host", b"media.example.org"),
            (b"Accept", b"*/*"),
            (b"Accept-Language", b"yo,en;q=0.8"),
        ];
        let inspected: [(&[u8], &Option<Vec<u8>>); 3] = [
            (b"User-Agent", &self.user_agent),
            (b"Referer", &self.referer),
            (b"Range", &self.range),
        ];
        for (name, value) in inspected {
            fields.extend(value.as_deref().map(|value| (name, value)));
        }
        if let Some((name, value)) = &self.other {
            fields.push((name.as_bytes(), value));
        }
        fields
    }
}

fn clears(policy: &Policy, head: &Head) -> bool {
    let client = client();
    let signals = client.signals.each_ref().map(String::as_bytes);
    let head = MediaHead::of_fields(GET, client.address, signals, head.fields());
    let head = head.expect("ordinary fields");
    // Asked twice: what is remembered is to be what was found.
    let first = policy.clears_media(&head);
    assert_eq!(policy.clears_media(&head), first);
    first
}

/// Whether all rules let it pass in silence.
fn is_silent(policy: &Policy, environment: &Arc<Environment>, head: &Head) -> bool {
    let mut transaction = Transaction::under(policy, environment, client());
    transaction.request_line(b"GET", b"/media/abc/global/c_ng_1/v720/31.m4s", b"HTTP/1.1");
    for (name, value) in head.fields() {
        transaction.request_header(name, value);
    }
    let passes = transaction.request_head_done() == Outcome::Pass
        && transaction.request_body_done() == Outcome::Pass;
    passes && transaction.matches().is_empty()
}

fn patient() -> Arc<Environment> {
    environment(Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    })
}

fn policies() -> Vec<Arc<Policy>> {
    let levels = |folder| [1, 4].map(move |level| (folder, level));
    crs::folders()
        .iter()
        .flat_map(levels)
        .map(|(folder, level)| {
            Policy::new(
                &crs::load(folder, level),
                Mode::Block,
                &Exclusions::default(),
            )
            .expect("a policy")
        })
        .collect()
}

#[test]
fn players_are_cleared_and_scanners_are_not() {
    let environment = patient();
    for policy in policies() {
        let is_gentle = policy.media_rules().is_some();
        for (user_agent, referer, range) in [
            (
                CHROME,
                "https://media.example.org/watch/c_ng_1",
                "bytes=0-65535",
            ),
            (IPHONE, "", "bytes=0-1"),
            (EXO, "", ""),
            (CHROME, "https://media.example.org/", "bytes=100-"),
        ] {
            let head = Head::of(user_agent, referer, range);
            assert_eq!(
                clears(&policy, &head),
                is_gentle && is_silent(&policy, &environment, &head),
                "{head:?}"
            );
        }
        for (user_agent, referer, range) in [
            ("sqlmap/1.8#stable (https://sqlmap.org)", "", ""),
            ("Nikto/2.5.0", "", ""),
            (CHROME, "https://example.org/?q=1' or '1'='1", ""),
            (CHROME, "https://example.org/<script>alert(1)</script>", ""),
            ("() { :; }; /bin/cat /etc/passwd", "", ""),
            (CHROME, "", "bytes=5-1"),
        ] {
            let head = Head::of(user_agent, referer, range);
            assert!(!is_silent(&policy, &environment, &head), "{head:?}");
            assert!(!clears(&policy, &head), "{head:?}");
        }
    }
}

#[test]
fn the_lane_of_the_first_level_is_there() {
    for folder in crs::folders() {
        let policy = Policy::plain(&crs::load(&folder, 1));
        let rules = policy.media_rules();
        assert!(
            rules.is_some_and(|rules| (20..200).contains(&rules)),
            "{folder:?}: {rules:?}"
        );
        assert!(clears(&policy, &Head::of(CHROME, "", "bytes=0-1")));
    }
}

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

fn value(pieces: &'static [&'static str]) -> impl Strategy<Value = Option<Vec<u8>>> {
    let piece = prop_oneof![
        9 => prop::sample::select(pieces).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(1u8..=255, 0..6),
    ];
    let value = prop::collection::vec(piece, 0..6).prop_map(|parts| parts.concat());
    prop_oneof![1 => Just(None), 5 => value.prop_map(Some)]
}

const AGENTS: &[&str] = &[
    CHROME,
    IPHONE,
    EXO,
    "Mozilla/5.0 ",
    "sqlmap/1.8",
    "nikto",
    "Wfuzz/2.4",
    "masscan/1.0 ",
    "zgrab/0.x",
    "curl/8.5.0",
    "' or 1=1--",
    "<script>",
    "alert(1)",
    "() { :;};",
    "/bin/sh",
    "; cat /etc/passwd",
    "${jndi:",
    "ldap://",
    "../../",
    "select ",
    "union ",
    "\\u0041",
    "%27",
    "&lt;",
    "$(id)",
    "`id`",
    "(compatible; ",
    "Googlebot/2.1",
    "\n",
    "internal dummy",
];
const REFERERS: &[&str] = &[
    "https://media.example.org/",
    "watch/c_ng_1",
    "?q=",
    "ọjà",
    "a=b&c=d",
    "#frag",
    "' or '1'='1",
    "<img src=x onerror=",
    "javascript:",
    "../../etc/passwd",
    "%2e%2e%2f",
    "union select ",
    ";ls -la",
    "|id",
    "http://169.254.169.254/",
    "php://input",
    ".php;",
    "/*x*/",
    "\\",
];
const RANGES: &[&str] = &[
    "bytes=",
    "0-",
    "0-1",
    "5-1",
    "100-200",
    ",",
    " ",
    "-500",
    "bytes=0-1,2-3,4-5,6-7,8-9,10-11,",
    "items",
    "99999999999999999999-1",
];

/// Fields of players, none of which is inspected.
const OTHERS: &[&str] = &[
    "Accept-Encoding",
    "CMCD-Request",
    "CMCD-Session",
    "If-None-Match",
    "Origin",
    "Sec-CH-UA",
    "Traceparent",
    "Via",
    "X-Playback-Session-Id",
];
/// What rules find in any field by more than its words, plain and in every escape that they undo.
const HOSTILE: &[&str] = &[
    "${jndi:ldap://x/a}",
    "%24%7Bjndi:ldap://x/a%7D",
    "%2524%257Bjndi:ldap://x/a%257D",
    "&#36;&#123;jndi:ldap://x/a&#125;",
    "&dollar;&lbrace;jndi:ldap://x/a&rbrace;",
    "%u0024%u007bjndi:ldap://x/a%u007d",
    "() { :; }; /bin/id",
    "%28%29%20%7B%20:;%20%7D",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "&lt;script&gt;",
    "bl=21300,nor=\"..%2F300kbps%2F35.m4s\"",
    "\"Not(A:Brand\";v=\"8\"",
    "..%2F",
    "/..",
    "W/\"5f3-1a\"",
    "gzip, br",
    "%0d%0aSet-Cookie: a=b",
    "%00",
    "a",
    ",",
    "=",
    "\"",
    "(",
    "~",
    "!",
    "[",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn who_is_cleared_is_let_through_by_all_rules(
        user_agent in value(AGENTS), referer in value(REFERERS), range in value(RANGES),
    ) {
        thread_local!(static POLICIES: (Vec<Arc<Policy>>, Arc<Environment>) = (policies(), patient()));
        let head = Head { user_agent, referer, range, other: None };
        POLICIES.with(|(policies, environment)| {
            for policy in policies {
                if clears(policy, &head) {
                    assert!(is_silent(policy, environment, &head), "{head:?}");
                }
            }
        });
    }

    #[test]
    fn what_is_hostile_in_other_fields_is_not_ordinary(
        name in prop::sample::select(OTHERS), value in value(HOSTILE),
    ) {
        thread_local!(static POLICIES: (Vec<Arc<Policy>>, Arc<Environment>) = (policies(), patient()));
        let value = value.unwrap_or_default();
        let head = Head { other: Some((name, value)), ..Head::of(CHROME, "", "bytes=0-1") };
        POLICIES.with(|(policies, environment)| {
            let client = client();
            let signals = client.signals.each_ref().map(String::as_bytes);
            let fields = head.fields();
            if let Some(ordinary) = MediaHead::of_fields(GET, client.address, signals, fields) {
                for policy in policies.iter().filter(|policy| policy.clears_media(&ordinary)) {
                    assert!(is_silent(policy, environment, &head), "{head:?}");
                }
            }
        });
    }

    #[test]
    fn any_address_and_any_bytes_are_judged(address: IpAddr, bytes: Vec<u8>) {
        thread_local!(static POLICY: Option<Arc<Policy>> = crs::folders().first().map(|folder| Policy::plain(&crs::load(folder, 1))));
        POLICY.with(|policy| {
            if let Some(policy) = policy {
                let head = MediaHead {
                    method: GET.0,
                    protocol: GET.1,
                    client: address,
                    signals: [&bytes; 3],
                    user_agent: Some(&bytes),
                    referer: Some(&bytes),
                    range: Some(&bytes),
                };
                assert_eq!(policy.clears_media(&head), policy.clears_media(&head));
            }
        });
    }
}
