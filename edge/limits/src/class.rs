//! What kind of request it is, and by what it is counted.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Requests that share their limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A new connection, before anything is read from it.
    Connection,
    /// A segment of video or audio.
    Segment,
    /// A playlist or manifest.
    Manifest,
    /// Thumbnails and covers.
    Art,
    /// The viewer's page and its files.
    Web,
    /// The start of a playback session.
    Play,
    /// What a running session needs to go on: a new access token, a renewed media URL.
    Renewal,
    /// An API call that changes nothing.
    ApiRead,
    /// An API call that may change something.
    ApiWrite,
    /// A try to sign in or to register.
    Login,
    /// A part of an upload, and other requests to object storage.
    Upload,
    /// A route to a plain origin.
    Plain,
    /// A request on a connection, refused because its client asks for too much.
    Refused,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 13] = [
        Self::Connection,
        Self::Segment,
        Self::Manifest,
        Self::Art,
        Self::Web,
        Self::Play,
        Self::Renewal,
        Self::ApiRead,
        Self::ApiWrite,
        Self::Login,
        Self::Upload,
        Self::Plain,
        Self::Refused,
    ];

    /// Its name in configuration, metrics and header fields.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Segment => "segment",
            Self::Manifest => "manifest",
            Self::Art => "art",
            Self::Web => "web",
            Self::Play => "play",
            Self::Renewal => "renewal",
            Self::ApiRead => "api_read",
            Self::ApiWrite => "api_write",
            Self::Login => "login",
            Self::Upload => "upload",
            Self::Plain => "plain",
            Self::Refused => "refused",
        }
    }

    /// Do answers tell how the client stands? Those of the API do; those of the cache are the same for all.
    #[must_use]
    pub fn is_advertised(self) -> bool {
        matches!(
            self,
            Self::Play
                | Self::Renewal
                | Self::ApiRead
                | Self::ApiWrite
                | Self::Login
                | Self::Upload
        )
    }

    /// Has it a verified token that says which playback session it is of?
    pub(crate) fn is_of_a_stream(self) -> bool {
        matches!(self, Self::Segment | Self::Manifest | Self::Art)
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// By what requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The client's address: an IPv4 address, an IPv6 prefix. Of what is refused, the connection's, with its port.
    Address,
    /// A wider IPv6 prefix, as a provider gives one customer or a few.
    Aggregate,
    /// The user of a verified access token.
    User,
    /// A verified token: a playback session.
    Token,
    /// The name that somebody wants to sign in by.
    Account,
    /// All that a PoP serves.
    Pop,
}

impl Scope {
    /// Every scope, in the order in which they are asked: a request that its own address may not make takes nothing from
    /// the PoP.
    pub const ALL: [Self; 6] = [
        Self::Address,
        Self::Aggregate,
        Self::User,
        Self::Token,
        Self::Account,
        Self::Pop,
    ];

    /// Its name in configuration, metrics and header fields.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Aggregate => "aggregate",
            Self::User => "user",
            Self::Token => "token",
            Self::Account => "account",
            Self::Pop => "pop",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A class and a scope. Its number is part of what nodes tell each other: numbers of rules that exist do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuleId(pub(crate) u8);

/// More scopes than there are, so that one more renumbers nothing.
const SCOPES: u8 = 16;

impl RuleId {
    pub(crate) fn new(class: Class, scope: Scope) -> Self {
        Self(class as u8 * SCOPES + scope as u8)
    }

    pub(crate) fn class(self) -> Option<Class> {
        Class::ALL.get(usize::from(self.0 / SCOPES)).copied()
    }

    pub(crate) fn scope(self) -> Option<Scope> {
        Scope::ALL.get(usize::from(self.0 % SCOPES)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_number_tells_its_class_and_scope() {
        for class in Class::ALL {
            for scope in Scope::ALL {
                let id = RuleId::new(class, scope);
                assert_eq!((id.class(), id.scope()), (Some(class), Some(scope)));
            }
        }
        // What other nodes may send already.
        assert_eq!(RuleId::new(Class::Segment, Scope::Address).0, 16);
        assert_eq!(RuleId::new(Class::Login, Scope::Account).0, 148);
        assert_eq!(RuleId(255).class(), None);
        assert_eq!(RuleId(9).scope(), None);
    }

    #[test]
    fn names_are_those_of_the_configuration() {
        for class in Class::ALL {
            let told = toml::Value::try_from(class).unwrap();
            assert_eq!(told.as_str(), Some(class.name()));
        }
        for scope in Scope::ALL {
            let told = toml::Value::try_from(scope).unwrap();
            assert_eq!(told.as_str(), Some(scope.name()));
        }
    }
}
