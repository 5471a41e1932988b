//! A client of any S3: requests are signed by `rusty-s3` and carried by a [`Transport`].
//!
//! It does not retry; whoever wants retries puts a decorator around it. It does give up: see [`Timeouts`].

mod answer;
mod calls;
mod documents;
mod transport;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request};
use jiff::Timestamp;
use mcsp_runtime::SharedClock;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use url::Url;

pub(crate) use self::transport::{Https, InProcess};

use self::answer::Answer;
use self::transport::{Body, Transport};
use crate::ObjectError;
use crate::endpoint::Secret;
use crate::name::{check_bucket, check_key};

/// How long a signature made for a request of our own is good.
const SIGNATURE_LIFE: Duration = Duration::from_secs(300);
/// S3's own limits of a presigned URL's life.
const PRESIGNED_LIFE: std::ops::RangeInclusive<u64> = 1..=604_800;

/// When a call is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands. Default 5 000.
    pub connect_timeout_ms: u64,
    /// From the call to the head of its answer, for a call without a body; each MiB of body adds as much as
    /// `per_mib_timeout_ms`. Default 30 000.
    pub call_timeout_ms: u64,
    /// Default 4 000, which is 2 Mbit/s.
    pub per_mib_timeout_ms: u64,
    /// Between two chunks of an answer's body. Default 30 000.
    pub read_idle_timeout_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 5_000,
            call_timeout_ms: 30_000,
            per_mib_timeout_ms: 4_000,
            read_idle_timeout_ms: 30_000,
        }
    }
}

/// Whose requests these are.
pub(crate) struct Signing {
    credentials: Credentials,
    region: String,
    clock: SharedClock,
}

impl Signing {
    pub(crate) fn new(access_key: &str, secret: &Secret, region: &str, clock: SharedClock) -> Self {
        Self {
            credentials: Credentials::new(access_key, secret.expose()),
            region: region.to_owned(),
            clock,
        }
    }
}

/// [`crate::ObjectStore`] over the S3 API.
pub(crate) struct S3Client {
    signing: Signing,
    endpoint: Url,
    timeouts: Timeouts,
    transport: Arc<dyn Transport>,
}

impl fmt::Debug for S3Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Client")
            .field("endpoint", &self.endpoint.as_str())
            .field("access_key", &self.signing.credentials.key())
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl S3Client {
    /// Over a transport to `endpoint`, such as `https://origin.ng-lagos.mcsp.internal:9443`.
    pub(crate) fn new(
        signing: Signing,
        endpoint: Url,
        timeouts: Timeouts,
        transport: Https,
    ) -> Self {
        Self {
            signing,
            endpoint,
            timeouts,
            transport: Arc::new(transport),
        }
    }

    pub(crate) fn in_process(signing: Signing, transport: InProcess) -> Self {
        Self {
            signing,
            endpoint: transport::in_process_url(),
            timeouts: Timeouts::default(),
            transport: Arc::new(transport),
        }
    }

    fn bucket(&self, base: &Url, bucket: &str) -> Result<Bucket, ObjectError> {
        check_bucket(bucket)?;
        Bucket::new(
            base.clone(),
            UrlStyle::Path,
            bucket.to_owned(),
            self.signing.region.clone(),
        )
        .map_err(|error| ObjectError::Invalid(format!("S3 endpoint {base}: {error}")))
    }

    fn credentials(&self) -> Option<&Credentials> {
        Some(&self.signing.credentials)
    }

    fn sign<'a>(&self, action: &impl S3Action<'a>, life: Duration) -> Result<Url, ObjectError> {
        let now = Timestamp::from_millisecond(self.signing.clock.now_ms()).map_err(|error| {
            ObjectError::Invalid(format!("the clock's time cannot be signed: {error}"))
        })?;
        Ok(action.sign_with_time(life, &now))
    }

    /// Signs and sends; an answer that is an error becomes one. `subject` names what the call is about.
    async fn call<'a, A: S3Action<'a>>(
        &self,
        action: &A,
        method: Method,
        headers: HeaderMap,
        body: Body,
        subject: &str,
    ) -> Result<Answer, ObjectError> {
        let url = self.sign(action, SIGNATURE_LIFE)?;
        let limit_ms = self.timeouts.call_timeout_ms.saturating_add(
            u64::try_from(body.len().div_ceil(1 << 20))
                .unwrap_or(u64::MAX)
                .saturating_mul(self.timeouts.per_mib_timeout_ms),
        );
        let mut headers = headers;
        if method == Method::PUT || method == Method::POST {
            // Said even of an empty body, which HTTP clients leave out.
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .body(body)
            .map_err(|error| ObjectError::Invalid(format!("{subject}: {error}")))?;
        *request.headers_mut() = headers;
        let answer = tokio::time::timeout(Duration::from_millis(limit_ms), async {
            let idle = Duration::from_millis(self.timeouts.read_idle_timeout_ms);
            let response = self.transport.call(request).await?;
            Answer::checked(response, idle, subject).await
        });
        answer.await.map_err(|_| {
            ObjectError::Unavailable(format!("{subject}: no answer within {limit_ms} ms"))
        })?
    }

    fn presign(
        &self,
        public_base: &str,
        bucket: &str,
        key: &str,
        upload_id: &str,
        part_number: u32,
        life: Duration,
    ) -> Result<String, ObjectError> {
        check_key(key)?;
        if !PRESIGNED_LIFE.contains(&life.as_secs()) {
            return Err(ObjectError::Invalid(
                "a presigned URL lives 1 second to 7 days".to_owned(),
            ));
        }
        let base = Url::parse(public_base).map_err(|error| {
            ObjectError::Invalid(format!("public base {public_base:?}: {error}"))
        })?;
        if base.path() != "/" || base.query().is_some() {
            return Err(ObjectError::Invalid(format!(
                "public base {public_base:?}: expected a scheme and an authority alone"
            )));
        }
        let bucket = self.bucket(&base, bucket)?;
        let number = calls::part_number(part_number)?;
        let action = bucket.upload_part(self.credentials(), key, number, upload_id);
        self.sign(&action, life).map(String::from)
    }
}
