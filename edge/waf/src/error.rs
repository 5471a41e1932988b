//! Why a rule set could not be loaded, and where; and what of one that was does nothing.

use std::fmt;
use std::sync::Arc;

/// A place in a rule file; lines and columns count from 1, columns in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file as it was named when it was read.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Something in a rule file that is taken as it stands and does not do what it says. The set is in force all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub location: Location,
    /// The rule's id.
    pub rule: u64,
    /// What.
    pub kind: NoticeKind,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: rule {}: {}", self.location, self.rule, self.kind)
    }
}

/// What does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// An operator that would wait for a network: nobody is asked.
    NotAsked {
        /// The operator, as it was written.
        operator: String,
        /// Whether the rule wants that it does not match, which is always so.
        negated: bool,
    },
    /// An action that this engine does not carry out.
    NotDone(&'static str),
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked { operator, negated } => {
                let outcome = if *negated { "always" } else { "never" };
                write!(
                    f,
                    "@{operator} would have to ask over the network, which no request waits for: it {outcome} matches"
                )
            }
            Self::NotDone(action) => write!(f, "action {action} is not carried out"),
        }
    }
}

/// A rule set that cannot be loaded. The set in use, if there is one, is not touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {kind}")]
pub struct LoadError {
    /// Where.
    pub location: Location,
    /// What.
    pub kind: LoadErrorKind,
}

impl LoadError {
    /// An error at a place.
    #[must_use]
    pub fn new(location: Location, kind: LoadErrorKind) -> Self {
        Self { location, kind }
    }

    /// Whether loading again, with nothing changed in the files, may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            LoadErrorKind::Unreadable(_) | LoadErrorKind::NoRules
        )
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadErrorKind {
    /// The file or a data file it names cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// The files are there and bring no rule: they are being written, or are not those that were meant.
    #[error("there is no rule in it, nor in any other file that is named")]
    NoRules,
    /// Rule text must be UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// A quote is opened and never closed.
    #[error("a quote is opened here and not closed")]
    UnterminatedQuote,
    /// A directive of another dialect, or a misspelt one.
    #[error("unknown directive {0:?}")]
    UnknownDirective(String),
    /// A directive that would change what is inspected and that this engine does not have.
    #[error("directive {0} is not supported: {1}")]
    UnsupportedDirective(String, &'static str),
    /// Too few or too many arguments.
    #[error("{directive} takes {expected}")]
    Arguments {
        /// The directive.
        directive: String,
        /// What it takes.
        expected: &'static str,
    },
    /// No such variable.
    #[error("unknown variable {0:?}")]
    UnknownVariable(String),
    /// No such operator.
    #[error("unknown operator {0:?}")]
    UnknownOperator(String),
    /// No such transformation.
    #[error("unknown transformation {0:?}")]
    UnknownTransformation(String),
    /// No such action.
    #[error("unknown action {0:?}")]
    UnknownAction(String),
    /// A value out of its range or form.
    #[error("{what} {value:?}: expected {expected}")]
    BadValue {
        /// What the value is for.
        what: &'static str,
        /// The value.
        value: String,
        /// The form or range.
        expected: &'static str,
    },
    /// A regular expression that does not compile.
    #[error("pattern: {0}")]
    BadPattern(String),
    /// Every rule but a chained one needs `id`.
    #[error("a rule without id")]
    MissingId,
    /// Two rules with one id.
    #[error("id {0} is used twice")]
    DuplicateId(u64),
    /// `chain` with no rule after it.
    #[error("a chain without its next rule")]
    DanglingChain,
    /// `skipAfter` names a marker that never comes.
    #[error("skipAfter: no marker {0:?} follows")]
    UnknownMarker(String),
    /// The set is larger than this engine takes.
    #[error("too many {0}: at most {1}")]
    TooMany(&'static str, usize),
}
