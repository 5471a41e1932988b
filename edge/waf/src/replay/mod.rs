//! The public regression tests of the OWASP Core Rule Set, as JSON lines of raw requests, replayed against the engine.
//!
//! A file that is not there is no error of the engine: the caller says so and goes on.

mod request;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::limits::Limits;
use crate::ruleset::RuleSet;
use crate::ticks::MonotonicTicks;
use crate::transaction::{Client, Environment, Transaction};
use crate::verdict::RuleMatch;
use crate::{Collections, LoadError, Loader};

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
    raw: String,
    status: Option<Statuses>,
    expect_error: bool,
    ids: Vec<u64>,
    no_ids: Vec<u64>,
    re: Option<String>,
    no_re: Option<String>,
    isolated: bool,
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

/// Which generation of rules is loaded: their setup differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// 3.3.x
    V3,
    /// 4.x
    V4,
}

/// Counts of one rule file, and why the others failed.
#[derive(Debug, Default)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Of those, by a refusal before the engine.
    pub refused: usize,
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

/// Loads a folder of rules as the regression tests want it set up: detecting only, at a paranoia level.
///
/// # Errors
/// The first mistake in the rules.
pub fn load(
    folder: &Path,
    generation: Generation,
    paranoia: u8,
) -> Result<Arc<RuleSet>, LoadError> {
    let levels = match generation {
        Generation::V3 => {
            format!("setvar:tx.crs_setup_version=334,setvar:tx.paranoia_level={paranoia}")
        }
        Generation::V4 => format!(
            "setvar:tx.crs_setup_version=4250,setvar:tx.blocking_paranoia_level={paranoia},\
             setvar:tx.detection_paranoia_level={paranoia}"
        ),
    };
    let setup = format!(
        "SecRuleEngine DetectionOnly\n\
         SecDefaultAction \"phase:1,log,auditlog,pass\"\nSecDefaultAction \"phase:2,log,auditlog,pass\"\n\
         SecAction \"id:900005,phase:1,nolog,pass,ctl:ruleRemoveById=910000,{levels},\
         setvar:tx.crs_validate_utf8_encoding=1,setvar:tx.arg_name_length=100,setvar:tx.arg_length=400,\
         setvar:tx.total_arg_length=64000,setvar:tx.max_num_args=255,setvar:tx.max_file_size=64100,\
         setvar:tx.combined_file_sizes=65535,setvar:tx.crs_xml_attr_inspect=1\"\n"
    );
    let mut loader = Loader::new().paranoia_max(paranoia);
    loader.text("setup", setup.as_bytes(), folder)?;
    loader.folder(folder)?;
    loader.compile()
}

/// Replays the tests of rules up to `paranoia` and counts by rule file. `all` is the set with the rules of every level.
#[must_use]
pub fn replay(
    set: &Arc<RuleSet>,
    all: &RuleSet,
    cases: &[Case],
    paranoia: u8,
) -> BTreeMap<String, Tally> {
    let limits = Limits {
        budget_us: 1_000_000,
        matches_max: 1000,
        arguments_max: 5000,
        ..Limits::default()
    };
    let ticks = Arc::new(MonotonicTicks::default());
    let environment = Arc::new(Environment {
        limits,
        ticks,
        collections: Collections::new(1000),
    });
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for case in cases {
        if all
            .paranoia_of(case.rule)
            .is_some_and(|level| level > paranoia)
        {
            continue;
        }
        let tally = tallies.entry(case.file.clone()).or_default();
        let mut refused = false;
        let outcome = case.stages.iter().try_for_each(|stage| {
            let seen = run(
                set,
                &environment,
                &STANDARD.decode(&stage.raw).unwrap_or_default(),
            );
            refused |= seen.refused.is_some();
            judge(stage, &seen)
        });
        match outcome {
            Ok(()) => {
                tally.passed += 1;
                tally.refused += usize::from(refused);
            }
            Err(reason) => tally.failed.push((case.title.clone(), reason)),
        }
    }
    tallies
}

/// What one request came to.
#[derive(Debug, Default)]
struct Seen {
    refused: Option<&'static str>,
    /// The connection ended before the request did.
    cut_off: bool,
    matches: Vec<RuleMatch>,
    notes: Vec<String>,
}

fn run(set: &Arc<RuleSet>, environment: &Arc<Environment>, raw: &[u8]) -> Seen {
    let request = match request::parse(raw) {
        Ok(request) => request,
        Err(reason) => {
            return Seen {
                refused: Some(reason),
                ..Seen::default()
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
        id: "0123456789abcdef".to_owned(),
        now_ms: 1_700_000_000_000,
    };
    let mut transaction = Transaction::new(set, environment, client);
    transaction.request_line(request.method, request.target, request.protocol);
    for (name, value) in &request.headers {
        transaction.request_header(name, value);
    }
    transaction.request_head_done();
    if !request.cut_off {
        transaction.request_body(&request.body);
        transaction.request_body_done();
        let response = request::backend(&request);
        transaction.response_line(response.status, b"HTTP/1.1");
        for (name, value) in &response.headers {
            transaction.response_header(name.as_bytes(), value.as_bytes());
        }
        transaction.response_head_done();
        transaction.response_body(&response.body);
        transaction.response_body_done();
    }
    let event = transaction.finish();
    let notes = event
        .iter()
        .filter_map(|event| event.body_error.clone())
        .collect();
    let matches = event.map_or_else(|| transaction.matches().to_vec(), |event| event.matches);
    Seen {
        refused: None,
        cut_off: request.cut_off,
        matches,
        notes,
    }
}

fn judge(stage: &Stage, seen: &Seen) -> Result<(), String> {
    let allows = |status| {
        stage
            .status
            .as_ref()
            .is_none_or(|allowed| allowed.allows(status))
    };
    if let Some(reason) = seen.refused {
        let wanted = !stage.ids.is_empty() || stage.re.is_some() || stage.expect_error;
        let by_status = stage.status.is_some() && allows(400);
        return if wanted || by_status {
            Ok(())
        } else {
            Err(format!("refused: {reason}"))
        };
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
