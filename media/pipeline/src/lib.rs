//! The stages from upload to published, each an idempotent consumer.
