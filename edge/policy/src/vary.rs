//! `Vary`: which stored variant answers a request (RFC 9111 section 4.1), with the normalisation that section allows.
//!
//! * any field: its lines are joined and white space around commas goes; empty members too in fields that are lists;
//! * `Accept-Language`: case and order of members with their weights do not matter;
//! * `Accept-Encoding`: which of the codings that are in use it takes, and in which order ([`crate::encoding`]);
//! * `Cookie`: split lines (RFC 9113 section 8.2.3) are one.
//!
//! See [`language`] for variants in one language.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};

use crate::encoding;
use crate::fields::{members, unquoted_position};
use crate::preference::Preferences;

/// Most fields that `Vary` may name for the response to be stored.
pub const VARY_FIELDS_MAX: usize = 16;
/// The longest name of a field that `Vary` may have, bytes: it is kept with each variant, and no client sends a longer one.
pub const VARY_NAME_BYTES_MAX: usize = 256;

/// The request fields a response was selected by, sorted by name, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vary {
    names: Box<[HeaderName]>,
}

/// Why no variant can be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VaryFault {
    /// `*` is among the members.
    Star,
    /// More than [`VARY_FIELDS_MAX`] fields, or a member that is no field name, or one of more than
    /// [`VARY_NAME_BYTES_MAX`] bytes.
    Absurd,
}

impl Vary {
    /// Reads all `Vary` lines of a response.
    ///
    /// # Errors
    /// [`VaryFault`] when no later request can be known to match.
    pub fn of(response: &HeaderMap) -> Result<Self, VaryFault> {
        let mut names = Vec::new();
        let mut fault = None;
        for member in members(response, &header::VARY) {
            if member == b"*" {
                return Err(VaryFault::Star);
            }
            if member.len() > VARY_NAME_BYTES_MAX {
                fault = Some(VaryFault::Absurd);
                continue;
            }
            match HeaderName::from_bytes(member) {
                Ok(name) if !names.contains(&name) && names.len() < VARY_FIELDS_MAX => {
                    names.push(name);
                }
                Ok(name) if names.contains(&name) => {}
                _ => fault = Some(VaryFault::Absurd),
            }
        }
        if let Some(fault) = fault {
            return Err(fault);
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        Ok(Self {
            names: names.into(),
        })
    }

    /// Whether the response is the same for all requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, in lower case, sorted.
    #[must_use]
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }
}

/// Variants that are in one language, stored and looked for by it instead of by the whole of `Accept-Language`: a
/// response in German answers each request that wants nothing more than German, whatever else two requests list.
pub mod language {
    use super::{HeaderMap, Preferences, Vary, header, members};

    /// Most languages a variant is looked for by.
    pub const LANGUAGES_MAX: usize = 4;

    /// The value to store a variant under in place of its request's `Accept-Language`. `None`, and then that one's own
    /// [`super::normal_value`], unless `Accept-Language` selected the response, `Content-Language` names a single
    /// language, and a request like this one would look for it by [`of_request`].
    #[must_use]
    pub fn of_response(vary: &Vary, request: &HeaderMap, response: &HeaderMap) -> Option<Vec<u8>> {
        let mut languages = members(response, &header::CONTENT_LANGUAGE);
        let (Some(only), None) = (languages.next(), languages.next()) else {
            return None;
        };
        let name = value(only);
        let is_found =
            vary.names.contains(&header::ACCEPT_LANGUAGE) && of_request(request).contains(&name);
        is_found.then_some(name)
    }

    /// The values to look a variant up by, one after the other, when there is none for `Accept-Language` as it stands:
    /// the languages that weigh most, sorted by name, at most [`LANGUAGES_MAX`].
    #[must_use]
    pub fn of_request(request: &HeaderMap) -> Vec<Vec<u8>> {
        Preferences::of(request, &header::ACCEPT_LANGUAGE)
            .map(|preferences| preferences.best().take(LANGUAGES_MAX).map(value).collect())
            .unwrap_or_default()
    }

    /// Cannot be the normal form of any field: those hold no NUL.
    fn value(language: &[u8]) -> Vec<u8> {
        let mut value = vec![0];
        value.extend(language.iter().map(u8::to_ascii_lowercase));
        value
    }
}

/// The value of a selecting field of a request in normal form: two requests whose values are equal select the same
/// variant by it. `None` when the field is absent.
///
/// It is borrowed where the request has it in that form already.
#[must_use]
pub fn normal_value<'a>(request: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, [u8]>> {
    let mut lines = request.get_all(name).iter();
    let first = lines.next()?.as_bytes();
    if *name == header::ACCEPT_ENCODING {
        return encoding::normal(request).map(|list| Cow::Owned(list.into_bytes()));
    }
    if *name == header::ACCEPT_LANGUAGE {
        if let Some(preferences) = Preferences::of(request, name) {
            return Some(Cow::Owned(preferences.normal_form()));
        }
    } else if lines.next().is_none()
        && !first
            .iter()
            .any(|byte| matches!(byte, b' ' | b'\t' | b',' | b';'))
    {
        return Some(Cow::Borrowed(first));
    }
    let separator = if *name == header::COOKIE { b';' } else { b',' };
    let drops_empty = is_list(name);
    let mut value = Vec::with_capacity(first.len());
    let mut is_first = true;
    for line in request.get_all(name) {
        let mut rest = Some(line.as_bytes());
        while let Some(members) = rest {
            let end = unquoted_position(members, separator);
            let (member, after) = members.split_at(end.unwrap_or(members.len()));
            rest = end.map(|_| after.get(1..).unwrap_or_default());
            let member = member.trim_ascii();
            if drops_empty && member.is_empty() {
                continue;
            }
            if !is_first {
                value.push(separator);
            }
            is_first = false;
            value.extend_from_slice(member);
        }
    }
    Some(Cow::Owned(value))
}

/// Fields that are lists by definition, in which an empty member means nothing (RFC 9110 section 5.6.1). In any other, an
/// origin may see a difference that must then be one here too.
fn is_list(name: &HeaderName) -> bool {
    *name == header::ACCEPT_LANGUAGE || *name == header::ACCEPT || *name == header::ACCEPT_CHARSET
}
