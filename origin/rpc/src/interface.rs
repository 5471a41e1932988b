//! Which interface of the caller table a request is for.

use http::header::CONTENT_TYPE;
use http::{Method, Request};

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
        let begins = |prefix: &str| path.starts_with(prefix);
        // These come from outside, where a content type is the client's own choice.
        if begins("/api/") || begins("/.well-known/") {
            return Self::Http(HTTP_API);
        }
        if begins("/media/") {
            return Self::Http(HTTP_MEDIA);
        }
        let is_grpc = request.method() == Method::POST
            && request
                .headers()
                .get(CONTENT_TYPE)
                .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
        if is_grpc {
            let service = path
                .strip_prefix('/')
                .and_then(|rest| rest.split('/').next());
            return Self::Grpc(service.unwrap_or_default().to_owned());
        }
        Self::Http(HTTP_WEB)
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

    fn of(method: Method, path: &str, content_type: &str) -> Interface {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, content_type)
            .body(())
            .expect("a request");
        Interface::of(&request)
    }

    #[test]
    fn paths_and_content_types_decide() {
        let get = |path| of(Method::GET, path, "application/json");
        assert_eq!(get("/api/v1/play/x"), Interface::Http(HTTP_API));
        assert_eq!(get("/.well-known/jwks.json"), Interface::Http(HTTP_API));
        assert_eq!(get("/media/ng/x/y"), Interface::Http(HTTP_MEDIA));
        for path in ["/", "/watch/x", "/apis", "/mediator", "/assets/api/v1"] {
            assert_eq!(get(path), Interface::Http(HTTP_WEB), "{path}");
        }
        let call = "/mcsp.auth.v1.Auth/GetKeySet";
        let service = of(Method::POST, call, "application/grpc+proto");
        assert_eq!(service.name(), "mcsp.auth.v1.Auth");
        assert_eq!(
            of(Method::POST, call, "text/plain"),
            Interface::Http(HTTP_WEB)
        );
    }

    #[test]
    fn a_viewers_content_type_makes_no_grpc_of_his_request() {
        for (path, interface) in [
            ("/api/v1/play/x", HTTP_API),
            ("/media/ng/x/y", HTTP_MEDIA),
            ("/watch/x", HTTP_WEB),
        ] {
            let got = of(Method::GET, path, "application/grpc");
            assert_eq!(got, Interface::Http(interface), "{path}");
        }
        let got = of(Method::POST, "/api/v1/auth/login", "application/grpc");
        assert_eq!(got, Interface::Http(HTTP_API));
    }
}
