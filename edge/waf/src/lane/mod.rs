//! The media lane: a request in the media grammar, without query, cookie and body, is cleared by its `User-Agent`, `Referer` and
//! `Range`, its client's address and what its connection tells, without a transaction.
//!
//! The lane only ever says "no rule that looks at these would match". Whoever is not cleared goes through the whole set, so what
//! is refused, logged and scored is always decided there. What the lane does not look at (the path, which the caller has read by
//! a closed grammar, and fields that are ordinary, see [`MediaHead::of_fields`]) is taken to be as in a plain request.

mod derive;
mod head;
mod judge;
mod known;
mod varying;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

pub use head::MediaHead;
use judge::{Form, Request};
use known::Cleared;

use crate::lang::variables::Variable;
use crate::pattern::take_gave_up;
use crate::policy::Policy;
use crate::ruleset::RuleSet;
use crate::transaction::SIGNALS;
use crate::transaction::values::Values;

/// Bytes that transformations may write for one request; beyond it the request needs every rule.
const SCRATCH_BYTES_MAX: usize = 256 << 10;

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

/// What the line of a request for media begins and ends with; the first is what most send.
const LINES: [(&[u8], &[u8]); 6] = [
    (b"GET", b"HTTP/1.1"),
    (b"GET", b"HTTP/2.0"),
    (b"HEAD", b"HTTP/1.1"),
    (b"HEAD", b"HTTP/2.0"),
    (b"GET", b"HTTP/1.0"),
    (b"HEAD", b"HTTP/1.0"),
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
#[derive(Debug, PartialEq, Eq)]
struct Chain {
    links: Vec<Link>,
}

#[derive(Debug, PartialEq, Eq)]
struct Link {
    rule: u32,
    look: Look,
    /// What it does when it matches is nothing that other rules ask about.
    is_quiet: bool,
}

#[derive(Debug, PartialEq, Eq)]
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
    /// By place in [`LINES`], as bits: of which a plain request passes in silence.
    lines: u8,
    generation: u64,
}

static GENERATION: AtomicU64 = AtomicU64::new(1);

impl Lane {
    /// Works the lane out; `None` if the set has none.
    pub(crate) fn derive(policy: &Policy) -> Option<Self> {
        derive::derive(policy, GENERATION.fetch_add(1, Ordering::Relaxed))
    }

    fn new(set: &RuleSet, chains: Vec<Chain>, lines: u8, generation: u64) -> Self {
        let mut lane = Self {
            chains: Vec::new(),
            by_kind: Default::default(),
            by_presence: Vec::new(),
            lines,
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
        // One after the other, those that look at the same form of a value.
        let pipeline = |number: &u32| {
            let link = lane.chains.get(*number as usize)?.links.first()?;
            set.rules.get(link.rule as usize).map(|rule| rule.pipeline)
        };
        for numbers in &mut lane.by_kind {
            numbers.sort_by_key(pipeline);
        }
        lane
    }

    /// How many chains there are.
    pub(crate) fn len(&self) -> usize {
        self.chains.len()
    }

    /// Whether no rule of the set would match because of what is inspected.
    pub(crate) fn clears(&self, set: &RuleSet, head: &MediaHead<'_>) -> bool {
        let line = LINES
            .iter()
            .position(|line| *line == (head.method, head.protocol));
        if line.is_none_or(|place| self.lines & (1 << place) == 0) {
            return false;
        }
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
        scratch.reset(request.set, SCRATCH_BYTES_MAX);
        let mut form = Form::of(scratch.push(value));
        take_gave_up();
        let mut cleared = Cleared::ForItself;
        for &chain in &self.by_kind[kind as usize] {
            let chain = &self.chains[chain as usize];
            let Some(captures) = request.first_link(chain, &mut scratch, &mut form) else {
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
        // What was cut was not looked at; where a pattern gave up, that is for who counts it.
        if scratch.is_full() || take_gave_up() {
            cleared = Cleared::No;
        }
        let _ = SCRATCH.try_with(|place| place.replace(scratch));
        cleared
    }
}

thread_local! {
    static SCRATCH: RefCell<Values> = RefCell::default();
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
