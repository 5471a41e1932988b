//! Compiled rules: what all transactions share.

use std::collections::HashMap;
use std::sync::Arc;

use crate::body::Processor;
use crate::error::{Location, Notice};
use crate::filter::{FilterId, Filters};
use crate::gates::Gates;
use crate::lang::actions::AllowScope;
use crate::lang::ast::{EngineMode, RuleSelector};
use crate::lang::variables::Variable;
use crate::operator::Operator;
use crate::pattern::Pattern;
use crate::pipeline::Pipeline;

/// Rules, compiled once and shared by all workers. Cheap to clone as an [`Arc`]; never changes.
#[derive(Debug)]
pub struct RuleSet {
    /// Heads of chains and the rules chained to them.
    pub(crate) rules: Vec<Rule>,
    /// Heads by phase, in order; phases count from 1.
    pub(crate) phases: [Vec<u32>; 6],
    /// What says of each head that it need not be looked at.
    pub(crate) gates: Gates,
    /// Heads of chains that decide by what was found, and look at nothing else.
    pub(crate) closing: RuleMask,
    pub(crate) names: Names,
    /// By pattern of names that some rule has: the slots that it means.
    pub(crate) patterned: Vec<(Arc<Pattern>, Vec<u32>)>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) units: Vec<Unit>,
    /// Units that a rule asks about together.
    pub(crate) groups: Vec<Vec<u32>>,
    pub(crate) filters: Filters,
    pub(crate) settings: Settings,
    /// Heads of chains that ask how long a request's body is, which no processor has to read for that.
    pub(crate) asks_body_length: Vec<u32>,
    /// What is in the files and does nothing.
    pub(crate) notices: Vec<Notice>,
}

/// What the files say beside rules.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) engine: EngineMode,
    pub(crate) request_body: bool,
    pub(crate) response_body: bool,
    pub(crate) request_body_bytes_max: Option<usize>,
    pub(crate) response_body_bytes_max: Option<usize>,
    pub(crate) json_depth_max: Option<usize>,
    pub(crate) arguments_max: Option<usize>,
    pub(crate) response_types: Option<Vec<String>>,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: u64,
    pub(crate) location: Location,
    pub(crate) targets: Vec<Member>,
    pub(crate) exclusions: Vec<Member>,
    pub(crate) test: Option<Test>,
    pub(crate) pipeline: u32,
    pub(crate) multi_match: bool,
    pub(crate) capture: bool,
    pub(crate) log: bool,
    pub(crate) audit_log: bool,
    pub(crate) disruptive: Disruptive,
    pub(crate) status: u16,
    pub(crate) effects: Vec<Effect>,
    pub(crate) flow: Flow,
    /// The next rule of the chain.
    pub(crate) next: Option<u32>,
    pub(crate) message: Text,
    pub(crate) logdata: Text,
    pub(crate) tags: Vec<Arc<str>>,
    pub(crate) severity: Option<u8>,
    pub(crate) version: Option<Arc<str>>,
}

/// An operator in its rule.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) operator: Operator,
    pub(crate) negated: bool,
    pub(crate) argument: Text,
    /// If set: no value without this filter can match.
    pub(crate) filter: Option<FilterId>,
    /// The units of all values that it looks at, if they are known before it runs.
    pub(crate) group: Option<u32>,
}

/// A target or an exclusion.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) variable: Variable,
    pub(crate) which: Which,
    pub(crate) count: bool,
}

/// Which members of a collection.
#[derive(Debug, Clone)]
pub(crate) enum Which {
    All,
    /// By name, lower case.
    Key(Box<[u8]>),
    /// By name, of a transaction variable.
    Slot(u32),
    /// By pattern.
    Pattern(Arc<Pattern>),
}

/// Values that are filtered together: members of a collection after a pipeline.
#[derive(Debug)]
pub(crate) struct Unit {
    pub(crate) member: Member,
    pub(crate) pipeline: u32,
    /// Every step's result counts, not only the last one's.
    pub(crate) steps: bool,
    /// The unit of the same members as they are; itself, if it is that.
    pub(crate) base: u32,
}

/// What a rule wants done with the transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disruptive {
    Pass,
    Deny,
    Drop,
    Allow(AllowScope),
    Redirect(Text),
}

/// Where the phase goes on after a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    /// Past this many heads.
    Skip(u32),
    /// To this index in the phase's list.
    To(u32),
}

