//! `Vary`: which stored variant answers a request (RFC 9111 section 4.1), with the normalisation that section allows.
//!
//! * any field: its lines are joined and white space around commas goes;
//! * `Accept-Language`, `Accept-Encoding`: case and order of members with their weights do not matter;
//! * `Cookie`: split lines (RFC 9113 section 8.2.3) are one.
//!
//! A variant in one language also answers a request that wants this language above all others.

use http::{HeaderMap, HeaderName, header};

use crate::fields::{Members, members};
use crate::preference::Preferences;

/// Most fields that `Vary` may name for the response to be stored.
pub const VARY_FIELDS_MAX: usize = 16;

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
    /// More than [`VARY_FIELDS_MAX`] fields, or a member that is no field name.
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

    /// The selecting fields of a request in normal form: equal exactly when two requests select the same variant. For
    /// keys; it holds values of request fields, so keep it out of logs.
    #[must_use]
    pub fn normal_form(&self, request: &HeaderMap) -> Vec<u8> {
        let mut form = Vec::new();
        for name in &self.names {
            form.extend_from_slice(name.as_str().as_bytes());
            match normal_value(request, name) {
                Some(value) => {
                    form.push(b':');
                    form.extend_from_slice(&value);
                }
                None => form.push(b'-'),
            }
            form.push(b'\n');
        }
        form
    }
}

/// How a request's fields compare with those a variant was stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// They are the same.
    Exact,
    /// All but `Accept-Language` are the same, and this variant is in the language the request wants above all others.
    ByLanguage,
    /// They differ.
    Other,
}

/// A name, and its value in normal form, or `None` where the request had no such field.
type SelectingField = (HeaderName, Option<Box<[u8]>>);

/// The selecting fields a variant was stored under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selecting {
    fields: Box<[SelectingField]>,
    /// `Content-Language`, when it is a single language and `Accept-Language` selected it.
    language: Option<Box<[u8]>>,
}

impl Selecting {
    /// Takes down what selected a response.
    #[must_use]
    pub fn capture(vary: &Vary, request: &HeaderMap, response: &HeaderMap) -> Self {
        let fields = vary
            .names
            .iter()
            .map(|name| {
                (
                    name.clone(),
                    normal_value(request, name).map(Vec::into_boxed_slice),
                )
            })
            .collect();
        let mut languages = members(response, &header::CONTENT_LANGUAGE);
        let language = match (languages.next(), languages.next()) {
            (Some(only), None) if vary.names.contains(&header::ACCEPT_LANGUAGE) => {
                Some(only.into())
            }
            _ => None,
        };
        Self { fields, language }
    }

    /// Whether the response is the same for all requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Compares a request with what is kept here; does not allocate.
    #[must_use]
    pub fn compare(&self, request: &HeaderMap) -> Selection {
        let mut selection = Selection::Exact;
        for (name, stored) in &self.fields {
            if is_same(request, name, stored.as_deref()) {
                continue;
            }
            let is_wanted = |language| {
                Preferences::of(request, name).is_some_and(|wanted| wanted.sole_best_is(language))
            };
            match &self.language {
                Some(language) if *name == header::ACCEPT_LANGUAGE && is_wanted(language) => {
                    selection = Selection::ByLanguage;
                }
                _ => return Selection::Other,
            }
        }
        selection
    }
}

/// Fields whose members are a set of preferences.
fn is_preference(name: &HeaderName) -> bool {
    *name == header::ACCEPT_LANGUAGE || *name == header::ACCEPT_ENCODING
}

fn separator(name: &HeaderName) -> u8 {
    if *name == header::COOKIE { b';' } else { b',' }
}

fn normal_members<'a>(
    request: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let separator = separator(name);
    request
        .get_all(name)
        .iter()
        .flat_map(move |line| Members::separated(line.as_bytes(), separator))
}

/// The normal form of one field; `None` when it is absent.
fn normal_value(request: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    if !request.contains_key(name) {
        return None;
    }
    if is_preference(name)
        && let Some(preferences) = Preferences::of(request, name)
    {
        return Some(preferences.normal_form());
    }
    let mut value = Vec::new();
    for (index, member) in normal_members(request, name).enumerate() {
        if index > 0 {
            value.push(separator(name));
        }
        value.extend_from_slice(member);
    }
    Some(value)
}

/// Whether `normal_value` of the request is `stored`.
fn is_same(request: &HeaderMap, name: &HeaderName, stored: Option<&[u8]>) -> bool {
    let Some(mut rest) = stored else {
        return !request.contains_key(name);
    };
    if !request.contains_key(name) {
        return false;
    }
    if is_preference(name)
        && let Some(preferences) = Preferences::of(request, name)
    {
        return preferences.is_normal_form(rest);
    }
    for (index, member) in normal_members(request, name).enumerate() {
        if index > 0 {
            let Some(after) = rest.strip_prefix(&[separator(name)]) else {
                return false;
            };
            rest = after;
        }
        let Some(after) = rest.strip_prefix(member) else {
            return false;
        };
        rest = after;
    }
    rest.is_empty()
}
