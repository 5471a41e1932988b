//! What the simulation's feed, clients and origins take away, make stale or put in place of what there was.

use super::*;

impl World {
    pub(super) async fn purge(&mut self, target: Target, how: u64, soft: bool) {
        let key = target.key;
        let selector = match how {
            0..2 => PurgeSelector::Key(target.text().into()),
            2..4 => PurgeSelector::Prefix(target.prefix().into()),
            4..6 => PurgeSelector::SurrogateKey(format!("t{key}").into()),
            6..8 if target.is_plain() => PurgeSelector::ContentId(format!("t{key}").into()),
            6..8 => PurgeSelector::ContentId(format!("c{key}").into()),
            _ => PurgeSelector::Everything,
        };
        let all = selector == PurgeSelector::Everything;
        self.harness.purge(selector, soft);
        for reached in 0..KEYS {
            if all || reached == key {
                self.purges[reached] += 1;
                if !soft {
                    self.gone[reached] = self.purges[reached];
                    self.cut[reached] = self.purges[reached];
                }
            }
        }
        // As a node does before it acknowledges a purge.
        self.harness.cache.flush_purges().await.unwrap();
        self.count(if soft { "soft purge" } else { "hard purge" });
    }

    /// A client's request changed the origin. Readers go on.
    pub(super) fn invalidate(&mut self, target: Target) {
        if !target.is_plain() {
            return;
        }
        self.harness.cache.invalidate(Key::new(&target.text()));
        self.purges[target.key] += 1;
        self.gone[target.key] = self.purges[target.key];
        self.count("invalidation");
    }

    /// A client's request goes to the origin, or the answer to one comes that takes the place of what there was.
    pub(super) fn post(&mut self, target: Target, roll: u64) {
        if target.is_plain() && roll < 3 {
            let version = self.purges[target.key];
            let ticket = self.harness.cache.ticket();
            return self.posts.push((target, version, ticket));
        }
        let Some((target, version, asked)) = self.posts.pop() else {
            return;
        };
        let text = target.text();
        let taken = self.harness.cache.supersede(Key::new(&text), asked);
        let is_late = version < self.purges[target.key];
        self.purges[target.key] += 1;
        self.gone[target.key] = self.purges[target.key];
        let Some(ticket) = taken else {
            assert!(is_late, "nothing reached the key since it was asked for");
            return self.count("answer too late");
        };
        // What named its surrogate key only is seen at its head, where it is known.
        let version = if is_late {
            version
        } else {
            self.purges[target.key]
        };
        let cache = &self.harness.cache;
        match cache.join(Key::new(&text), &target.request(), ticket, None) {
            Join::Lead(lead) => self.fetches.push(Fetch {
                target,
                version,
                lead,
            }),
            Join::Follow(follow) => self.follows.push((target, version, follow)),
        }
        self.count("answer in its place");
    }

    /// A soft purge makes stale; the origin says that nothing changed, and it is fresh again under its new version.
    pub(super) async fn revalidate(&mut self, target: Target, before: bool) {
        let Some(entity) = self.harness.hit_for(&target.text(), &target.request()) else {
            return;
        };
        let cache = &self.harness.cache;
        let ticket = cache.ticket();
        if before {
            // A purge comes while the origin answers.
            let text = target.text();
            self.harness.purge(PurgeSelector::Key(text.into()), true);
            self.purges[target.key] += 1;
            cache.flush_purges().await.unwrap();
            let head = self
                .harness
                .head(&[("x-version", &version_header(&entity))]);
            let updated = cache.update_head(&entity, ticket, head);
            assert!(updated != Ok(true), "asked for before a purge");
            assert!(!entity.is_fresh(cache.now_ms()));
            self.count("late revalidation");
        } else if !entity.is_expired() {
            let head = self
                .harness
                .head(&[("x-version", &version_header(&entity))]);
            assert!(matches!(
                cache.update_head(&entity, ticket, head),
                Ok(true) | Err(_)
            ));
            self.count("revalidation");
        }
    }
}
