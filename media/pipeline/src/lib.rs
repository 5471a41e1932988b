//! The stages from upload to published, each an idempotent consumer of the event log.
//!
//! A stage reads one topic, does its work under names that do not depend on how often it is done, and writes its own
//! state and its outgoing event in the transaction that marks the incoming event as consumed. A stage that is cut short
//! at any point is simply run again.
