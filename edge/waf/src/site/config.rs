//! What an operator may set.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::beside::BesideConfig;
use crate::guard::BreakerConfig;
use crate::limits::{LimitError, Limits};
use crate::policy::{Exclusions, Mode, TargetExclusion};

/// Most routes with rules of their own.
const ROUTES_MAX: usize = 256;

/// The firewall's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WafConfig {
    /// What is done with what rules say: `off`, `detect` or `block`. Default `block`.
    pub mode: Mode,
    /// Which rules.
    pub rules: RulesConfig,
    /// Routes that differ. Default `api` and `storage` with what their ordinary traffic needs, see [`own_routes`]; a list of one's
    /// own takes its place. At most 256.
    pub route: Vec<RoutePolicyConfig>,
    /// Bounds of one request's inspection.
    pub limits: Limits,
    /// What is done beside the workers.
    pub beside: BesideConfig,
    /// When inspection is given up for a while.
    pub breaker: BreakerConfig,
    /// Most clients whose counters (`IP`, `GLOBAL`, `SESSION` collections) are kept. Default 100000; 16 to 10000000.
    pub counters_max: usize,
    /// Where events of requests that matched go, JSON, one a line: a file that is appended to. Default none: they are part of the
    /// node's log.
    pub audit_file: Option<PathBuf>,
    /// Whether there is an event of every request that is inspected, also where nothing matched. Default false.
    pub audit_all: bool,
}

impl Default for WafConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Block,
            rules: RulesConfig::default(),
            route: own_routes(),
            limits: Limits::default(),
            beside: BesideConfig::default(),
            breaker: BreakerConfig::default(),
            counters_max: 100_000,
            audit_file: None,
            audit_all: false,
        }
    }
}

/// Which rules are loaded, and what they are told of the site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// Rule files, and folders whose `*.conf` files are read in the order of their names. Default none: nothing is inspected. With
    /// any, bodies that cannot be read are refused, and forms that have more than one reading (rules 2 and 3).
    pub files: Vec<PathBuf>,
    /// The OWASP Core Rule Set's paranoia level. Default 1; 1 to 4.
    pub paranoia: u8,
    /// The score of a request from which it is refused. Default 5; 1 to 10000.
    pub inbound_score_max: u32,
    /// The score of a response from which it is refused. Default 4; 1 to 10000.
    pub outbound_score_max: u32,
    /// Methods in use, `tx.allowed_methods`; an empty list leaves the rules' own. Default those of the API and of object storage.
    pub methods: Vec<String>,
    /// Media types of request bodies in use, `tx.allowed_request_content_type`; an empty list leaves the rules' own. Default
    /// those of the Core Rule Set and of the API.
    pub content_types: Vec<String>,
    /// Rules in text, read before the files: settings (`SecAction "id:1000,phase:1,nolog,pass,setvar:…"`) and exceptions. Ids
    /// below 100 are taken. Default none.
    pub before: String,
    /// Rules in text, read after the files. Default none.
    pub after: String,
}

impl Default for RulesConfig {
    fn default() -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            files: Vec::new(),
            paranoia: 1,
            inbound_score_max: 5,
            outbound_score_max: 4,
            methods: owned(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            content_types: owned(&[
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "multipart/related",
                "text/xml",
                "application/xml",
                "application/soap+xml",
                "application/json",
                "application/merge-patch+json",
                "application/problem+json",
                "application/cloudevents+json",
                "application/cloudevents-batch+json",
            ]),
            before: String::new(),
            after: String::new(),
        }
    }
}

impl RulesConfig {
    /// What the Core Rule Set wants to be told, of both generations; to other rules it says nothing.
    #[must_use]
    pub fn settings(&self) -> String {
        let level = self.paranoia;
        let mut more = String::new();
        if !self.methods.is_empty() {
            more = format!(",setvar:'tx.allowed_methods={}'", self.methods.join(" "));
        }
        if !self.content_types.is_empty() {
            let types = self.content_types.iter().map(|name| format!("|{name}|"));
            let types: Vec<String> = types.collect();
            more += &format!(
                ",setvar:'tx.allowed_request_content_type={}'",
                types.join(" ")
            );
        }
        format!(
            "SecDefaultAction \"phase:1,log,auditlog,pass\"\nSecDefaultAction \"phase:2,log,auditlog,pass\"\n\
             SecAction \"id:1,phase:1,nolog,pass,setvar:tx.crs_setup_version=400,\
             setvar:tx.paranoia_level={level},setvar:tx.blocking_paranoia_level={level},\
             setvar:tx.detection_paranoia_level={level},\
             setvar:tx.inbound_anomaly_score_threshold={},setvar:tx.outbound_anomaly_score_threshold={}{more}\"\n{UNREADABLE}",
            self.inbound_score_max, self.outbound_score_max,
        )
    }
}

