//! Tries to sign in, counted by the account, from wherever they come. Its name is in the body, which is read before an origin
//! is asked, and goes on from what is kept for another try.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::EXPECT;
use mcsp_api::ProblemKind;
use mcsp_api::rest::{LoginRequest, RegisterRequest};
use mcsp_edge_limits::{Class, Fingerprint};
use pingora_error::Result;
use pingora_proxy::Session;

use super::{EdgeProxy, of_client};
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::stage::{Flow, turn_away};

/// Enough for any name and password, and less than pingora keeps of a body for another try (64 KiB).
pub(crate) const LOGIN_BYTES_MAX: u64 = 16 << 10;

impl EdgeProxy {
    /// Counts the request by whom it wants to sign in.
    pub(super) async fn count_login(
        &self,
        session: &mut Session,
        context: &mut RequestContext,
    ) -> Result<Flow> {
        let timeout_ms = self.edge.config.limits.client_read_timeout_ms;
        let reading = read_whole(session);
        let Ok(read) = tokio::time::timeout(Duration::from_millis(timeout_ms), reading).await
        else {
            return Ok(ControlFlow::Break(Answer::slow_body()));
        };
        let Some(body) = read? else {
            let text = "a name and a password are not as long";
            let answer = Answer::problem(ProblemKind::PayloadTooLarge, "body-too-large", text);
            return Ok(ControlFlow::Break(answer));
        };
        let counted = account_of(&body).map(|account| self.edge.limits.account(account));
        Ok(match counted {
            Some(Err(turned)) => turn_away(&self.edge, context, Class::Login, &turned),
            _ => ControlFlow::Continue(()),
        })
    }
}

/// The request's body, which pingora keeps as well; absent where it is too large.
async fn read_whole(session: &mut Session) -> Result<Option<Bytes>> {
    let is_asked_for = session.req_header().headers.contains_key(EXPECT);
    let client = session.as_downstream_mut();
    client.enable_retry_buffering();
    if is_asked_for && !client.is_body_empty() {
        of_client(client.write_continue_response().await)?;
    }
    let mut body = BytesMut::new();
    while let Some(piece) = of_client(client.read_request_body().await)? {
        if (body.len() + piece.len()) as u64 > LOGIN_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body.freeze()))
}

/// Whose account, as the service would read it; what it cannot read it refuses.
fn account_of(body: &[u8]) -> Option<Fingerprint> {
    let login = serde_json::from_slice::<LoginRequest>(body).map(|request| request.email);
    let register = || serde_json::from_slice::<RegisterRequest>(body).map(|request| request.email);
    let email = login.or_else(|_| register()).ok()?;
    Some(Fingerprint::of_account(&email))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_as_the_service_reads_it() {
        let ada = Some(Fingerprint::of_account("ada@example.ng"));
        for (body, wanted) in [
            (r#"{"email":"ada@example.ng","password":"x"}"#, ada),
            (r#"{"password":"x","email":" ADA@example.ng "}"#, ada),
            (r#"{"em\u0061il":"ada@example.ng","password":"x"}"#, ada),
            (
                r#"{"email":"ada@example.ng","password":"x","display_name":"Ada"}"#,
                ada,
            ),
            // Neither would the service take these.
            (r#"{"email":"ada@example.ng"}"#, None),
            (r#"{"email":"a","email":"b","password":"x"}"#, None),
            (r#"{"email":1,"password":"x"}"#, None),
            ("email=ada@example.ng", None),
            ("", None),
        ] {
            assert_eq!(account_of(body.as_bytes()), wanted, "{body}");
        }
    }
}
