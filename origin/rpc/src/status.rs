//! Problems (RFC 9457) as gRPC statuses and back.

use mcsp_api::{Problem, ProblemKind};
use tonic::{Code, Status};

/// The status that carries `problem` to a gRPC caller: the nearest code, and the whole problem as the status' details,
/// so that [`problem_from_status`] gets it back.
#[must_use]
pub fn status_from_problem(problem: &Problem) -> Status {
    let message = problem
        .detail
        .clone()
        .unwrap_or_else(|| problem.title.clone());
    Status::with_details(code_of(problem.status), message, problem.to_json().into())
}

/// The problem that a status carries, or the nearest kind for its code. A message that is not a problem's own is not
/// passed on: it may be another service's.
#[must_use]
pub fn problem_from_status(status: &Status) -> Problem {
    serde_json::from_slice(status.details())
        .unwrap_or_else(|_| Problem::new(kind_of(status.code())))
}

fn code_of(http_status: u16) -> Code {
    match http_status {
        400 | 415 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 | 410 => Code::NotFound,
        405 => Code::Unimplemented,
        409 => Code::Aborted,
        413 => Code::OutOfRange,
        421 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        502 | 503 => Code::Unavailable,
        504 => Code::DeadlineExceeded,
        _ => Code::Internal,
    }
}

fn kind_of(code: Code) -> ProblemKind {
    match code {
        Code::InvalidArgument | Code::OutOfRange => ProblemKind::InvalidRequest,
        Code::Unauthenticated => ProblemKind::Unauthenticated,
        Code::PermissionDenied => ProblemKind::Forbidden,
        Code::NotFound => ProblemKind::NotFound,
        Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => ProblemKind::Conflict,
        Code::ResourceExhausted => ProblemKind::TooManyRequests,
        Code::Unavailable | Code::Cancelled => ProblemKind::Unavailable,
        Code::DeadlineExceeded => ProblemKind::Timeout,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::Unimplemented => {
            ProblemKind::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_the_way_there_and_back() {
        for kind in [
            ProblemKind::InvalidRequest,
            ProblemKind::NotFound,
            ProblemKind::Gone,
            ProblemKind::WrongPop,
            ProblemKind::Unavailable,
            ProblemKind::Internal,
        ] {
            let problem = Problem::new(kind)
                .detail("the part is too large")
                .retry_after_s(3);
            assert_eq!(problem_from_status(&status_from_problem(&problem)), problem);
        }
        assert_eq!(
            status_from_problem(&Problem::new(ProblemKind::Unavailable)).code(),
            Code::Unavailable
        );
    }

    #[test]
    fn a_strangers_message_is_not_passed_on() {
        let problem = problem_from_status(&Status::internal("table users: disk I/O error"));
        assert_eq!(problem, Problem::new(ProblemKind::Internal));
        assert_eq!(problem_from_status(&Status::not_found("x")).status, 404);
    }
}
