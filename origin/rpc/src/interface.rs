//! Which interface of the caller table a request is for.

use http::Request;
use http::header::CONTENT_TYPE;

/// The public API: `/api/…`, `/.well-known/…`.
pub const HTTP_API: &str = "http:api";
/// Published media: `/media/…`.
pub const HTTP_MEDIA: &str = "http:media";
/// The web pages: every other path.
pub const HTTP_WEB: &str = "http:web";

/// What a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interface {
    /// A gRPC service by its full name.
    Grpc(String),
    /// One of the constants above.
    Http(&'static str),
}

impl Interface {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let path = request.uri().path();
        let is_grpc = request
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if is_grpc {
            let service = path
                .strip_prefix('/')
                .and_then(|rest| rest.split('/').next());
            return Self::Grpc(service.unwrap_or_default().to_owned());
        }
        let begins = |prefix: &str| path.starts_with(prefix);
        Self::Http(if begins("/api/") || begins("/.well-known/") {
            HTTP_API
        } else if begins("/media/") {
            HTTP_MEDIA
        } else {
            HTTP_WEB
        })
    }

    /// As the caller table writes it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Grpc(service) => service,
            Self::Http(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, content_type: &str) -> Interface {
        let request = Request::get(path)
            .header(CONTENT_TYPE, content_type)
            .body(())
            .expect("a request");
        Interface::of(&request)
    }

    #[test]
    fn paths_and_content_types_decide() {
        assert_eq!(
            of("/api/v1/play/x", "application/json"),
            Interface::Http(HTTP_API)
        );
        assert_eq!(of("/.well-known/jwks.json", ""), Interface::Http(HTTP_API));
        assert_eq!(of("/media/ng/x/y", ""), Interface::Http(HTTP_MEDIA));
        for path in ["/", "/watch/x", "/apis", "/mediator", "/assets/api/v1"] {
            assert_eq!(of(path, ""), Interface::Http(HTTP_WEB), "{path}");
        }
        assert_eq!(
            of("/mcsp.auth.v1.Auth/GetKeySet", "application/grpc+proto").name(),
            "mcsp.auth.v1.Auth"
        );
        // The content type alone makes gRPC of it, so no path slips past the table as another interface.
        assert_eq!(of("/api/v1/play/x", "application/grpc").name(), "api");
        assert_eq!(
            of("/mcsp.auth.v1.Auth/GetKeySet", "text/plain"),
            Interface::Http(HTTP_WEB)
        );
    }
}
