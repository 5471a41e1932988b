//! Who may see an item. Pure, so that every case can be tested.

use mcsp_api::rest::{ContentStatus, Visibility};
use mcsp_api::{Role, UserId, ViewerIdentity};

/// How an item looks to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All of it, and it may be changed.
    Owner,
    /// What the public sees.
    Public,
    /// It was the viewer's own and is gone.
    Gone,
    /// As if it did not exist.
    Hidden,
}

/// How an item of `owner` in this state looks to `viewer`.
#[must_use]
pub fn sight(
    owner: &UserId,
    status: ContentStatus,
    visibility: Visibility,
    viewer: Option<&ViewerIdentity>,
) -> Sight {
    let is_owner = viewer.is_some_and(|v| v.user_id == *owner);
    match (status, visibility) {
        (ContentStatus::Deleted, _) if is_owner => Sight::Gone,
        (ContentStatus::Deleted, _) => Sight::Hidden,
        _ if is_owner => Sight::Owner,
        (ContentStatus::Published, Visibility::Public | Visibility::Unlisted) => Sight::Public,
        _ => Sight::Hidden,
    }
}

/// On whose authority an item is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletedBy {
    /// Its owner's.
    Owner,
    /// A platform administrator's, which is audited.
    Administrator,
}

/// May `viewer` delete an item of `owner`?
#[must_use]
pub fn deletion(owner: &UserId, viewer: &ViewerIdentity) -> Option<DeletedBy> {
    if viewer.user_id == *owner {
        Some(DeletedBy::Owner)
    } else if viewer.role == Role::PlatformAdmin {
        Some(DeletedBy::Administrator)
    } else {
        None
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

    fn viewer(seed: u64, role: Role) -> ViewerIdentity {
        let region = "gl".parse().expect("a code");
        ViewerIdentity {
            user_id: UserId::generate(region, &*ManualClock::new(1), &*SeededEntropy::new(seed)),
            role,
            session_id: "s".into(),
            organisation_id: None,
            expires_s: i64::MAX,
        }
    }

    #[test]
    fn strangers_see_only_what_is_published_and_not_private() {
        let owner = viewer(1, Role::Creator);
        for other in [
            None,
            Some(viewer(2, Role::Viewer)),
            Some(viewer(3, Role::PlatformAdmin)),
        ] {
            for status in ALL {
                for visibility in [
                    Visibility::Public,
                    Visibility::Unlisted,
                    Visibility::Private,
                ] {
                    let open =
                        status == ContentStatus::Published && visibility != Visibility::Private;
                    let expected = if open { Sight::Public } else { Sight::Hidden };
                    assert_eq!(
                        sight(&owner.user_id, status, visibility, other.as_ref()),
                        expected
                    );
                }
            }
        }
    }

    #[test]
    fn the_owner_sees_all_until_it_is_gone() {
        let owner = viewer(1, Role::Creator);
        for status in ALL {
            let expected = if status == ContentStatus::Deleted {
                Sight::Gone
            } else {
                Sight::Owner
            };
            assert_eq!(
                sight(&owner.user_id, status, Visibility::Private, Some(&owner)),
                expected
            );
        }
    }

    #[test]
    fn only_owners_and_platform_administrators_delete() {
        let owner = viewer(1, Role::Creator);
        assert_eq!(deletion(&owner.user_id, &owner), Some(DeletedBy::Owner));
        assert_eq!(
            deletion(&owner.user_id, &viewer(2, Role::PlatformAdmin)),
            Some(DeletedBy::Administrator)
        );
        for role in [Role::Viewer, Role::Creator, Role::OrgAdmin, Role::Moderator] {
            assert_eq!(deletion(&owner.user_id, &viewer(2, role)), None);
        }
    }
}
