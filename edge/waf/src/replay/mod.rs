//! Regression tests of rules, as JSON lines: the public ones of the OWASP Core Rule Set, and our own, replayed against the engine.
//!
//! Tests that are written by hand have their requests in parts (`request` in place of `raw`), and name only what they expect. A file
//! that is not there is no error of the engine: the caller says so and goes on.

mod plain;
mod request;

pub use request::{Answer, answer};

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::collections::Collections;
use crate::limits::Limits;
use crate::policy::{Exclusions, Mode, Policy};
use crate::ruleset::RuleSet;
use crate::site::RulesConfig;
use crate::ticks::{MonotonicTicks, ThreadTicks};
use crate::transaction::{Client, Environment, Transaction};
use crate::verdict::RuleMatch;

/// One regression test.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// `rule-test`.
    pub title: String,
    /// The rule it is about.
    pub rule: u64,
    /// The rule file.
    pub file: String,
    stages: Vec<Stage>,
}

#[derive(Debug, Clone, Deserialize)]
struct Stage {
    #[serde(flatten)]
    sent: Sent,
    status: Option<Statuses>,
    #[serde(default)]
    expect_error: bool,
    #[serde(default)]
    ids: Vec<u64>,
    #[serde(default)]
    no_ids: Vec<u64>,
    re: Option<String>,
    no_re: Option<String>,
    #[serde(default)]
    isolated: bool,
}

/// What a stage sends.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sent {
    /// Its bytes, in Base64.
    Raw(String),
    /// Its parts.
    Request(plain::PlainRequest),
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(raw) => STANDARD.decode(raw).unwrap_or_default(),
            Self::Request(request) => request.bytes(),
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Statuses {
    One(u16),
    Any(Vec<u16>),
}

impl Statuses {
    fn allows(&self, status: u16) -> bool {
        match self {
            Self::One(one) => *one == status,
            Self::Any(any) => any.contains(&status),
        }
    }
}

impl Case {
    /// Whether it names 400 or an error as what should come of it.
    fn names_refusal(&self) -> bool {
        self.stages.iter().any(Stage::names_refusal)
    }
}

impl Stage {
    fn names_refusal(&self) -> bool {
        let status = self.status.as_ref();
        self.expect_error || status.is_some_and(|status| status.allows(400))
    }
}

/// Counts of one rule file, and why the others failed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Of those, refused on the wire: (title, reason).
    pub refused: Vec<(String, String)>,
    /// How many of the refused are tests that name 400 or an error as what should come.
    pub refused_as_named: usize,
    /// (title, reason)
    pub failed: Vec<(String, String)>,
}

/// Reads tests, one JSON object a line.
///
/// # Errors
/// The line that is none.
pub fn read_cases(text: &str) -> Result<Vec<Case>, serde_json::Error> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect()
}

/// What the tests expect of the rules' settings, beside the paranoia level.
pub const SETTINGS: &str = "SecAction \"id:900005,phase:1,nolog,pass,ctl:ruleRemoveById=910000,\
     setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
     setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
     setvar:tx.combined_file_sizes=65535,setvar:tx.crs_xml_attr_inspect=1\"\n";

/// How a folder of rules is loaded for the tests at a paranoia level.
#[must_use]
pub fn rules(folder: &Path, paranoia: u8) -> RulesConfig {
    RulesConfig {
        files: vec![folder.to_path_buf()],
        paranoia,
        methods: Vec::new(),
        content_types: Vec::new(),
        before: SETTINGS.to_owned(),
        ..RulesConfig::default()
    }
}

/// Bounds that none of the tests reaches.
#[must_use]
pub fn limits() -> Limits {
    Limits {
        budget_us: 1_000_000,
        matches_max: 1000,
        arguments_max: 5000,
        ..Limits::default()
    }
}

/// Replays the tests of rules up to `paranoia` and counts by rule file. `all` is the set with the rules of every level.
#[must_use]
pub fn replay(
    set: &Arc<RuleSet>,
    all: &RuleSet,
    cases: &[Case],
    paranoia: u8,
) -> BTreeMap<String, Tally> {
    let policy = match Policy::new(set, Mode::Detect, &Exclusions::default()) {
        Ok(policy) => policy,
        // Nothing is excluded, so nothing can be wrong with it.
        Err(_) => Policy::plain(set),
    };
    let environment = Arc::new(Environment {
        limits: limits(),
        ticks: Arc::new(MonotonicTicks::default()),
        effort: Arc::new(ThreadTicks),
        collections: Collections::new(1000),
    });
    replay_by(all, cases, paranoia, |raw| run(&policy, &environment, raw))
}

