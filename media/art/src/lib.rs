//! Thumbnails from a packaged rendition.
