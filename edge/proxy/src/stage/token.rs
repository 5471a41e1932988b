//! `token`: is the request entitled? Fails closed: keys that are not there yet, or are too old, are 503, never yes.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::request::Parts;
use mcsp_api::ProblemKind;
use mcsp_api::media_path::private;
use mcsp_auth_edge::{MediaGrant, MediaTokenError};

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::public_calls::TokenUse;
use crate::route::{MediaRoute, Route};

pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    match context.route.as_deref() {
        Some(Route::Media(media)) => {
            let client = context.peer.map(|peer| peer.ip());
            context.grant = Some(media_token(edge, media, client)?);
            ControlFlow::Continue(())
        }
        Some(Route::Api(api)) => access_token(edge, request, api.token_use, context),
        Some(Route::Storage(storage)) if !storage.is_presigned => {
            let text = "object storage takes presigned requests only";
            ControlFlow::Break(Answer::problem(
                ProblemKind::Forbidden,
                "not-presigned",
                text,
            ))
        }
        _ => ControlFlow::Continue(()),
    }
}

fn unavailable<T>(detail: &'static str, text: &str) -> ControlFlow<Answer, T> {
    ControlFlow::Break(Answer::problem(ProblemKind::Unavailable, detail, text))
}

fn media_token(
    edge: &Edge,
    media: &MediaRoute,
    client: Option<IpAddr>,
) -> ControlFlow<Answer, Arc<MediaGrant>> {
    if edge.keyring.is_empty() {
        return unavailable("no-keys", "this PoP has no keys yet");
    }
    if !edge.feed.is_within(edge.config.trust.media_until_ms) {
        return unavailable(
            "feed-away",
            "this PoP has not heard from its origin for too long",
        );
    }
    let forbidden = |detail: &'static str| {
        let text = "the media URL is not valid; ask for a new one";
        ControlFlow::Break(Answer::problem(ProblemKind::Forbidden, detail, text))
    };
    let grant = match edge.keyring.verify_token(&media.token) {
        Ok(grant) => grant,
        Err(error) => return forbidden(error.code()),
    };
    if grant.content_id != media.content_id || grant.residency != media.residency {
        return forbidden(MediaTokenError::OtherItem.code());
    }
    if private::PREFIXES
        .iter()
        .any(|prefix| media.rest().starts_with(prefix))
    {
        let text = "nothing is served under this path";
        return ControlFlow::Break(Answer::problem(ProblemKind::NotFound, "private", text));
    }
    if !grant.allows_client(client) {
        return forbidden(MediaTokenError::OtherClient.code());
    }
    if !grant.limits.allow(media.rest()) {
        return forbidden(MediaTokenError::Rendition.code());
    }
    ControlFlow::Continue(grant)
}

fn access_token(
    edge: &Edge,
    request: &Parts,
    token_use: TokenUse,
    context: &mut RequestContext,
) -> Flow {
    if token_use == TokenUse::Ignored {
        return ControlFlow::Continue(());
    }
    let mut values = request.headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if request.headers.contains_key(AUTHORIZATION) {
            refuse(
                "many-tokens",
                "there is more than one Authorization header",
                true,
            )
        } else if token_use == TokenUse::Optional {
            ControlFlow::Continue(())
        } else {
            refuse("no-token", "this call needs an access token", false)
        };
    };
    let Some(token) = value.to_str().ok().and_then(bearer) else {
        return refuse(
            "malformed",
            "Authorization is not of the form: Bearer <token>",
            true,
        );
    };
    if !edge.feed.is_within(edge.config.trust.tokens_until_ms) {
        return unavailable(
            "feed-away",
            "this PoP has not heard from its origin for too long",
        );
    }
    match edge.verifier.verify(token) {
        Ok(identity) => {
            context.identity = Some(identity);
            ControlFlow::Continue(())
        }
        Err(error) if error.is_unavailable() => {
            unavailable(error.code(), "this PoP has no keys now")
        }
        Err(error) => refuse(error.code(), &error.to_string(), true),
    }
}

fn refuse(detail: &'static str, text: &str, is_token_given: bool) -> Flow {
    ControlFlow::Break(Answer::unauthenticated(detail, text, is_token_given))
}

/// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use mcsp_api::Residency;

    use super::*;
    use crate::stage::testing::{CONTENT, Fixture, NOW_MS, OTHER_CONTENT, request};

    fn media_outcome(fixture: &Fixture, path: &str) -> Result<(), (StatusCode, &'static str)> {
        let head = request("GET", path);
        let mut context = fixture.classified(&head);
        match run(&fixture.edge, &head, &mut context) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(answer) => Err((answer.status, answer.detail)),
        }
    }

    #[test]
    fn a_media_url_is_good_for_its_item_its_residency_and_its_time() {
        let fixture = Fixture::new("los1");
        let token = fixture.media_token(Residency::Global, 0);
        let altered = {
            let mut bytes = token.clone().into_bytes();
            // Inside the signature, where every character carries whole bits.
            let last = bytes.len() - 10;
            bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        };
        let path = |token: &str, residency: &str, content: &str, rest: &str| {
            format!("/media/{token}/{residency}/{content}/{rest}")
        };
        let forbidden = |detail| Err((StatusCode::FORBIDDEN, detail));
        assert_eq!(
            media_outcome(&fixture, &path(&token, "global", CONTENT, "v360/1.m4s")),
            Ok(())
        );
        for (token, residency, content, detail) in [
            (token.as_str(), "global", OTHER_CONTENT, "other-item"),
            (token.as_str(), "ng", CONTENT, "other-item"),
            (altered.as_str(), "global", CONTENT, "signature"),
            ("nonsense", "global", CONTENT, "malformed"),
        ] {
            assert_eq!(
                media_outcome(&fixture, &path(token, residency, content, "v360/1.m4s")),
                forbidden(detail)
            );
        }
        assert_eq!(
            media_outcome(
                &fixture,
                &path(&token, "global", CONTENT, "source/original")
            ),
            Err((StatusCode::NOT_FOUND, "private"))
        );
        fixture.clock.set(NOW_MS + 3_600_001);
        fixture.edge.feed.touch();
        assert_eq!(
            media_outcome(&fixture, &path(&token, "global", CONTENT, "v360/1.m4s")),
            forbidden("expired")
        );
    }

    #[test]
    fn a_grants_top_rendition_is_kept_to() {
        let fixture = Fixture::new("los1");
        let token = fixture.media_token(Residency::Global, 720);
        let ask = |rest: &str| {
            media_outcome(&fixture, &format!("/media/{token}/global/{CONTENT}/{rest}"))
        };
        for rest in [
            "manifest.mpd",
            "v360/1.m4s",
            "v720/init.mp4",
            "a64/1.m4s",
            "art/1.jpg",
        ] {
            assert_eq!(ask(rest), Ok(()), "{rest}");
        }
        assert_eq!(
            ask("v1080/1.m4s"),
            Err((StatusCode::FORBIDDEN, "rendition"))
        );
    }

    #[test]
    fn without_keys_or_with_old_news_media_is_503() {
        let fixture = Fixture::without_keys("los1");
        let path = format!("/media/x/global/{CONTENT}/v360/1.m4s");
        assert_eq!(
            media_outcome(&fixture, &path),
            Err((StatusCode::SERVICE_UNAVAILABLE, "no-keys"))
        );
        let fixture = Fixture::new("los1");
        fixture.clock.set(NOW_MS + 3_600_001);
        assert_eq!(
            media_outcome(&fixture, &path),
            Err((StatusCode::SERVICE_UNAVAILABLE, "feed-away"))
        );
    }

    fn api_outcome(
        fixture: &Fixture,
        path: &str,
        authorization: &[&str],
    ) -> Result<bool, (StatusCode, &'static str)> {
        let mut head = request("GET", path);
        for value in authorization {
            head.append_header("authorization", *value).unwrap();
        }
        let mut context = fixture.classified(&head);
        match run(&fixture.edge, &head, &mut context) {
            ControlFlow::Continue(()) => Ok(context.identity.is_some()),
            ControlFlow::Break(answer) => Err((answer.status, answer.detail)),
        }
    }

    #[test]
    fn calls_need_a_token_unless_they_are_listed() {
        let fixture = Fixture::new("los1");
        let unauthenticated = |detail| Err((StatusCode::UNAUTHORIZED, detail));
        let public = format!("/api/v1/content/{CONTENT}");
        let private = "/api/v1/users/me";
        assert_eq!(
            api_outcome(&fixture, private, &[]),
            unauthenticated("no-token")
        );
        assert_eq!(api_outcome(&fixture, &public, &[]), Ok(false));
        assert_eq!(
            api_outcome(&fixture, "/api/v1/.well-known/jwks.json", &["Bearer x"]),
            Ok(false)
        );
        for (values, detail) in [
            (vec!["Basic dXNlcjpwYXNz"], "malformed"),
            (vec!["Bearer "], "malformed"),
            (vec!["Bearer a", "Bearer b"], "many-tokens"),
        ] {
            assert_eq!(
                api_outcome(&fixture, private, &values),
                unauthenticated(detail)
            );
            assert_eq!(
                api_outcome(&fixture, &public, &values),
                unauthenticated(detail),
                "a bad one is no anonymous"
            );
        }
    }

    #[test]
    fn without_keys_or_with_old_news_tokens_are_503() {
        let fixture = Fixture::without_keys("los1");
        // RFC 7515's own example has the form of a token.
        let form = "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.c2ln";
        assert_eq!(
            api_outcome(&fixture, "/api/v1/users/me", &[form]),
            Err((StatusCode::SERVICE_UNAVAILABLE, "no-keys"))
        );
        let fixture = Fixture::new("los1");
        fixture.clock.set(NOW_MS + 300_001);
        assert_eq!(
            api_outcome(&fixture, "/api/v1/users/me", &[form]),
            Err((StatusCode::SERVICE_UNAVAILABLE, "feed-away"))
        );
    }

    #[test]
    fn storage_takes_presigned_requests_only() {
        let fixture = Fixture::new("los1");
        let path = format!("/storage/mcsp-global/global/{CONTENT}/source/original");
        assert_eq!(
            media_outcome(&fixture, &path),
            Err((StatusCode::FORBIDDEN, "not-presigned"))
        );
        assert_eq!(
            media_outcome(&fixture, &format!("{path}?X-Amz-Signature=ab")),
            Ok(())
        );
    }
}
