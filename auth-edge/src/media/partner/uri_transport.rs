//! Where a partner's token travels other than in its path: a signed URI's in a parameter of the query or in a cookie (RFC
//! 9246 section 3), a Common Access Token in a header or a cookie (CTA-5007).

/// The attribute's name of a signed URI, in queries and as a cookie.
pub const COOKIE_NAME: &str = "URISigningPackage";
/// Stands in a path for a token that is elsewhere.
pub const ELSEWHERE: &str = "-";
/// The header and the cookie of a Common Access Token.
pub const CAT_NAME: &str = "CTA-Common-Access-Token";

/// The token in a query or in a `Cookie` header (RFC 6265 section 5.4). The query's comes first; two in one place are none,
/// since it could not be told which the issuer meant.
#[must_use]
pub fn token_in<'a>(query: Option<&'a str>, cookies: Option<&'a str>) -> Option<&'a str> {
    only(query, '&', COOKIE_NAME)
        .or_else(|| only(cookies, ';', COOKIE_NAME))
        .and_then(Result::ok)
}

/// The Common Access Token in a `Cookie` header; two are none.
#[must_use]
pub fn cat_in(cookies: &str) -> Option<&str> {
    only(Some(cookies), ';', CAT_NAME).and_then(Result::ok)
}

/// The one value of a name, or that there are several or it is empty, which some readers would overlook and others not; nothing
/// without one.
fn only<'a>(text: Option<&'a str>, separator: char, name: &str) -> Option<Result<&'a str, ()>> {
    let mut values = text?
        .split(separator)
        .filter_map(|part| value_of(part, name));
    let value = values.next()?;
    let is_only = values.next().is_none() && !value.is_empty();
    Some(if is_only { Ok(value) } else { Err(()) })
}

/// The query as it was before the token was put in: what a token is held against.
#[must_use]
pub fn without_token(query: &str) -> String {
    let rest: Vec<&str> = query
        .split('&')
        .filter(|part| value_of(part, COOKIE_NAME).is_none())
        .collect();
    rest.join("&")
}

fn value_of<'a>(part: &'a str, wanted: &str) -> Option<&'a str> {
    let part = part.trim_matches(' ');
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    (name == wanted).then_some(value)
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
            // Two places in one, of which one says nothing.
            (Some("URISigningPackage=a&URISigningPackage="), None, None),
            (Some("URISigningPackage&URISigningPackage=a"), None, None),
            (
                Some("URISigningPackage="),
                Some("URISigningPackage=c"),
                None,
            ),
            // Escapes and other separators make no parameter.
            (Some("x=1%26URISigningPackage=a"), None, None),
            (Some("URISigningPackage%3Da"), None, None),
            (Some("URISigningPackag%65=a"), None, None),
            (Some("x=1;URISigningPackage=a"), None, None),
            (None, Some("x=1%3BURISigningPackage=a"), None),
            (None, Some("x=\"; URISigningPackage=a\""), Some("a\"")),
            (None, None, None),
        ] {
            assert_eq!(token_in(query, cookies), token, "{query:?} {cookies:?}");
        }
        assert_eq!(cat_in("a=b; CTA-Common-Access-Token=t"), Some("t"));
        assert_eq!(
            cat_in("CTA-Common-Access-Token=t; CTA-Common-Access-Token=u"),
            None
        );
        assert_eq!(without_token("x=1&URISigningPackage=q&y"), "x=1&y");
        assert_eq!(without_token("URISigningPackage=q"), "");
        assert_eq!(
            without_token("URISigningPackage&x=1&URISigningPackage="),
            "x=1"
        );
    }
}
