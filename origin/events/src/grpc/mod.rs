//! The log between processes: one owns the file, the others call it by gRPC (`proto/events.proto`).

mod client;
mod convert;
mod server;
mod status;

use mcsp_api::proto::events::event_log_server::EventLogServer;

use crate::SharedEventLog;

pub use client::RemoteLog;
pub use server::EventLogService;

/// The most that one message takes, bytes: a full batch and its framing.
const MESSAGE_BYTES_MAX: usize = 2 * crate::READ_BYTES_MAX;

/// The log as a gRPC service. Who may call it is the caller table's business.
#[must_use]
pub fn grpc_service(log: SharedEventLog) -> EventLogServer<EventLogService> {
    EventLogServer::new(EventLogService::new(log))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}
