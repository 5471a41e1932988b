//! `token`: is the request entitled? Fails closed: keys that are not there yet, or are too old, are 503, never yes.

use std::borrow::Cow;
use std::ops::ControlFlow;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, SET_COOKIE};
use http::request::Parts;
use mcsp_api::media_path::{MediaPath, private};
use mcsp_api::{ProblemKind, ViewerIdentity};
use mcsp_auth_edge::media::TokenKind;
use mcsp_auth_edge::{MediaAccess, MediaRequest, MediaTokenError, Renewal, TokenError};

use super::Flow;
use crate::answer::Answer;
use crate::context::RequestContext;
use crate::edge::Edge;
use crate::media_token;
use crate::public_calls::TokenUse;
use crate::route::{MediaRoute, Route};
use crate::target::host_of;

pub(super) fn run(edge: &Edge, request: &Parts, context: &mut RequestContext) -> Flow {
    match context.route.as_deref() {
        Some(Route::Media(media)) => {
            let (access, renewed) = media_token(edge, request, media, context)?;
            context.access = Some(access);
            context.renewed = renewed;
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

/// What a good token allows, and the field that brings its successor where that goes with the answer.
type Admitted = (MediaAccess, Option<Box<(HeaderName, HeaderValue)>>);

fn media_token(
    edge: &Edge,
    request: &Parts,
    media: &MediaRoute,
    context: &RequestContext,
) -> ControlFlow<Answer, Admitted> {
    let verifier = &edge.media;
    let is_own = TokenKind::of(&media.token) == TokenKind::Own;
    if verifier.is_empty() || (is_own && verifier.keyring().is_empty()) {
        return unavailable("no-keys", "this PoP has no keys yet");
    }
    let silent_ms = edge.feed.age_ms();
    let is_heard = |within_ms| silent_ms.is_some_and(|silent_ms| silent_ms <= within_ms);
    if !is_heard(edge.config.trust.media_until_ms) {
        return unavailable(
            "feed-away",
            "this PoP has not heard from its origin for too long",
        );
    }
    let path = MediaPath {
        residency: media.residency,
        content_id: media.content_id.clone(),
        rest: media.rest(),
    };
    let query = media_token::query(request);
    let signals = &context.visitor.signals;
    let asked = MediaRequest {
        path: &path,
        method: request.method.as_str(),
        scheme: if context.is_tls { "https" } else { "http" },
        authority: host_of(request).unwrap_or_default(),
        query: query.as_ref().map(Cow::as_ref),
        client: context.peer.map(|peer| peer.ip()),
        country: context
            .place
            .country
            .as_ref()
            .map(|country| country.as_str()),
        asn: signals.asn,
        alpn: context.visitor.alpn,
        ja4: signals.ja4.as_ref().map(|ja4| ja4.as_str()),
        headers: Some(&request.headers),
    };
    // Who has lost the feed does not know which sessions have ended.
    let may_renew = !context.is_ahead && is_heard(edge.config.trust.revalidate_after_ms);
    let (policy, revocations) = (&edge.renewal, &*edge.revocations);
    let access = match verifier.verify(&media.token, &asked) {
        Ok(access) => access,
        Err(MediaTokenError::Expired) if may_renew => {
            return match verifier.renewal(&media.token, &asked, policy, revocations) {
                Renewal::Due { path, .. } => ControlFlow::Break(Answer::redirect(&path, "renewed")),
                _ => forbidden(MediaTokenError::Expired.code()),
            };
        }
        Err(error) => return forbidden(error.code()),
    };
    if private::PREFIXES
        .iter()
        .any(|prefix| path.rest.starts_with(prefix))
    {
        let text = "nothing is served under this path";
        return ControlFlow::Break(Answer::problem(ProblemKind::NotFound, "private", text));
    }
    let renewal = if may_renew {
        verifier.renewal_of(&access, &media.token, &asked, policy, revocations)
    } else {
        Renewal::NotNeeded
    };
    let field = match renewal {
        Renewal::NotNeeded | Renewal::Over => None,
        Renewal::Due { path, .. } => {
            return ControlFlow::Break(Answer::redirect(&path, "renewed"));
        }
        Renewal::Cookie { set_cookie, .. } => secret_field(SET_COOKIE, &set_cookie),
        Renewal::Header { name, value, .. } => HeaderName::from_bytes(name.as_bytes())
            .ok()
            .and_then(|name| secret_field(name, &value)),
    };
    ControlFlow::Continue((access, field))
}

/// A field that compression between requests must not learn from (RFC 7541 section 7.1.3).
fn secret_field(name: HeaderName, value: &str) -> Option<Box<(HeaderName, HeaderValue)>> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(Box::new((name, value)))
}

fn forbidden<T>(detail: &'static str) -> ControlFlow<Answer, T> {
    let text = "the media URL is not valid; ask for a new one";
    ControlFlow::Break(Answer::problem(ProblemKind::Forbidden, detail, text))
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
    let verdict = match context.verdict.take() {
        Some(verdict) => verdict,
        None => {
            let verdict = edge.verifier.verify(token);
            context.awaits_keys = edge.token_keys.is_some() && may_be_known(&verdict);
            verdict
        }
    };
    match verdict {
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

/// May the token's issuer know a key that this node lacks?
fn may_be_known(verdict: &Result<ViewerIdentity, TokenError>) -> bool {
    use TokenError::{KeysUnavailable, NoKeys, UnknownKey};
    matches!(verdict, Err(UnknownKey | NoKeys | KeysUnavailable))
}

/// The token whose issuer is to be asked for its keys before anything is answered.
pub(super) fn awaiting(request: &Parts, context: &mut RequestContext) -> Option<String> {
    if !std::mem::take(&mut context.awaits_keys) {
        return None;
    }
    let value = request.headers.get(AUTHORIZATION)?;
    bearer(value.to_str().ok()?).map(str::to_owned)
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
            ("nonsense", "global", CONTENT, "unknown-key"),
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
