//! What is held for a request.

use std::sync::Arc;

use mcsp_edge_cache::engine::{Entity, Key, Lookup, MissReason};
use mcsp_edge_policy::vary::language;

use super::asking::{Asking, Selects};
use crate::edge::Edge;

/// What is stored or being filled, in memory or on disk, or why there is nothing.
pub(super) async fn find(edge: &Edge, asking: &Asking<'_>) -> Result<Arc<Entity>, MissReason> {
    match find_selected(edge, asking, &asking.selects).await {
        Lookup::Hit(entity) => Ok(entity),
        Lookup::Miss(MissReason::Variant) => Box::pin(find_by_language(edge, asking))
            .await
            .ok_or(MissReason::Variant),
        Lookup::Miss(reason) => Err(reason),
        Lookup::OnDisk => Err(MissReason::NeverSeen),
    }
}

/// A variant in a language that the client wants above all others, wherever it is.
async fn find_by_language(edge: &Edge, asking: &Asking<'_>) -> Option<Arc<Entity>> {
    let Selects::Fields(fields) = asking.selects else {
        return None;
    };
    for language in language::of_request(fields) {
        let selects = Selects::InLanguage(fields, &language);
        if let Lookup::Hit(entity) = find_selected(edge, asking, &selects).await {
            return Some(entity);
        }
    }
    None
}

async fn find_selected(edge: &Edge, asking: &Asking<'_>, selects: &Selects<'_>) -> Lookup {
    let key = Key::new(asking.key);
    match edge.cache.lookup(key, selects) {
        Lookup::OnDisk => edge.cache.load(key, selects).await,
        found => found,
    }
}
