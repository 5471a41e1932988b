//! Where a media token is in a request: in the path, or, for partners, where their players keep it.

use http::HeaderValue;
use http::header::COOKIE;
use http::request::Parts;
use mcsp_auth_edge::media::partner::{
    CAT_NAME, COOKIE_NAME, PARTNER_TOKEN_CHARS_MAX, cat_in, token_in, without_token,
};

use crate::target::one_cookie_line;

/// The token of a request whose path has [`mcsp_auth_edge::media::partner::ELSEWHERE`]: of RFC 9246 in the query or a cookie, of CTA-5007 in a header or a
/// cookie. Nothing when there is none, or what is there could not stand in a path: all that is done with tokens is done
/// with those alone.
pub(crate) fn elsewhere(request: &Parts) -> Option<String> {
    let joined = one_cookie_line(&request.headers);
    let cookies = joined.as_ref().or_else(|| request.headers.get(COOKIE));
    let cookies = cookies.and_then(|cookies| cookies.to_str().ok());
    let found = token_in(request.uri.query(), cookies)
        .or_else(|| only_header(request))
        .or_else(|| cat_in(cookies?))?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~=".contains(&byte);
    let is_good = found.len() <= PARTNER_TOKEN_CHARS_MAX && found.bytes().all(is_plain);
    is_good.then(|| found.to_owned())
}

fn only_header(request: &Parts) -> Option<&str> {
    let mut values = request.headers.get_all(CAT_NAME).iter();
    let first = values
        .next()
        .and_then(|value: &HeaderValue| value.to_str().ok());
    first.filter(|_| values.next().is_none())
}

/// The query that a token is held against and that goes on with a redirect: without one that is in it.
pub(crate) fn query(request: &Parts) -> Option<std::borrow::Cow<'_, str>> {
    let query = request.uri.query()?;
    Some(if query.contains(COOKIE_NAME) {
        without_token(query).into()
    } else {
        query.into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stage::testing::request;

    #[test]
    fn a_token_is_found_in_one_place_and_only_if_it_is_one() {
        let path = "/media/-/global/c/v360/1.m4s";
        let of = |query: &str, fields: &[(&'static str, &str)]| {
            let mut head = request("GET", &format!("{path}{query}"));
            for (name, value) in fields {
                head.append_header(*name, *value).unwrap();
            }
            elsewhere(&head)
        };
        let some = |token: &str| Some(token.to_owned());
        assert_eq!(of("?URISigningPackage=a.b.c", &[]), some("a.b.c"));
        assert_eq!(
            of("", &[("cookie", "URISigningPackage=a.b.c")]),
            some("a.b.c")
        );
        // HTTP/2 may send each cookie by itself.
        let crumbs = [("cookie", "x=1"), ("cookie", "CTA-Common-Access-Token=t")];
        assert_eq!(of("", &crumbs), some("t"));
        assert_eq!(of("", &[("cta-common-access-token", "t")]), some("t"));
        let two = [
            ("cta-common-access-token", "t"),
            ("cta-common-access-token", "u"),
        ];
        assert_eq!(of("", &two), None);
        assert_eq!(of("", &[]), None);
        assert_eq!(of("", &[("cookie", "URISigningPackage=a/../b")]), None);
        let long = "a".repeat(PARTNER_TOKEN_CHARS_MAX + 1);
        assert_eq!(of("", &[("cta-common-access-token", &long)]), None);
    }

    #[test]
    fn a_query_goes_on_without_its_token() {
        let of = |target: &str| query(&request("GET", target)).map(std::borrow::Cow::into_owned);
        assert_eq!(of("/a"), None);
        assert_eq!(of("/a?CMCD=bl%3D1").as_deref(), Some("CMCD=bl%3D1"));
        assert_eq!(of("/a?x=1&URISigningPackage=t").as_deref(), Some("x=1"));
    }
}
