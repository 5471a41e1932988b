//! What must not be in a log.

/// What stands in for a secret.
pub(crate) const REDACTED: &str = "[redacted]";

/// A field with one of these names, or whose name ends in `_` and one of them, holds a secret.
const SECRET_FIELDS: [&str; 7] = [
    "authorization",
    "cookie",
    "key_pem",
    "password",
    "secret",
    "signature",
    "token",
];
/// The second step of media paths that carry no token.
const RESIDENCY_PREFIXES: [&str; 2] = ["ng", "global"];
/// What comes right before a secret inside a text, and ends where a character cannot be part of one.
const SECRET_PREFIXES: [&str; 3] = ["Bearer ", "X-Amz-Signature=", "X-Amz-Credential="];

/// Media tokens have 150 characters or more, ids and digests at most 64.
const TOKEN_RUN_CHARS_MIN: usize = 96;

/// A request's path as it may be logged: without its query, and without the token of a media path.
#[must_use]
pub fn redact_path(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    redact_text(path)
}

/// A text as it may be logged: media tokens, bearer tokens and request signatures taken out.
#[must_use]
pub fn redact_text(text: &str) -> String {
    let mut out = redact_long_runs(&redact_media_tokens(text));
    for prefix in SECRET_PREFIXES {
        if out.contains(prefix) {
            out = redact_after(&out, prefix, |c| {
                c.is_whitespace() || matches!(c, '&' | '"' | '\'' | ',')
            });
        }
    }
    out
}

/// Is a field of this name a secret?
pub(crate) fn is_secret_field(name: &str) -> bool {
    SECRET_FIELDS.iter().any(|secret| {
        name.strip_suffix(secret)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

fn redact_media_tokens(text: &str) -> String {
    const PREFIX: &str = "/media/";
    if !text.contains(PREFIX) {
        return text.to_owned();
    }
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(PREFIX) {
        let (before, after) = rest.split_at(at + PREFIX.len());
        out.push_str(before);
        let end = after.find(ends).unwrap_or(after.len());
        let (step, tail) = after.split_at(end);
        // No token has a brace in it; a route's pattern has.
        let is_plain =
            step.is_empty() || step.starts_with('{') || RESIDENCY_PREFIXES.contains(&step);
        out.push_str(if is_plain { step } else { REDACTED });
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// A token stays secret where a request's path is not of the form that it belongs in, such as `/media//{token}` or
/// `/MEDIA/{token}`: nothing else has so many of its characters in a row.
fn redact_long_runs(text: &str) -> String {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_token_char(c)).unwrap_or(rest.len());
        let (run, tail) = rest.split_at(end);
        out.push_str(if run.len() >= TOKEN_RUN_CHARS_MIN {
            REDACTED
        } else {
            run
        });
        let next = tail.find(is_token_char).unwrap_or(tail.len());
        out.push_str(&tail[..next]);
        rest = &tail[next..];
    }
    out
}

fn redact_after(text: &str, prefix: &str, ends: impl Fn(char) -> bool + Copy) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(prefix) {
        let (before, after) = rest.split_at(at + prefix.len());
        out.push_str(before);
        out.push_str(REDACTED);
        rest = &after[after.find(ends).unwrap_or(after.len())..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_out_of_its_place_is_taken_out_too() {
        let token = "AQEAQfEjmymu_NE-".repeat(10);
        for path in [
            format!("/media//{token}/global/c/x"),
            format!("/MEDIA/{token}/global/c/x"),
            format!("/%6dedia/{token}%2fglobal"),
            format!("//media/{token}"),
            token.clone(),
        ] {
            let redacted = redact_path(&path);
            assert!(!redacted.contains("AQEA"), "{redacted}");
        }
        let digest = format!("/objects/{}/v360/1.m4s", "0a".repeat(32));
        assert_eq!(redact_path(&digest), digest);
    }

    #[test]
    fn a_path_loses_its_query_and_its_media_token() {
        assert_eq!(
            redact_path("/api/v1/users/me?email=a@b"),
            "/api/v1/users/me"
        );
        assert_eq!(
            redact_path("/media/SeCrEt/global/c_ng_x/1.m4s?x=1"),
            "/media/[redacted]/global/c_ng_x/1.m4s"
        );
        assert_eq!(
            redact_path("/media/ng/c_ng_x/1.m4s"),
            "/media/ng/c_ng_x/1.m4s"
        );
        assert_eq!(redact_path("/media/SeCrEt"), "/media/[redacted]");
        assert_eq!(redact_path("/media/{residency}/x"), "/media/{residency}/x");
    }

    #[test]
    fn secrets_inside_a_text_are_taken_out() {
        assert_eq!(
            redact_text(
                "GET https://x/media/SeCrEt/ng/a failed after https://y/media/OtHeR/global/b"
            ),
            "GET https://x/media/[redacted]/ng/a failed after https://y/media/[redacted]/global/b"
        );
        assert_eq!(
            redact_text("header Bearer abc.def, then"),
            "header Bearer [redacted], then"
        );
        assert_eq!(
            redact_text("PUT /storage/a?X-Amz-Signature=dead&partNumber=1"),
            "PUT /storage/a?X-Amz-Signature=[redacted]&partNumber=1"
        );
    }

    #[test]
    fn fields_are_secret_by_name() {
        for name in [
            "password",
            "refresh_token",
            "token",
            "authorization",
            "set_cookie",
            "secret",
        ] {
            assert!(is_secret_field(name), "{name}");
        }
        for name in ["path", "tokens", "trace_id", "key_id", "secretary"] {
            assert!(!is_secret_field(name), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_no_media_token_survives(text in ".{0,80}", token in "[A-Za-z0-9_-]{20,40}") {
            let out = redact_text(&format!("{text}/media/{token}/ng/x"));
            assert!(!out.contains(&token), "{out}");
        }
    }
}
