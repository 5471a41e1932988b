//! The edge's segment cache.
