//! Renewal on a partner's terms. Only tokens signed with a secret that both sides hold can be renewed here, and only while
//! they are good.

use coset::cbor::value::Value;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcsp_api::media_path::MEDIA_PREFIX;

use super::cat::{key_that_signs, read_whole, sign_with};
use super::cat_claims::{integer, label};
use super::grant::PartnerGrant;
use super::uri_transport::{CAT_NAME, COOKIE_NAME, ELSEWHERE};
use crate::media::error::MediaTokenError;
use crate::media::renewal::Renewal;
use crate::media::request::MediaRequest;

/// How a renewed token reaches the client (CTA-5007, `catr`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatRenewalKind {
    /// However it came; in a path, by redirect.
    Automatic,
    /// By cookie.
    Cookie,
    /// By a header of the answer.
    Header,
    /// By redirect to the path with the new token.
    Redirect,
}

/// The terms of a Common Access Token's renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatRenewal {
    /// How.
    pub kind: CatRenewalKind,
    /// A renewed token ends so many seconds after its renewal, 1 to 86 400.
    pub add_s: i64,
    /// No renewal from then on, Unix seconds.
    pub until_s: Option<i64>,
    /// The name of the cookie or header, where it is not the usual one.
    pub name: Option<String>,
}

/// What is needed to renew.
#[derive(Debug)]
pub(super) enum PartnerRenewal {
    Cat {
        terms: CatRenewal,
        kid: String,
        payload: Box<[u8]>,
    },
    Uri {
        add_s: i64,
        depth: usize,
        kid: String,
        payload: Box<[u8]>,
    },
}

impl CatRenewal {
    pub(super) fn read(entries: &[(i64, Value)]) -> Result<Self, MediaTokenError> {
        let of = |wanted: i64| {
            let found = entries.iter().find(|(label, _)| *label == wanted);
            found.map(|(_, value)| value)
        };
        if entries.iter().any(|(label, _)| !(0..=7).contains(label)) {
            return Err(MediaTokenError::Unsupported);
        }
        let kind = match of(0).and_then(integer) {
            Some(0) => CatRenewalKind::Automatic,
            Some(1) => CatRenewalKind::Cookie,
            Some(2) => CatRenewalKind::Header,
            Some(3) => CatRenewalKind::Redirect,
            _ => return Err(MediaTokenError::Unsupported),
        };
        let number = |wanted| match of(wanted) {
            None => Ok(None),
            Some(value) => integer(value).map(Some).ok_or(MediaTokenError::Malformed),
        };
        let add_s = number(1)?.filter(|add_s| (1..=86_400).contains(add_s));
        let name = match kind {
            CatRenewalKind::Cookie => of(3),
            CatRenewalKind::Header => of(4),
            _ => None,
        };
        let is_free = |name: &str| kind != CatRenewalKind::Header || !has_a_meaning(name);
        let name = match name {
            None => None,
            Some(name) => {
                let name = name.as_text();
                let name = name.filter(|name| is_token(name) && is_free(name));
                Some(name.ok_or(MediaTokenError::Malformed)?.to_owned())
            }
        };
        Ok(Self {
            kind,
            add_s: add_s.ok_or(MediaTokenError::Malformed)?,
            until_s: number(2)?,
            name,
        })
    }
}

/// RFC 9110 section 5.6.2; so that no name ends a header.
fn is_token(name: &str) -> bool {
    let is_char = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(is_char)
}

/// Is it the name of a field that says how an answer is to be read, kept, or followed? What a token names so would be another's
/// word about what is answered here: RFC 9110, 9111 and 9112, RFC 6797, RFC 7838, Fetch.
fn has_a_meaning(name: &str) -> bool {
    const BEGINNINGS: [&str; 8] = [
        "accept-",
        "access-control-",
        "cache-",
        "cdn-",
        "content-",
        "cross-origin-",
        "proxy-",
        "sec-",
    ];
    const NAMES: [&str; 26] = [
        "age",
        "alt-svc",
        "authorization",
        "clear-site-data",
        "connection",
        "cookie",
        "date",
        "etag",
        "expires",
        "host",
        "keep-alive",
        "last-modified",
        "link",
        "location",
        "permissions-policy",
        "referrer-policy",
        "refresh",
        "retry-after",
        "server",
        "set-cookie",
        "strict-transport-security",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
    ];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&&*name)
        || BEGINNINGS
            .iter()
            .any(|beginning| name.starts_with(beginning))
}

