//! What is held for a request.

use std::sync::Arc;

use mcsp_edge_cache::engine::{Entity, Key, Lookup, MissReason};
use mcsp_edge_policy::vary::language;

use super::asking::{Asking, Selects};
use crate::edge::Edge;

/// What is stored or being filled, in memory or on disk, or why there is nothing.
pub(super) async fn find(edge: &Edge, asking: &Asking<'_>) -> Result<Arc<Entity>, MissReason> {
    let key = Key::new(asking.key);
    let found = match edge.cache.lookup(key, &asking.selects) {
        Lookup::OnDisk => edge.cache.load(key, &asking.selects).await,
        found => found,
    };
    match found {
        Lookup::Hit(entity) => Ok(entity),
        Lookup::Miss(MissReason::Variant) => {
            find_by_language(edge, asking).ok_or(MissReason::Variant)
        }
        Lookup::Miss(reason) => Err(reason),
        Lookup::OnDisk => Err(MissReason::NeverSeen),
    }
}

/// A variant in a language that the client wants above all others.
fn find_by_language(edge: &Edge, asking: &Asking<'_>) -> Option<Arc<Entity>> {
    let Selects::Fields(fields) = asking.selects else {
        return None;
    };
    let key = Key::new(asking.key);
    language::of_request(fields).iter().find_map(|language| {
        match edge
            .cache
            .lookup(key, &Selects::InLanguage(fields, language))
        {
            Lookup::Hit(entity) => Some(entity),
            Lookup::OnDisk | Lookup::Miss(_) => None,
        }
    })
}