impl Flow {
    /// Where it goes on from the index after the rule's. Never back.
    #[inline]
    pub(crate) fn from(self, next: usize) -> usize {
        match self {
            Self::Next => next,
            Self::Skip(count) => next.saturating_add(count as usize),
            Self::To(position) => next.max(position as usize),
        }
    }
}

/// What each match does.
#[derive(Debug)]
pub(crate) enum Effect {
    Set {
        collection: Variable,
        name: Name,
        change: Change,
    },
    Expire {
        collection: Variable,
        name: Name,
        seconds: Text,
    },
    Open {
        collection: Variable,
        key: Text,
    },
    AuditEngine(bool),
    ForceRequestBody(bool),
    RequestBodyAccess(bool),
    ResponseBodyAccess(bool),
    RequestProcessor(Option<Processor>),
    Engine(EngineMode),
    Remove(RuleMask),
    RemoveTargets(Arc<TargetRemoval>),
}

/// A variable's name within its collection.
#[derive(Debug)]
pub(crate) enum Name {
    Slot(u32),
    Text(Text),
}

/// A change of a variable.
#[derive(Debug)]
pub(crate) enum Change {
    Set(Text),
    Add(Text),
    Subtract(Text),
    Unset,
}

/// Targets that some rules are not to look at.
#[derive(Debug)]
pub(crate) struct TargetRemoval {
    pub(crate) rules: RuleMask,
    pub(crate) members: Vec<Member>,
}

/// A set of rules, by index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RuleMask(pub(crate) Vec<u64>);

impl RuleMask {
    pub(crate) fn contains(&self, rule: u32) -> bool {
        self.0
            .get(rule as usize / 64)
            .is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }

    pub(crate) fn insert(&mut self, rule: u32) {
        let word = rule as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (rule % 64);
    }

    pub(crate) fn extend(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }
}

/// Text with variables in it, resolved when a rule runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<TextPiece>);

/// A piece of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TextPiece {
    Plain(Arc<[u8]>),
    Slot(u32),
    Value(Variable, Option<Box<[u8]>>),
}

impl Text {
    /// The text, if nothing in it depends on the transaction.
    pub(crate) fn fixed(&self) -> Option<&[u8]> {
        match self.0.as_slice() {
            [] => Some(b""),
            [TextPiece::Plain(text)] => Some(text),
            _ => None,
        }
    }
}

/// Names of transaction variables, lower case; 0 to 9 are their own slots.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) list: Vec<Box<[u8]>>,
    index: HashMap<Box<[u8]>, u32>,
}

impl Names {
    /// The slot of a name, in lower case.
    pub(crate) fn slot(&self, name: &[u8]) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// The slot of a name, made if there is none.
    pub(crate) fn intern(&mut self, name: &str) -> u32 {
        let name: Box<[u8]> = name.to_ascii_lowercase().into_bytes().into();
        if let Some(slot) = self.index.get(&name) {
            return *slot;
        }
        let slot = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(name.clone());
        self.index.insert(name, slot);
        slot
    }
}

impl RuleSet {
    /// How many rules there are, chained ones not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.phases.iter().map(Vec::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The ids of all rules, in no order.
    pub fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.phases
            .iter()
            .flatten()
            .map(|index| self.rules[*index as usize].id)
    }

    /// What is in the files and does not do what it says, in the order of the rules; the first hundred, if there are more.
    #[must_use]
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// The rules that are meant.
    pub(crate) fn mask(&self, selector: &RuleSelector) -> RuleMask {
        crate::compile::mask(selector, &self.rules, self.phases.iter().flatten().copied())
    }

    /// Whether response bodies of a media type are wanted.
    #[must_use]
    pub fn wants_response_body(&self, content_type: &[u8]) -> bool {
        let end = content_type
            .iter()
            .position(|b| *b == b';')
            .unwrap_or(content_type.len());
        let essence = content_type[..end].trim_ascii();
        let named = |types: &Vec<String>| {
            types
                .iter()
                .any(|name| name.as_bytes().eq_ignore_ascii_case(essence))
        };
        self.settings.response_body && self.settings.response_types.as_ref().is_none_or(named)
    }

    /// The paranoia level that a rule is tagged with.
    #[must_use]
    pub fn paranoia_of(&self, id: u64) -> Option<u8> {
        let rule = self
            .phases
            .iter()
            .flatten()
            .map(|index| &self.rules[*index as usize])
            .find(|rule| rule.id == id)?;
        rule.tags
            .iter()
            .find_map(|tag| tag.strip_prefix("paranoia-level/")?.parse().ok())
    }
}
