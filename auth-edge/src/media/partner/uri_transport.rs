//! Where a signed URI's token travels other than in its path (RFC 9246 section 3): a parameter of the query, or a cookie.

/// The attribute's name, in queries and as a cookie.
pub const COOKIE_NAME: &str = "URISigningPackage";

/// The token in a query or in a `Cookie` header (RFC 6265 section 5.4). The query's comes first; two in one place are none,
/// since it could not be told which the issuer meant.
#[must_use]
pub fn token_in<'a>(query: Option<&'a str>, cookies: Option<&'a str>) -> Option<&'a str> {
    let of = |text: Option<&'a str>, separator: char| {
        let mut tokens = text?.split(separator).filter_map(value_of);
        let token = tokens.next()?;
        Some(tokens.next().map_or(Ok(token), |_| Err(())))
    };
    of(query, '&')
        .or_else(|| of(cookies, ';'))
        .and_then(Result::ok)
}

/// The query as it was before the token was put in: what a token is held against.
#[must_use]
pub fn without_token(query: &str) -> String {
    let rest: Vec<&str> = query
        .split('&')
        .filter(|part| value_of(part).is_none())
        .collect();
    rest.join("&")
}

fn value_of(part: &str) -> Option<&str> {
    let (name, value) = part.trim_matches(' ').split_once('=')?;
    (name == COOKIE_NAME && !value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_found_where_it_may_be() {
        for (query, cookies, token) in [
            (Some("URISigningPackage=a.b.c"), None, Some("a.b.c")),
            (
                Some("x=1&URISigningPackage=q&y"),
                Some("URISigningPackage=c"),
                Some("q"),
            ),
            (
                Some("x=1"),
                Some("a=b; URISigningPackage=c; d=e"),
                Some("c"),
            ),
            (
                Some("URISigningPackage=a&URISigningPackage=b"),
                Some("URISigningPackage=c"),
                None,
            ),
            (None, Some("URISigningPackage=a; URISigningPackage=b"), None),
            (
                Some("urisigningpackage=a"),
                Some("XURISigningPackage=b"),
                None,
            ),
            (Some("URISigningPackage="), None, None),
            (None, None, None),
        ] {
            assert_eq!(token_in(query, cookies), token, "{query:?} {cookies:?}");
        }
        assert_eq!(without_token("x=1&URISigningPackage=q&y"), "x=1&y");
        assert_eq!(without_token("URISigningPackage=q"), "");
    }
}
