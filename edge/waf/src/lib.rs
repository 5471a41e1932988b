//! A web application firewall's engine: the ModSecurity rule language, compiled once and run on bytes.
//!
//! It loads the OWASP Core Rule Set unchanged, looks at requests and responses by phases, and answers with a verdict. It does
//! no I/O but reading rule files, knows no HTTP server, and takes time from its caller.

mod beside;
mod body;
mod bytemap;
mod collections;
mod compile;
mod error;
mod filter;
mod gates;
mod guard;
mod lane;
pub mod lang;
mod limits;
mod literals;
mod operator;
mod pattern;
mod pipeline;
mod policy;
pub mod replay;
mod ruleset;
mod site;
mod ticks;
mod transaction;
mod transform;
mod verdict;

pub use beside::{Beside, BesideConfig, Overload, Place, TurnedAway, Work};
pub use body::Processor;
pub use collections::Collections;
pub use compile::Loader;
pub use error::{LoadError, LoadErrorKind, Location, Notice, NoticeKind};
pub use guard::{
    BreakerConfig, BreakerState, FailedOpen, FailureKind, Guard, Guarded, RequestLine, Unfinished,
    Verdict, Witness,
};
pub use lane::MediaHead;
pub use limits::{Beyond, LimitError, Limits};
pub use policy::{Exclusions, Mode, Policy, PolicyError, TargetExclusion};
pub use ruleset::RuleSet;
pub use site::{
    Loaded, RoutePolicyConfig, RulesConfig, Site, SiteError, SiteRules, WafConfig, load_rules,
    own_routes,
};
pub use ticks::{MonotonicTicks, ThreadTicks, Ticks};
pub use transaction::{Client, Environment, SIGNALS, Transaction};
pub use transform::Transformation;
pub use verdict::{AuditEvent, Block, LetThrough, Outcome, RuleMatch, Scores, excerpt};