/// Renews a token that is good for the request, if half of what a renewal gives is gone.
pub(in crate::media) fn renew(
    grant: &PartnerGrant,
    request: &MediaRequest<'_>,
    now_s: i64,
) -> Renewal {
    let Some(renewal) = &grant.renewal else {
        return Renewal::NotNeeded;
    };
    let (add_s, until_s) = match renewal {
        PartnerRenewal::Cat { terms, .. } => (terms.add_s, terms.until_s),
        PartnerRenewal::Uri { add_s, .. } => (*add_s, None),
    };
    let add_s = add_s.min(i64::from(grant.partner.config.token_life_max_s));
    if grant.expires_s.saturating_sub(now_s) > add_s / 2 {
        return Renewal::NotNeeded;
    }
    if until_s.is_some_and(|until_s| now_s >= until_s) {
        return Renewal::Over;
    }
    let expires_s = now_s.saturating_add(add_s);
    let renewed = match renewal {
        PartnerRenewal::Cat {
            terms,
            kid,
            payload,
        } => renewed_cat(grant, kid, payload, expires_s)
            .map(|token| carry(terms, token, request, expires_s, add_s)),
        PartnerRenewal::Uri {
            depth,
            kid,
            payload,
            ..
        } => renewed_uri(grant, kid, payload, now_s, expires_s).map(|token| Renewal::Cookie {
            set_cookie: cookie(COOKIE_NAME, &token, &cookie_path(request, *depth), add_s),
            expires_s,
        }),
    };
    renewed.unwrap_or(Renewal::Over)
}

fn carry(
    terms: &CatRenewal,
    token: String,
    request: &MediaRequest<'_>,
    expires_s: i64,
    add_s: i64,
) -> Renewal {
    let name = terms.name.as_deref().unwrap_or(CAT_NAME);
    match terms.kind {
        CatRenewalKind::Automatic | CatRenewalKind::Redirect => {
            Renewal::due(&token, request, expires_s)
        }
        CatRenewalKind::Cookie => Renewal::Cookie {
            set_cookie: cookie(name, &token, MEDIA_PREFIX, add_s),
            expires_s,
        },
        CatRenewalKind::Header => Renewal::Header {
            name: name.to_owned(),
            value: token,
            expires_s,
        },
    }
}

/// The same claims with another end.
fn renewed_cat(grant: &PartnerGrant, kid: &str, payload: &[u8], expires_s: i64) -> Option<String> {
    let key = key_that_signs(&grant.partner, kid)?;
    let mut claims = read_whole(payload).ok()?;
    let map = claims.as_map_mut()?;
    let end = map
        .iter_mut()
        .find(|(label, _)| integer(label) == Some(label::EXPIRES))?;
    end.1 = Value::from(expires_s);
    sign_with(&claims, key)
}

/// Section 4.2 of RFC 9246: the same claims, another end, and when it was signed.
fn renewed_uri(
    grant: &PartnerGrant,
    kid: &str,
    payload: &[u8],
    now_s: i64,
    expires_s: i64,
) -> Option<String> {
    let key = key_that_signs(&grant.partner, kid)?;
    let secret = EncodingKey::from_secret(key.key.try_get_as_bytes().ok()?);
    let mut claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(payload).ok()?;
    claims.insert("exp".to_owned(), expires_s.into());
    if claims.contains_key("iat") {
        claims.insert("iat".to_owned(), now_s.into());
    }
    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, &claims, &secret).ok()
}

/// RFC 6265. `SameSite=None`: players on other sites ask for media.
fn cookie(name: &str, token: &str, path: &str, life_s: i64) -> String {
    format!("{name}={token}; Path={path}; Max-Age={life_s}; Secure; HttpOnly; SameSite=None")
}

/// Section 2.1.14: so many steps of the request's path as its client has it, `/` for none.
fn cookie_path(request: &MediaRequest<'_>, depth: usize) -> String {
    let path = format!("{MEDIA_PREFIX}{ELSEWHERE}/{}", request.path.object_name());
    let mut steps: Vec<&str> = path.split('/').skip(1).collect();
    // The last step is a file, not a folder.
    steps.pop();
    steps.truncate(depth);
    format!("/{}", steps.join("/"))
}
