//! The lane for media says yes only where all rules would have nothing to say.

use std::net::IpAddr;
use std::sync::Arc;

use mcsp_edge_waf::{
    Environment, Exclusions, Limits, MediaHead, Mode, Outcome, Policy, Transaction,
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
pub(crate) struct Head {
    user_agent: Option<Vec<u8>>,
    referer: Option<Vec<u8>>,
    range: Option<Vec<u8>>,
    /// A field that is not inspected.
    other: Option<(&'static str, Vec<u8>)>,
}

impl Head {
    pub(crate) fn of(user_agent: &str, referer: &str, range: &str) -> Self {
        let some = |text: &str| Some(text.as_bytes().to_vec()).filter(|text| !text.is_empty());
        Self {
            user_agent: some(user_agent),
            referer: some(referer),
            range: some(range),
            other: None,
        }
    }

    pub(crate) fn fields(&self) -> Vec<(&[u8], &[u8])> {
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

pub(crate) fn clears(policy: &Policy, head: &Head) -> bool {
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
