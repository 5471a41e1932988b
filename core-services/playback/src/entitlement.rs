//! May this viewer play this item? Pure, so that every case can be tested.

use mcsp_api::UserId;
use mcsp_api::rest::{ContentStatus, Visibility};
use mcsp_pop_config::CountryCode;

/// What of an item decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'a> {
    /// Who owns it.
    pub owner_id: &'a UserId,
    /// Where it stands.
    pub status: ContentStatus,
    /// Who may see it.
    pub visibility: Visibility,
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// As if it did not exist.
    Hidden,
    /// It was the viewer's own and is gone.
    Gone,
    /// It is the viewer's own and cannot be played yet.
    NotYet(ContentStatus),
    /// It is the viewer's own and may not be shown, or cannot be played at all.
    Never(ContentStatus),
    /// Not in the viewer's country.
    Country,
}

/// Decides for a viewer in `country`, if that is known.
///
/// # Errors
/// The reason. Of what a viewer may not know, the reason is always [`Refusal::Hidden`].
pub fn entitle(
    item: Item<'_>,
    viewer: &UserId,
    country: Option<CountryCode>,
    countries_refused: &[CountryCode],
) -> Result<(), Refusal> {
    let is_owner = viewer == item.owner_id;
    match item.status {
        ContentStatus::Published if is_owner || item.visibility != Visibility::Private => {}
        _ if !is_owner => return Err(Refusal::Hidden),
        ContentStatus::Deleted => return Err(Refusal::Gone),
        status @ (ContentStatus::Blocked | ContentStatus::Failed | ContentStatus::Removed) => {
            return Err(Refusal::Never(status));
        }
        status => return Err(Refusal::NotYet(status)),
    }
    match country {
        Some(country) if countries_refused.contains(&country) => Err(Refusal::Country),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcsp_runtime::{ManualClock, SeededEntropy};

    const ALL: [ContentStatus; 9] = [
        ContentStatus::Draft,
        ContentStatus::Processing,
        ContentStatus::UnderReview,
        ContentStatus::PendingModeration,
        ContentStatus::Published,
        ContentStatus::Deleted,
        ContentStatus::Blocked,
        ContentStatus::Failed,
        ContentStatus::Removed,
    ];

    fn user(seed: u64) -> UserId {
        UserId::generate(
            "gl".parse().expect("a code"),
            &*ManualClock::new(1),
            &*SeededEntropy::new(seed),
        )
    }

    #[test]
    fn strangers_play_only_what_is_published_and_not_private() {
        let owner = user(1);
        for status in ALL {
            for visibility in [
                Visibility::Public,
                Visibility::Unlisted,
                Visibility::Private,
            ] {
                let item = Item {
                    owner_id: &owner,
                    status,
                    visibility,
                };
                let open = status == ContentStatus::Published && visibility != Visibility::Private;
                let expected = if open { Ok(()) } else { Err(Refusal::Hidden) };
                assert_eq!(
                    entitle(item, &user(2), None, &[]),
                    expected,
                    "{status:?} {visibility:?}"
                );
            }
        }
    }

    #[test]
    fn the_owner_hears_why() {
        use ContentStatus as S;
        let owner = user(1);
        for status in ALL {
            let item = Item {
                owner_id: &owner,
                status,
                visibility: Visibility::Private,
            };
            let expected = match status {
                S::Published => Ok(()),
                S::Deleted => Err(Refusal::Gone),
                S::Blocked | S::Failed | S::Removed => Err(Refusal::Never(status)),
                _ => Err(Refusal::NotYet(status)),
            };
            assert_eq!(entitle(item, &owner, None, &[]), expected);
        }
    }

    #[test]
    fn a_refused_country_tells_nothing_of_hidden_items() {
        let owner = user(1);
        let refused: Vec<CountryCode> = vec!["KP".parse().expect("a country")];
        let published = Item {
            owner_id: &owner,
            status: ContentStatus::Published,
            visibility: Visibility::Public,
        };
        let hidden = Item {
            visibility: Visibility::Private,
            ..published
        };
        let there = "KP".parse().ok();
        assert_eq!(
            entitle(published, &user(2), there, &refused),
            Err(Refusal::Country)
        );
        assert_eq!(
            entitle(hidden, &user(2), there, &refused),
            Err(Refusal::Hidden)
        );
        assert_eq!(
            entitle(published, &user(2), "NG".parse().ok(), &refused),
            Ok(())
        );
        assert_eq!(entitle(published, &user(2), None, &refused), Ok(()));
    }
}
