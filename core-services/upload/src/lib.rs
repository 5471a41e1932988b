//! The upload service: sessions, presigned parts, completion.
