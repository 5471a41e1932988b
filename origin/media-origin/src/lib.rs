//! Serves published media from object storage to edges.
