//! What is in rule files and does nothing, gathered while they are compiled.

use crate::error::{Location, Notice, NoticeKind};

/// Notices that are kept of one set.
const NOTICES_MAX: usize = 100;

/// Notices so far, in order.
#[derive(Debug, Default)]
pub(super) struct Notices(Vec<Notice>);

impl Notices {
    /// Once a place, also where it is the default of many rules.
    pub(super) fn add(&mut self, location: &Location, rule: u64, kind: NoticeKind) {
        let is_known = |notice: &Notice| notice.location == *location;
        if self.0.len() < NOTICES_MAX && !self.0.iter().any(is_known) {
            self.0.push(Notice {
                location: location.clone(),
                rule,
                kind,
            });
        }
    }

    pub(super) fn into_inner(self) -> Vec<Notice> {
        self.0
    }
}
