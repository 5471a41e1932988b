//! The gate before every S3 operation: a known account, a good signature, a policy that allows.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use mcsp_identity::Peer;
use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Error, S3Result, s3_error};

use super::accounts::{Accounts, Action};
use super::config::EndpointConfig;

/// The longest life that S3 gives a presigned URL, seconds.
const PRESIGNED_LIFE_MAX_S: u64 = 7 * 24 * 3600;

/// Knows the accounts' secrets and policies.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) accounts: Arc<Accounts>,
    pub(super) config: EndpointConfig,
}

#[async_trait]
impl S3Auth for Gate {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        self.accounts
            .secret(access_key)
            .map(|secret| SecretKey::from(secret.expose()))
            .ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}

#[async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let peer = cx.extensions_mut().get::<Peer>().cloned();
        let Some(credentials) = cx.credentials() else {
            return Err(s3_error!(AccessDenied, "The request is not signed"));
        };
        let operation = cx.s3_op().name();
        let path = cx.s3_path();
        let allowed = match (Action::of_operation(operation), path.get_bucket_name()) {
            (Some(action), Some(bucket)) => self.accounts.allows(
                &credentials.access_key,
                action,
                bucket,
                path.get_object_key(),
            ),
            _ => false,
        };
        if !allowed {
            tracing::warn!(
                account = credentials.access_key,
                operation,
                bucket = path.get_bucket_name(),
                "the policy denies the call"
            );
            return Err(s3_error!(AccessDenied, "The account may not do this"));
        }
        if let Some(bucket) = path.get_bucket_name()
            && !self.accounts.may_carry(bucket, peer.as_ref())
        {
            let peer = peer.map(|peer| peer.0.to_string());
            tracing::warn!(peer, operation, bucket, "the peer may not carry the bucket");
            return Err(s3_error!(
                AccessDenied,
                "The caller may not carry this bucket's bytes"
            ));
        }
        let bytes_max = match operation {
            "UploadPart" => self.config.part_bytes_max,
            "PutObject" => self.config.put_bytes_max,
            _ => return Ok(()),
        };
        let bytes = cx
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match bytes {
            None => Err(s3_error!(MissingContentLength)),
            Some(bytes) if bytes > bytes_max => Err(s3_error!(
                EntityTooLarge,
                "The body has {bytes} bytes; at most {bytes_max} are taken"
            )),
            Some(_) => Ok(()),
        }
    }
}

/// Refuses what the S3 adapter would accept and this endpoint does not: the old signature version 2, browser forms
/// (whose file it would hold in memory), signatures that leave the host out, and presigned URLs that live too long.
pub(super) fn check_form(request: &Parts) -> Result<(), S3Error> {
    let query = request.uri.query().unwrap_or_default();
    let parameter = |wanted: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find_map(|(name, value)| (name == wanted).then_some(value))
    };
    let header = |name| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header(CONTENT_TYPE)
        .is_some_and(|value| value.to_ascii_lowercase().contains("multipart/form-data"))
    {
        return Err(s3_error!(NotImplemented, "Browser forms are not supported"));
    }
    if let Some(authorization) = header(AUTHORIZATION) {
        let signs_host = authorization
            .split("SignedHeaders=")
            .nth(1)
            .and_then(|rest| rest.split(',').next())
            .is_some_and(|names| names.trim().split(';').any(|name| name == "host"));
        if !authorization.starts_with("AWS4-HMAC-SHA256 ") || !signs_host {
            return Err(s3_error!(
                AccessDenied,
                "Sign with AWS signature version 4, the host included"
            ));
        }
        return Ok(());
    }
    if parameter("Signature").is_some() || parameter("AWSAccessKeyId").is_some() {
        return Err(s3_error!(AccessDenied, "Sign with AWS signature version 4"));
    }
    if parameter("X-Amz-Signature").is_some() {
        let life_s = parameter("X-Amz-Expires").and_then(|value| value.parse::<u64>().ok());
        let signs_host = parameter("X-Amz-SignedHeaders").is_some_and(|names| {
            names
                .split(';')
                .flat_map(|names| names.split("%3B"))
                .any(|name| name == "host")
        });
        if !signs_host || life_s.is_none_or(|life_s| life_s > PRESIGNED_LIFE_MAX_S) {
            return Err(s3_error!(
                AccessDenied,
                "A presigned URL must sign the host and live at most 7 days"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(uri: &str, header: Option<(&str, &str)>) -> Result<(), S3Error> {
        let mut request = http::Request::builder().uri(uri);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        check_form(&request.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn only_signature_version_4_over_the_host_passes() {
        let good = "AWS4-HMAC-SHA256 Credential=a/20260101/r/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=0";
        assert!(form("/b/k", Some(("authorization", good))).is_ok());
        assert!(form("/b/k", Some(("authorization", &good.replace("host;", "")))).is_err());
        assert!(form("/b/k", Some(("authorization", "AWS a:b"))).is_err());
        assert!(form("/b/k?AWSAccessKeyId=a&Signature=b&Expires=9", None).is_err());
        assert!(
            form(
                "/b/k",
                Some(("content-type", "multipart/form-data; boundary=x"))
            )
            .is_err()
        );
        // An unsigned request is refused later, by the policy.
        assert!(form("/b/k", None).is_ok());
    }

    #[test]
    fn a_presigned_url_must_end_within_a_week() {
        let url = |life: &str| {
            format!(
                "/b/k?X-Amz-Expires={life}&X-Amz-SignedHeaders=content-type%3Bhost&X-Amz-Signature=0"
            )
        };
        assert!(form(&url("604800"), None).is_ok());
        assert!(form(&url("604801"), None).is_err());
        assert!(form(&url("soon"), None).is_err());
        assert!(
            form(
                "/b/k?X-Amz-Expires=9&X-Amz-SignedHeaders=range&X-Amz-Signature=0",
                None
            )
            .is_err()
        );
    }
}
