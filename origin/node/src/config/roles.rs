//! What a process runs.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Accounts, sessions, token keys.
    Auth,
    /// Upload sessions.
    Upload,
    /// Content records.
    Content,
    /// Media sessions, signed URLs. Owns the media keys, so it runs where `feed` does.
    Playback,
    /// Object storage: owns the folder, serves S3.
    Storage,
    /// Published media to edges.
    MediaOrigin,
    /// The event log: owns its file, serves it.
    Events,
    /// The key-value store: owns its files, serves it.
    Kv,
    /// The edge feed, and the mirror of other regions' feeds.
    Feed,
    /// The pages.
    Web,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 10] = [
        Self::Auth,
        Self::Upload,
        Self::Content,
        Self::Playback,
        Self::Storage,
        Self::MediaOrigin,
        Self::Events,
        Self::Kv,
        Self::Feed,
        Self::Web,
    ];

    /// As configuration writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Upload => "upload",
            Self::Content => "content",
            Self::Playback => "playback",
            Self::Storage => "storage",
            Self::MediaOrigin => "media-origin",
            Self::Events => "events",
            Self::Kv => "kv",
            Self::Feed => "feed",
            Self::Web => "web",
        }
    }
}

/// The roles of a process. `all` stands for every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct Roles {
    set: BTreeSet<Role>,
    is_all: bool,
}

impl Default for Roles {
    fn default() -> Self {
        Self {
            set: Role::ALL.into(),
            is_all: true,
        }
    }
}

impl Roles {
    /// Does the process run this?
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.set.contains(&role)
    }

    /// Was it `all` that was asked for?
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.is_all
    }

    /// Each role.
    pub fn iter(&self) -> impl Iterator<Item = Role> {
        self.set.iter().copied()
    }
}

impl TryFrom<Vec<String>> for Roles {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        if names.is_empty() {
            return Err(format!("no role; expected {}", known()));
        }
        let is_all = names.iter().any(|name| name == "all");
        let set = names
            .iter()
            .filter(|name| *name != "all")
            .map(|name| {
                let role = Role::ALL.into_iter().find(|role| role.as_str() == name);
                role.ok_or_else(|| format!("role {name:?}; expected {}", known()))
            })
            .collect::<Result<BTreeSet<_>, _>>()?;
        Ok(if is_all {
            Self::default()
        } else {
            Self { set, is_all }
        })
    }
}

impl From<Roles> for Vec<String> {
    fn from(roles: Roles) -> Self {
        match roles.is_all {
            true => vec!["all".to_owned()],
            false => roles
                .set
                .iter()
                .map(|role| role.as_str().to_owned())
                .collect(),
        }
    }
}

impl FromStr for Roles {
    type Err = String;

    /// A list with commas, as the command line takes it.
    fn from_str(text: &str) -> Result<Self, String> {
        let names = text.split(',').map(|name| name.trim().to_owned());
        names
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>()
            .try_into()
    }
}

fn known() -> String {
    let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str()).collect();
    format!("all, or any of {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_from_lists_and_texts() {
        let some: Roles = "auth, media-origin".parse().expect("roles");
        assert!(
            some.has(Role::Auth)
                && some.has(Role::MediaOrigin)
                && !some.has(Role::Web)
                && !some.is_all()
        );
        let all: Roles = "auth,all".parse().expect("roles");
        assert_eq!(all, Roles::default());
        for text in ["", "auth,everything", "Auth"] {
            let error = text.parse::<Roles>().expect_err(text);
            assert!(error.contains("expected all, or any of auth"), "{error}");
        }
    }

    #[test]
    fn every_role_is_named_as_serde_names_it() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).expect("JSON"), role.as_str());
        }
    }
}
