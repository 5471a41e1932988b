//! Which API calls need no token: data, and everything that is not listed needs one.

use http::Method;

/// What an API call does with an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenUse {
    /// Without a good one it is refused.
    Required,
    /// It may come without; one that comes must be good.
    Optional,
    /// Not looked at, so that a client with an expired one can get another.
    Ignored,
}

/// Method, path under `/api/v1/` (`*` stands for one step), use of the token.
const PUBLIC_CALLS: [(&str, &str, TokenUse); 10] = [
    ("POST", "auth/register", TokenUse::Ignored),
    ("POST", "auth/login", TokenUse::Ignored),
    ("POST", "auth/refresh", TokenUse::Ignored),
    ("GET", "auth/oauth/google/*", TokenUse::Ignored),
    ("GET", "auth/oauth/apple/*", TokenUse::Ignored),
    ("GET", ".well-known/jwks.json", TokenUse::Ignored),
    ("GET", "content/trending", TokenUse::Optional),
    ("GET", "content/search", TokenUse::Optional),
    ("GET", "content/*", TokenUse::Optional),
    ("GET", "content/*/related", TokenUse::Optional),
];

/// Calls that match a public pattern with `*` and are not public.
const PRIVATE_CALLS: [&str; 1] = ["content/feed"];

/// What the call does with a token; `path` is what follows `/api/v1/`. `HEAD` is as `GET`.
pub(crate) fn token_use(method: &Method, path: &str) -> TokenUse {
    let method = if *method == Method::HEAD {
        "GET"
    } else {
        method.as_str()
    };
    if PRIVATE_CALLS.contains(&path) {
        return TokenUse::Required;
    }
    PUBLIC_CALLS
        .iter()
        .find(|(known, pattern, _)| *known == method && matches(pattern, path))
        .map_or(TokenUse::Required, |(_, _, token_use)| *token_use)
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split('/');
    let mut steps = path.split('/');
    loop {
        match (wanted.next(), steps.next()) {
            (None, None) => return true,
            (Some("*"), Some(step)) if !step.is_empty() => {}
            (Some(wanted), Some(step)) if wanted == step => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_needs_a_token() {
        let cases = [
            (Method::POST, "auth/login", TokenUse::Ignored),
            (Method::GET, "auth/login", TokenUse::Required),
            (Method::POST, "auth/login/", TokenUse::Required),
            (Method::POST, "auth/logout", TokenUse::Required),
            (Method::GET, "content/c_ng_x", TokenUse::Optional),
            (Method::HEAD, "content/c_ng_x", TokenUse::Optional),
            (Method::PATCH, "content/c_ng_x", TokenUse::Required),
            (Method::GET, "content/", TokenUse::Required),
            (Method::GET, "content/c_ng_x/related", TokenUse::Optional),
            (Method::GET, "content/c_ng_x/other", TokenUse::Required),
            (Method::GET, "content/feed", TokenUse::Required),
            (Method::GET, "play/c_ng_x", TokenUse::Required),
            (Method::POST, "uploads/session", TokenUse::Required),
            (Method::GET, "users/me", TokenUse::Required),
            (Method::GET, ".well-known/jwks.json", TokenUse::Ignored),
        ];
        for (method, path, wanted) in cases {
            assert_eq!(token_use(&method, path), wanted, "{method} {path}");
        }
    }
}
