//! [`EventError`] as a gRPC status and back, without loss: the details carry the error, the code is for everyone else.

use serde::{Deserialize, Serialize};
use tonic::{Code, Status};

use crate::EventError;

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Wire {
    Unavailable { reason: String },
    UnknownTopic { topic: String },
    Fenced { group: String, member: String },
    Invalid { reason: String },
    Corrupt { reason: String },
}

pub(super) fn to_status(error: EventError) -> Status {
    let message = error.to_string();
    let (code, wire) = match error {
        EventError::Unavailable(reason) => (Code::Unavailable, Wire::Unavailable { reason }),
        EventError::UnknownTopic(topic) => (Code::NotFound, Wire::UnknownTopic { topic }),
        EventError::Fenced { group, member } => {
            (Code::FailedPrecondition, Wire::Fenced { group, member })
        }
        EventError::Invalid(reason) => (Code::InvalidArgument, Wire::Invalid { reason }),
        EventError::Corrupt(reason) => (Code::DataLoss, Wire::Corrupt { reason }),
    };
    // An enum of strings always has a JSON form.
    let details = serde_json::to_vec(&wire).unwrap_or_default();
    Status::with_details(code, message, details.into())
}

pub(super) fn from_status(status: &Status) -> EventError {
    match serde_json::from_slice(status.details()) {
        Ok(Wire::Unavailable { reason }) => EventError::Unavailable(reason),
        Ok(Wire::UnknownTopic { topic }) => EventError::UnknownTopic(topic),
        Ok(Wire::Fenced { group, member }) => EventError::Fenced { group, member },
        Ok(Wire::Invalid { reason }) => EventError::Invalid(reason),
        Ok(Wire::Corrupt { reason }) => EventError::Corrupt(reason),
        Err(_) => from_code(status),
    }
}

/// What did not come from a log, but from the way there.
fn from_code(status: &Status) -> EventError {
    let reason = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::Unimplemented => EventError::Invalid(reason),
        _ => EventError::Unavailable(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_survives_the_way() {
        for error in [
            EventError::Unavailable("away".to_owned()),
            EventError::UnknownTopic("t".to_owned()),
            EventError::Fenced {
                group: "g".to_owned(),
                member: "m".to_owned(),
            },
            EventError::Invalid("no".to_owned()),
            EventError::Corrupt("bits".to_owned()),
        ] {
            let before = format!("{error:?}");
            assert_eq!(format!("{:?}", from_status(&to_status(error))), before);
        }
    }

    #[test]
    fn a_refused_caller_does_not_try_again_and_a_cut_one_does() {
        assert!(!from_status(&Status::permission_denied("no")).is_retryable());
        assert!(from_status(&Status::deadline_exceeded("late")).is_retryable());
        assert!(from_status(&Status::unknown("reset")).is_retryable());
    }
}
