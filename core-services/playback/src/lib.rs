//! The playback service: entitlement, signed URLs, media sessions.
