//! Another node of ours that asks this one.

use mcsp_edge_fetch::{PARENT, ParentWord};
use mcsp_identity::SpiffeId;

use crate::answer::Answer;
use crate::edge::Edge;
use crate::serve::HeadLines;

/// A child, as its certificate and its request's fields tell.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) caller: SpiffeId,
    /// No viewer waits for what it asks for.
    pub(crate) is_ahead: bool,
    pub(crate) standing: Standing,
}

/// May it ask?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Invited,
    /// The caller table does not let it in.
    Uninvited,
    /// As many requests are under way as may be.
    TooMany,
}

impl Child {
    /// What the child makes of an answer that this node gives by itself.
    pub(crate) fn word_of(answer: &Answer) -> ParentWord {
        match answer.detail {
            "behind" => ParentWord::Behind,
            "busy" => ParentWord::Busy,
            "later" => ParentWord::Later,
            "caller" | "loop" | "path" | "residency" | "method" | "host" | "private" => {
                ParentWord::Refused
            }
            _ => ParentWord::Failed,
        }
    }

    /// Says what an answer is, and counts it.
    pub(crate) fn put_word(edge: &Edge, word: ParentWord, head: &mut impl HeadLines) {
        head.field(&PARENT, &word.value());
        edge.metrics.shield.answered(word);
    }
}
