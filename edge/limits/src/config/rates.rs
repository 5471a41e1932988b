//! The rates of all classes and scopes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LimitsConfigError;
use crate::class::{Class, Scope};
use crate::rate::Rate;

/// Rates, `[limits.rate.<class>] <scope> = "<rate>"`; what is not named keeps its default.
///
/// The defaults for addresses are for networks in which thousands of viewers share one. An [aggregate](Scope::Aggregate) has
/// no key of its own: it follows the address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rates(BTreeMap<Class, BTreeMap<Scope, Rate>>);

impl Default for Rates {
    fn default() -> Self {
        let of_class = |class| {
            let scopes = scopes(class).iter();
            let rates = scopes.map(|scope| (*scope, default_of(class, *scope)));
            (class, rates.collect())
        };
        Self(Class::ALL.into_iter().map(of_class).collect())
    }
}

impl Rates {
    /// The rate of a class and a scope.
    #[must_use]
    pub fn of(&self, class: Class, scope: Scope) -> Rate {
        let named = self.0.get(&class).and_then(|rates| rates.get(&scope));
        named.copied().unwrap_or_else(|| default_of(class, scope))
    }

    /// Sets one.
    pub fn set(&mut self, class: Class, scope: Scope, rate: Rate) {
        self.0.entry(class).or_default().insert(scope, rate);
    }

    pub(super) fn validate(&self) -> Result<(), LimitsConfigError> {
        for (class, rates) in &self.0 {
            let known = scopes(*class);
            for (scope, rate) in rates {
                if !known.contains(scope) {
                    let names: Vec<_> = known.iter().map(|scope| scope.name()).collect();
                    let expected = format!("one of: {}", names.join(", "));
                    let key = format!("rate.{class}.{scope}");
                    return Err(LimitsConfigError::new(key, rate, expected));
                }
            }
        }
        Ok(())
    }
}

/// By what a class can be counted.
fn scopes(class: Class) -> &'static [Scope] {
    match class {
        Class::Connection | Class::Web | Class::Plain | Class::Upload => {
            &[Scope::Address, Scope::Pop]
        }
        Class::Refused => &[Scope::Address],
        Class::Segment | Class::Manifest | Class::Art => {
            &[Scope::Address, Scope::Token, Scope::Pop]
        }
        Class::Play | Class::Renewal | Class::ApiRead | Class::ApiWrite => {
            &[Scope::Address, Scope::User, Scope::Pop]
        }
        Class::Login => &[Scope::Address, Scope::Account, Scope::Pop],
    }
}

fn default_of(class: Class, scope: Scope) -> Rate {
    let rate = Rate::per_second;
    match (class, scope) {
        (Class::Connection, Scope::Address) => rate(200, 2_000),
        (Class::Refused, Scope::Address) => rate(5, 50),
        (Class::Segment, Scope::Address) => rate(2_000, 8_000),
        // One player, at several times its speed, and seeking.
        (Class::Segment, Scope::Token) => rate(100, 400),
        (Class::Manifest, Scope::Address) => rate(500, 2_000),
        (Class::Manifest, Scope::Token) => rate(20, 200),
        (Class::Art, Scope::Address) => rate(1_000, 4_000),
        (Class::Art, Scope::Token) => rate(50, 500),
        (Class::Web, Scope::Address) => rate(500, 2_000),
        (Class::Play, Scope::Address) => rate(100, 500),
        (Class::Play, Scope::User) => rate(5, 50),
        (Class::Play, Scope::Pop) => rate(2_000, 8_000),
        (Class::Renewal, Scope::Address) => rate(200, 1_000),
        (Class::Renewal, Scope::User) => rate(5, 50),
        (Class::ApiRead, Scope::Address) => rate(500, 2_000),
        (Class::ApiRead, Scope::User) => rate(50, 200),
        (Class::ApiRead, Scope::Pop) => rate(5_000, 20_000),
        (Class::ApiWrite, Scope::Address) => rate(200, 1_000),
        (Class::ApiWrite, Scope::User) => rate(10, 100),
        (Class::ApiWrite, Scope::Pop) => rate(2_000, 8_000),
        (Class::Login, Scope::Address) => rate(10, 200),
        (Class::Login, Scope::Account) => Rate::per_minute(12, 10),
        // Each costs an origin a password hash.
        (Class::Login, Scope::Pop) => rate(200, 1_000),
        (Class::Upload, Scope::Address) => rate(200, 1_000),
        _ => Rate::OFF,
    }
}
