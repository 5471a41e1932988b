//! The media lane: a request in the media grammar, without query, cookie and body, is cleared by its `User-Agent`, `Referer` and
//! `Range`, its client's address and what its connection tells, without a transaction.
//!
//! The lane only ever says "no rule that looks at these would match". Whoever is not cleared goes through the whole set, so what
//! is refused, logged and scored is always decided there. What the lane does not look at (the path, which the caller has read by
//! a closed grammar, and fields that are ordinary, see [`MediaHead::of_fields`]) is taken to be as in a plain request.

mod derive;
mod head;
mod known;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

pub use head::MediaHead;
use known::Cleared;

use crate::lang::variables::Variable;
use crate::operator::{Hit, Operator, leading_number};
use crate::policy::Policy;
use crate::ruleset::{Rule, RuleSet, Test, TextPiece, Which};
use crate::transaction::SIGNALS;
use crate::transaction::values::{ValueId, Values};

/// Bytes that transformations may write for one request; beyond it the request needs every rule.
const SCRATCH_BYTES_MAX: usize = 256 << 10;
/// Captures of one match.
const CAPTURES: usize = 10;

/// What is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    UserAgent,
    Referer,
    Range,
    Client,
    Ja4,
    Asn,
    Network,
}

const INSPECTED: [Kind; 7] = [
    Kind::UserAgent,
    Kind::Referer,
    Kind::Range,
    Kind::Client,
    Kind::Ja4,
    Kind::Asn,
    Kind::Network,
];