/// What rules cannot look into, another reader may read: a body that its processor cannot read, a head of more fields or cookies than
/// are looked at, and a form with an oddity that
/// hides a field from one reader and shows it to another. ModSecurity's recommended configuration has both (200002, 200003).
const UNREADABLE: &str = "\
SecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,t:none,log,auditlog,deny,status:400,severity:2,\
msg:'The request cannot be read as a whole',logdata:'%{REQBODY_ERROR_MSG}'\"\n\
SecRule MULTIPART_BOUNDARY_WHITESPACE|MULTIPART_DATA_AFTER|MULTIPART_DATA_BEFORE|MULTIPART_HEADER_FOLDING|\
MULTIPART_INVALID_HEADER_FOLDING|MULTIPART_INVALID_PART|MULTIPART_INVALID_QUOTING|MULTIPART_LF_LINE|\
MULTIPART_MISSING_SEMICOLON|MULTIPART_UNMATCHED_BOUNDARY \"@eq 1\" \"id:3,phase:2,t:none,log,auditlog,deny,status:400,severity:2,\
msg:'The form has more than one reading',logdata:'%{MATCHED_VAR_NAME}'\"\n";

/// A route that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoutePolicyConfig {
    /// The route: `media`, `api`, `storage`, `web`, the name of a plain route, or `refused` for heads that are no request. Required.
    pub name: String,
    /// `off`, `detect` or `block`. Default as for all.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Rules that it goes without.
    #[serde(default)]
    pub exclude: Exclusions,
}

/// What the platform's own routes go without: the services hash passwords and keep descriptions, and run neither, in a shell or in a
/// database; object storage
/// takes bytes of any media type, or of none, which are no text for rules (901340 would make them one).
#[must_use]
pub fn own_routes() -> Vec<RoutePolicyConfig> {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let look_away = |tags: &[&str], targets: &[&str]| TargetExclusion {
        tags: owned(tags),
        targets: owned(targets),
        ..TargetExclusion::default()
    };
    let route = |name: &str, exclude| RoutePolicyConfig {
        name: name.to_owned(),
        mode: None,
        exclude,
    };
    vec![
        route(
            "api",
            Exclusions {
                targets: vec![
                    look_away(&["OWASP_CRS"], &["ARGS:json.password"]),
                    // Lines of prose that begin with "make" or "sleep" look like commands, and sentences in which a union meets and
                    // selects, or somebody deletes something from a list, like statements to a database. Those of the services
                    // are fixed, with values bound to them.
                    look_away(
                        &["attack-rce", "attack-sqli"],
                        &["ARGS:json.description", "ARGS:json.metadata.description"],
                    ),
                ],
                ..Exclusions::default()
            },
        ),
        route(
            "storage",
            Exclusions {
                ids: owned(&["2", "3", "901340", "920340", "920420", "920640"]),
                ..Exclusions::default()
            },
        ),
    ]
}

impl WafConfig {
    /// Whether there is anything to load.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        !self.rules.files.is_empty()
    }

    /// Checks every range; rules and exclusions are checked when they are loaded.
    ///
    /// # Errors
    /// The first key outside its range.
    pub fn validate(&self) -> Result<(), LimitError> {
        let table = [
            ("rules.paranoia", u64::from(self.rules.paranoia), 1, 4),
            (
                "rules.inbound_score_max",
                u64::from(self.rules.inbound_score_max),
                1,
                10_000,
            ),
            (
                "rules.outbound_score_max",
                u64::from(self.rules.outbound_score_max),
                1,
                10_000,
            ),
            ("counters_max", self.counters_max as u64, 16, 10_000_000),
            ("route", self.route.len() as u64, 0, ROUTES_MAX as u64),
        ];
        LimitError::first_outside(&table)?;
        self.limits.validate()?;
        self.beside.validate()?;
        self.breaker.validate()
    }
}
