//! `Accept-Encoding` in terms of the codings that web origins send (RFC 9110 section 12.5.3): `br`, `gzip`, `zstd`, and none
//! (`identity`).
//!
//! What a request says of others, and the exact weights, make no difference that is worth a copy of each answer: there are
//! as many variants as there are orders of preference among these four, whatever clients write. Origins are asked in the
//! same words ([`normal`]) wherever the answer is to be shared, so that what they send is what the class takes.

use std::fmt::Write as _;

use http::{HeaderMap, header};

use crate::fields::members;
use crate::preference::parse_weight;

/// By name, sorted. `x-gzip` is `gzip` (section 8.4.1.3).
const KNOWN: [&[u8]; 4] = [b"br", b"gzip", b"identity", b"zstd"];
const NAMES: [&str; 4] = ["br", "gzip", "identity", "zstd"];
const IDENTITY: usize = 2;
/// Of `identity` where nothing is said of it: it is acceptable, and anything else that is goes before it.
const LEAST: u16 = 1;
/// Weights are kept in thousandths, above [`LEAST`].
const SCALE: u16 = 2;

/// Which codings a request takes: their weights, 0 for those that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted([u16; KNOWN.len()]);

impl Accepted {
    /// Reads all lines of `Accept-Encoding`; `None` when there are none, and any coding will do. Members that are
    /// malformed say nothing.
    #[must_use]
    pub fn of(request: &HeaderMap) -> Option<Self> {
        if !request.contains_key(header::ACCEPT_ENCODING) {
            return None;
        }
        let mut said: [Option<u16>; KNOWN.len()] = [None; KNOWN.len()];
        let mut of_others = None;
        for member in members(request, &header::ACCEPT_ENCODING) {
            let Some((name, weight)) = read(member) else {
                continue;
            };
            let place = if name == b"*" {
                &mut of_others
            } else if let Some(known) = place_of(name).and_then(|place| said.get_mut(place)) {
                known
            } else {
                continue;
            };
            *place = Some(place.map_or(weight, |before: u16| before.max(weight)));
        }
        let mut weights = said.map(|weight| weight.or(of_others).unwrap_or(0));
        if said[IDENTITY].is_none() && of_others.is_none() {
            weights[IDENTITY] = LEAST;
        }
        Some(Self(weights))
    }

    /// Does it take a response in these codings, all of `Content-Encoding`?
    #[must_use]
    pub fn takes(&self, response: &HeaderMap) -> bool {
        let mut codings = members(response, &header::CONTENT_ENCODING).peekable();
        if codings.peek().is_none() {
            return self.0[IDENTITY] > 0;
        }
        codings.all(|coding| place_of(coding).is_some_and(|place| self.0[place] > 0))
    }

    /// The list in its one form for this order of preference: what weighs most first, 0.1 less for each step; `identity`
    /// where it is not the last choice that it is by default.
    #[must_use]
    pub fn list(&self) -> String {
        let mut order = [0, 1, 2, 3];
        // Stable: names stay sorted.
        order.sort_by_key(|place: &usize| std::cmp::Reverse(self.0[*place]));
        let mut list = String::with_capacity(48);
        let mut tenths = 10;
        let mut last = None;
        for place in order {
            let weight = self.0[place];
            if last.is_some_and(|last| last != weight) {
                tenths -= 1;
            }
            last = Some(weight);
            let is_default = place == IDENTITY && weight == LEAST;
            // Alone it has to be said: an empty list would be told from an absent one by few.
            if weight == 0 && place != IDENTITY || is_default && !list.is_empty() {
                continue;
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(NAMES[place]);
            // Writing to a string does not fail.
            let _ = match (weight, tenths) {
                (0, _) => write!(list, ";q=0"),
                (_, 10) => Ok(()),
                _ => write!(list, ";q=0.{tenths}"),
            };
        }
        list
    }
}

/// `Accept-Encoding` of a request in the form that all have who take the same codings in the same order; `None` when it is
/// absent.
#[must_use]
pub fn normal(request: &HeaderMap) -> Option<String> {
    Accepted::of(request).map(|accepted| accepted.list())
}

fn place_of(name: &[u8]) -> Option<usize> {
    let name = if name.eq_ignore_ascii_case(b"x-gzip") {
        b"gzip"
    } else {
        name
    };
    KNOWN
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))
}

/// A coding and its weight.
fn read(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next()?;
    let weight = match parts.next() {
        None => 1_000,
        Some([b'q' | b'Q', b'=', weight @ ..]) => parse_weight(weight)?,
        Some(_) => return None,
    };
    parts.next().is_none().then_some((name, weight * SCALE))
}