impl Kind {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::UserAgent => Some("user-agent"),
            Self::Referer => Some("referer"),
            Self::Range => Some("range"),
            Self::Client => None,
            Self::Ja4 => Some(SIGNALS[0]),
            Self::Asn => Some(SIGNALS[1]),
            Self::Network => Some(SIGNALS[2]),
        }
    }

    fn variable(self) -> Variable {
        match self {
            Self::Client => Variable::RemoteAddr,
            Self::Ja4 | Self::Asn | Self::Network => Variable::Tx,
            Self::UserAgent | Self::Referer | Self::Range => Variable::RequestHeaders,
        }
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kinds(u8);

impl Kinds {
    fn insert(&mut self, kind: Kind) {
        self.0 |= 1 << kind as u8;
    }

    fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// A chain that looks at what is inspected; links that are taken to match are left out.
#[derive(Debug)]
struct Chain {
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    rule: u32,
    look: Look,
    /// What it does when it matches is nothing that other rules ask about.
    is_quiet: bool,
}

#[derive(Debug)]
enum Look {
    /// At these values, and at whether these are there. The argument is resolved.
    Inspects {
        values: Kinds,
        counts: Kinds,
        argument: Vec<u8>,
    },
    /// At what a link before it captured.
    Captured,
    /// At something that only the whole engine has.
    Unknown,
}

/// The rules of a set that can tell one plain request for media from another.
#[derive(Debug)]
pub(crate) struct Lane {
    chains: Vec<Chain>,
    /// By kind: the chains whose first link looks at its value.
    by_kind: [Vec<u32>; INSPECTED.len()],
    /// The chains whose first link asks whether something is there, or is none that can be asked about one value.
    by_presence: Vec<u32>,
    generation: u64,
}

static GENERATION: AtomicU64 = AtomicU64::new(1);

impl Lane {
    /// Works the lane out; `None` if the set has none.
    pub(crate) fn derive(policy: &Policy) -> Option<Self> {
        derive::derive(policy, GENERATION.fetch_add(1, Ordering::Relaxed))
    }

    fn new(chains: Vec<Chain>, generation: u64) -> Self {
        let mut lane = Self {
            chains: Vec::new(),
            by_kind: Default::default(),
            by_presence: Vec::new(),
            generation,
        };
        for (number, chain) in (0u32..).zip(&chains) {
            match chain.links.first().map(|link| &link.look) {
                Some(Look::Inspects { values, counts, .. }) => {
                    for kind in INSPECTED.into_iter().filter(|kind| values.contains(*kind)) {
                        lane.by_kind[kind as usize].push(number);
                    }
                    if !counts.is_empty() {
                        lane.by_presence.push(number);
                    }
                }
                _ => lane.by_presence.push(number),
            }
        }
        lane.chains = chains;
        lane
    }

    /// How many chains there are.
    pub(crate) fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether no rule of the set would match because of what is inspected.
    pub(crate) fn clears(&self, set: &RuleSet, head: &MediaHead<'_>) -> bool {
        let client = ClientText::new(head.client);
        let [ja4, asn, network] = head.signals;
        let request = Request {
            set,
            values: [
                head.user_agent,
                head.referer,
                head.range,
                Some(client.text()),
                Some(ja4),
                Some(asn),
                Some(network),
            ],
        };
        if self
            .by_presence
            .iter()
            .any(|chain| request.presence_matches(&self.chains[*chain as usize]))
        {
            return false;
        }
        INSPECTED.into_iter().all(|kind| {
            let Some(value) = request.values[kind as usize] else {
                return true;
            };
            if self.by_kind[kind as usize].is_empty() {
                return true;
            }
            // A range differs from request to request.
            if kind == Kind::Range {
                return self.judge(&request, kind, value) != Cleared::No;
            }
            let owner = self.generation << 3 | kind as u64;
            known::or_else(owner, value, || self.judge(&request, kind, value))
        })
    }

    fn judge(&self, request: &Request<'_>, kind: Kind, value: &[u8]) -> Cleared {
        let mut scratch = SCRATCH.try_with(RefCell::take).unwrap_or_default();
        scratch.reset(request.set.filters.words(), SCRATCH_BYTES_MAX);
        let id = scratch.push(value);
        let mut cleared = Cleared::ForItself;
        for &chain in &self.by_kind[kind as usize] {
            let chain = &self.chains[chain as usize];
            let Some(captures) = request.first_link(chain, &mut scratch, id) else {
                continue;
            };
            if request.rest_matches(chain, captures) {
                cleared = Cleared::No;
                break;
            }
            if chain.links[1..]
                .iter()
                .any(|link| matches!(link.look, Look::Inspects { .. }))
            {
                cleared = Cleared::WithOthers;
            }
        }
        if scratch.is_full() {
            cleared = Cleared::No;
        }
        let _ = SCRATCH.try_with(|place| place.replace(scratch));
        cleared
    }
}

thread_local! {
    static SCRATCH: RefCell<Values> = RefCell::default();
}

type Captures = [Option<Vec<u8>>; CAPTURES];

struct Request<'a> {
    set: &'a RuleSet,
    values: [Option<&'a [u8]>; INSPECTED.len()],
}

impl Request<'_> {
    fn rule(&self, link: &Link) -> Option<(&Rule, &Test)> {
        let rule = &self.set.rules[link.rule as usize];
        rule.test.as_ref().map(|test| (rule, test))
    }

    /// Whether a first link may match by what is there or not.
    fn presence_matches(&self, chain: &Chain) -> bool {
        let Some(Link {
            look: Look::Inspects {
                counts, argument, ..
            },
            ..
        }) = chain.links.first()
        else {
            return true;
        };
        self.counts_match(&chain.links[0], *counts, argument)
    }

    fn counts_match(&self, link: &Link, counts: Kinds, argument: &[u8]) -> bool {
        let Some((rule, test)) = self.rule(link) else {
            return true;
        };
        if !self.set.pipelines[rule.pipeline as usize].is_empty() {
            return !counts.is_empty();
        }
        INSPECTED
            .into_iter()
            .filter(|kind| counts.contains(*kind))
            .any(|kind| {
                let count = usize::from(self.values[kind as usize].is_some()).to_string();
                test.operator
                    .test(count.as_bytes(), argument, false)
                    .is_some()
                    != test.negated
            })
    }

    /// What a chain's first link captures of a value, if it matches.
    fn first_link(&self, chain: &Chain, values: &mut Values, id: ValueId) -> Option<Captures> {
        let link = chain.links.first()?;
        let Look::Inspects { argument, .. } = &link.look else {
            return Some(Captures::default());
        };
        let (rule, test) = self.rule(link)?;
        self.value_matches(rule, test, argument, values, id)
    }

    /// As the engine looks at a stored value.
    fn value_matches(
        &self,
        rule: &Rule,
        test: &Test,
        argument: &[u8],
        values: &mut Values,
        id: ValueId,
    ) -> Option<Captures> {
        let steps = &self.set.pipelines[rule.pipeline as usize];
        if !rule.multi_match {
            let id = values.pipeline(id, steps);
            return self.tested(rule, test, argument, values, id);
        }
        let mut found = self.tested(rule, test, argument, values, id);
        let mut id = id;
        for step in steps {
            let changed = values.transform(id, *step);
            if changed != id {
                id = changed;
                found = self.tested(rule, test, argument, values, id).or(found);
            }
        }
        found
    }

    fn tested(
        &self,
        rule: &Rule,
        test: &Test,
        argument: &[u8],
        values: &mut Values,
        id: ValueId,
    ) -> Option<Captures> {
        let filters = &self.set.filters;
        if let Some(filter) = test.filter {
            let bytes = *values.set(id);
            if !filters.passes(filter, values.candidates(id, filters), &bytes) {
                return None;
            }
        }
        let value = values.get(id);
        let hit = test.operator.test(value, argument, rule.capture);
        if hit.is_some() == test.negated {
            return None;
        }
        Some(captures(value, hit.filter(|_| rule.capture)))
    }

    /// Whether all of a chain may match once its first link has.
    fn rest_matches(&self, chain: &Chain, mut captured: Captures) -> bool {
        let Some((first, rest)) = chain.links.split_first() else {
            return true;
        };
        if !first.is_quiet && !rest.is_empty() {
            return true;
        }
        for (place, link) in rest.iter().enumerate() {
            let is_last = place + 1 == rest.len();
            let Some((rule, test)) = self.rule(link) else {
                return true;
            };
            let matched = match &link.look {
                Look::Unknown => Some(Captures::default()),
                Look::Captured => self.captured(rule, test, &captured),
                Look::Inspects {
                    values,
                    counts,
                    argument,
                } => {
                    if self.counts_match(link, *counts, argument) {
                        return true;
                    }
                    self.any_value(rule, test, *values, argument)
                }
            };
            let Some(now) = matched else {
                return false;
            };
            if !link.is_quiet && !is_last || matches!(link.look, Look::Unknown) {
                return true;
            }
            if rule.capture {
                captured = now;
            }
        }
        true
    }

    fn any_value(
        &self,
        rule: &Rule,
        test: &Test,
        kinds: Kinds,
        argument: &[u8],
    ) -> Option<Captures> {
        let mut values = Values::default();
        values.reset(self.set.filters.words(), SCRATCH_BYTES_MAX);
        let present = INSPECTED
            .into_iter()
            .filter(|kind| kinds.contains(*kind))
            .filter_map(|kind| self.values[kind as usize]);
        let mut found = None;
        for value in present {
            let id = values.push(value);
            found = self
                .value_matches(rule, test, argument, &mut values, id)
                .or(found);
        }
        found
    }

    /// A rule over captures alone.
    fn captured(&self, rule: &Rule, test: &Test, captured: &Captures) -> Option<Captures> {
        let of = |slot: u32| captured.get(slot as usize).and_then(|text| text.as_deref());
        let mut argument = Vec::new();
        for piece in &test.argument.0 {
            match piece {
                TextPiece::Plain(text) => argument.extend_from_slice(text),
                TextPiece::Slot(slot) => argument.extend_from_slice(of(*slot).unwrap_or_default()),
                TextPiece::Value(..) => return Some(Captures::default()),
            }
        }
        let mut found = None;
        for target in &rule.targets {
            let Which::Slot(slot) = target.which else {
                return Some(Captures::default());
            };
            let Some(value) = of(slot) else { continue };
            let mut value = value.to_vec();
            for step in &self.set.pipelines[rule.pipeline as usize] {
                let mut changed = Vec::new();
                step.apply(&value, &mut changed);
                value = changed;
            }
            let hit = match &test.operator {
                Operator::Compare(comparison) => comparison
                    .holds(leading_number(&value), leading_number(&argument))
                    .then_some(Hit::Whole),
                operator => operator.test(&value, &argument, rule.capture),
            };
            if hit.is_some() != test.negated {
                found = Some(captures(&value, hit.filter(|_| rule.capture)));
            }
        }
        found
    }
}

fn captures(value: &[u8], hit: Option<Hit>) -> Captures {
    let mut captured = Captures::default();
    match hit {
        None => {}
        Some(Hit::Whole) => captured[0] = Some(value.to_vec()),
        Some(Hit::Text(text)) => captured[0] = Some(text),
        Some(Hit::Groups(groups)) => {
            for (place, group) in captured.iter_mut().zip(groups) {
                *place = group.and_then(|range| value.get(range)).map(<[u8]>::to_vec);
            }
        }
    }
    captured
}

/// An address as rules see it, without an allocation.
struct ClientText {
    bytes: [u8; 46],
    length: usize,
}

impl ClientText {
    fn new(address: std::net::IpAddr) -> Self {
        use std::io::Write as _;
        let mut bytes = [0; 46];
        let mut rest = &mut bytes[..];
        // The longest address has 45 characters.
        let _ = write!(rest, "{}", address.to_canonical());
        let left = rest.len();
        Self {
            length: bytes.len() - left,
            bytes,
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