/// Replays them against whatever `ask` sends a request's bytes to.
pub fn replay_by(
    all: &RuleSet,
    cases: &[Case],
    paranoia: u8,
    mut ask: impl FnMut(&[u8]) -> Observation,
) -> BTreeMap<String, Tally> {
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for case in cases {
        if all
            .paranoia_of(case.rule)
            .is_some_and(|level| level > paranoia)
        {
            continue;
        }
        let tally = tallies.entry(case.file.clone()).or_default();
        let mut refused = None;
        let outcome = case.stages.iter().try_for_each(|stage| {
            let seen = ask(&stage.sent.bytes());
            refused = refused.take().or_else(|| seen.refused.clone());
            judge(stage, &seen)
        });
        match outcome {
            Ok(()) => {
                tally.passed += 1;
                if let Some(reason) = refused {
                    tally.refused_as_named += usize::from(case.names_refusal());
                    tally.refused.push((case.title.clone(), reason));
                }
            }
            Err(reason) => tally.failed.push((case.title.clone(), reason)),
        }
    }
    tallies
}

/// What one request came to.
#[derive(Debug, Default)]
pub struct Observation {
    /// Why it was refused, whatever the rules said, if it was.
    pub refused: Option<String>,
    /// The connection ended before the request did.
    pub cut_off: bool,
    /// What was logged.
    pub matches: Vec<RuleMatch>,
    /// What was logged beside rules.
    pub notes: Vec<String>,
}

fn run(policy: &Policy, environment: &Arc<Environment>, raw: &[u8]) -> Observation {
    let request = match request::parse(raw) {
        Ok(request) => request,
        Err(reason) => {
            return Observation {
                refused: Some(reason.to_owned()),
                ..Observation::default()
            };
        }
    };
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let client = Client {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        port: 40_000,
        server: local,
        server_port: 80,
        country: None,
        signals: Default::default(),
        id: "0123456789abcdef".to_owned(),
        now_ms: 1_700_000_000_000,
    };
    let mut transaction = Transaction::under(policy, environment, client);
    transaction.request_line(request.method, request.target, request.protocol);
    for (name, value) in &request.headers {
        transaction.request_header(name, value);
    }
    transaction.request_head_done();
    if !request.cut_off {
        transaction.request_body(&request.body);
        transaction.request_body_done();
        let text = |bytes| String::from_utf8_lossy(bytes);
        let response = answer(&text(request.method), &text(request.target), &request.body);
        transaction.response_line(response.status, b"HTTP/1.1");
        for (name, value) in &response.headers {
            transaction.response_header(name.as_bytes(), value.as_bytes());
        }
        transaction.response_head_done();
        transaction.response_body(&response.body);
        transaction.response_body_done();
    }
    let event = transaction.finish_aloud();
    Observation {
        refused: None,
        cut_off: request.cut_off,
        matches: event.matches,
        notes: event.body_error.into_iter().collect(),
    }
}

fn judge(stage: &Stage, seen: &Observation) -> Result<(), String> {
    let allows = |status| {
        stage
            .status
            .as_ref()
            .is_none_or(|allowed| allowed.allows(status))
    };
    if let Some(reason) = &seen.refused {
        if !stage.ids.is_empty() || stage.re.is_some() || stage.names_refusal() {
            return Ok(());
        }
        return Err(format!("refused: {reason}"));
    }
    if seen.cut_off && stage.expect_error {
        return Ok(());
    }
    if !allows(200) {
        return Err("not refused".to_owned());
    }
    let logged = |id: &u64| seen.matches.iter().any(|found| found.id == *id);
    let shown: Vec<u64> = seen.matches.iter().map(|found| found.id).collect();
    if let Some(missing) = stage.ids.iter().find(|id| !logged(id)) {
        return Err(format!("{missing} did not match; matched {shown:?}"));
    }
    if let Some(extra) = stage.no_ids.iter().find(|id| logged(id)) {
        let found = seen.matches.iter().find(|found| found.id == *extra);
        return Err(format!(
            "{extra} matched: {}",
            found.map(|found| found.data.clone()).unwrap_or_default()
        ));
    }
    if stage.isolated && shown.iter().any(|id| !stage.ids.contains(id)) {
        return Err(format!("others matched: {shown:?}"));
    }
    let mut log: Vec<String> = seen.notes.clone();
    log.extend(seen.matches.iter().map(|found| {
        format!(
            "[id \"{}\"] [msg \"{}\"] [data \"{}\"] {}",
            found.id, found.message, found.data, found.variable
        )
    }));
    let log = log.join("\n");
    let says =
        |pattern: &String| regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(&log));
    if let Some(pattern) = stage.re.as_ref().filter(|pattern| !says(pattern)) {
        return Err(format!(
            "the log does not match {pattern:?}; matched {shown:?}"
        ));
    }
    if let Some(pattern) = stage.no_re.as_ref().filter(|pattern| says(pattern)) {
        return Err(format!("the log matches {pattern:?}"));
    }
    Ok(())
}
