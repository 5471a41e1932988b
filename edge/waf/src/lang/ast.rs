//! The syntax tree of a rule file.

use crate::error::Location;
use crate::lang::actions::Action;
use crate::lang::variables::Target;

/// One directive.
#[derive(Debug, Clone)]
pub enum Directive {
    /// `SecRule`, or `SecAction` (which has no operator).
    Rule(RuleAst),
    /// `SecMarker`: where `skipAfter` lands.
    Marker(String),
    /// `SecDefaultAction`.
    DefaultAction(Vec<Placed<Action>>),
    /// `SecRuleUpdateTargetById`, `…ByTag`, `…ByMsg`.
    UpdateTargets(RuleSelector, Vec<Placed<Target>>),
    /// `SecRuleUpdateActionById`.
    UpdateActions(RuleSelector, Vec<Placed<Action>>),
    /// `SecRuleRemoveById`, `…ByTag`, `…ByMsg`.
    Remove(RuleSelector),
    /// `SecRuleEngine`.
    Engine(EngineMode),
    /// `SecRequestBodyAccess`.
    RequestBodyAccess(bool),
    /// `SecResponseBodyAccess`.
    ResponseBodyAccess(bool),
    /// `SecRequestBodyLimit`, bytes.
    RequestBodyLimit(usize),
    /// `SecResponseBodyLimit`, bytes.
    ResponseBodyLimit(usize),
    /// `SecRequestBodyJsonDepthLimit`.
    JsonDepthLimit(usize),
    /// `SecArgumentsLimit`.
    ArgumentsLimit(usize),
    /// `SecResponseBodyMimeType`.
    ResponseBodyTypes(Vec<String>),
    /// `SecCollectionTimeout`, seconds.
    CollectionTimeout(u32),
}

/// A `SecRule` or `SecAction`.
#[derive(Debug, Clone)]
pub struct RuleAst {
    /// Where the directive starts.
    pub location: Location,
    /// What is looked at; empty for `SecAction`.
    pub targets: Vec<Placed<Target>>,
    /// How; `None` for `SecAction`.
    pub operator: Option<Placed<OperatorAst>>,
    /// What then.
    pub actions: Vec<Placed<Action>>,
}

/// An operator as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAst {
    /// `!@…`
    pub negated: bool,
    /// The name without `@`.
    pub name: String,
    /// The rest, trimmed.
    pub argument: String,
}

/// A piece of syntax and its place.
#[derive(Debug, Clone)]
pub struct Placed<T> {
    /// Where it starts.
    pub location: Location,
    /// The piece.
    pub item: T,
}

/// Which rules an update or a removal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleSelector {
    /// Id ranges, inclusive.
    Ids(Vec<(u64, u64)>),
    /// Rules with a tag that contains this text.
    Tag(String),
    /// Rules whose message contains this text.
    Message(String),
}

/// `SecRuleEngine`, and `ctl:ruleEngine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineMode {
    /// Rules run and block.
    On,
    /// No rules run.
    Off,
    /// Rules run and only report.
    DetectionOnly,
}
