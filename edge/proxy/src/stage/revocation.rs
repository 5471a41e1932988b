//! `revocation`: media sessions that were ended before their time. Login sessions are judged with their token.

use std::ops::ControlFlow;

use http::request::Parts;
use mcsp_api::ProblemKind;

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;

pub(super) fn run(edge: &Edge, _request: &Parts, context: &mut RequestContext) -> Flow {
    let Some(access) = &context.access else {
        return ControlFlow::Continue(());
    };
    if access.is_revoked(&edge.revocations) {
        let text = "this media session was ended; ask for a new one";
        return ControlFlow::Break(Answer::problem(ProblemKind::Forbidden, "revoked", text));
    }
    ControlFlow::Continue(())
}

#[cfg(test)]
mod tests {
    use mcsp_api::Residency;

    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, NOW_MS, request};

    #[test]
    fn an_ended_session_is_refused_at_once() {
        let fixture = Fixture::new("los1");
        let token = fixture.media_token(Residency::Global, 0);
        let head = request(
            "GET",
            &format!("/media/{token}/global/{CONTENT}/v360/1.m4s"),
        );
        let mut context = fixture.classified(&head);
        assert!(super::super::token::run(&fixture.edge, &head, &mut context).is_continue());
        assert!(run(&fixture.edge, &head, &mut context).is_continue());
        let session = context.access.as_ref().unwrap().media_session_id().cloned();
        let session = session.unwrap();
        fixture
            .edge
            .revocations
            .revoke_media_session(&session, NOW_MS / 1000 + 3600);
        let flow = run(&fixture.edge, &head, &mut context);
        assert!(
            matches!(flow, ControlFlow::Break(answer) if answer.detail == "revoked" && answer.status == 403)
        );
    }
}
