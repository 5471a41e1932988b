//! Opens the object store that a URI names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use mcsp_identity::{IdentityError, WorkloadIdentity};
use mcsp_runtime::{
    EngineUri, EngineUriError, SharedClock, SharedEntropy, SystemClock, SystemEntropy,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;
use url::Url;

use crate::client::{Https, S3Client, Signing, Timeouts};
use crate::{Faults, FaultyObjects, FileEngine, ObjectError, Secret, SharedObjects};

const KNOWN: &str = "file:, s3:, s3+https:, faulty:";
const REGION_DEFAULT: &str = "mcsp";

/// What a URI does not say.
#[derive(Debug, Clone)]
pub struct ObjectsOptions {
    /// Who this process is; `s3:` needs it.
    pub identity: Option<WorkloadIdentity>,
    /// The account's name; `s3:` and `s3+https:` need it.
    pub access_key: String,
    /// The account's secret.
    pub secret: Secret,
    /// When calls are given up.
    pub timeouts: Timeouts,
    /// Signatures carry its time; servers compare it with theirs.
    pub clock: SharedClock,
    /// Names of files, ids of spans.
    pub entropy: SharedEntropy,
}

impl ObjectsOptions {
    /// With the machine's clock and randomness and the default timeouts.
    #[must_use]
    pub fn new(
        identity: Option<WorkloadIdentity>,
        access_key: impl Into<String>,
        secret: Secret,
    ) -> Self {
        Self {
            identity,
            access_key: access_key.into(),
            secret,
            timeouts: Timeouts::default(),
            clock: SystemClock::shared(),
            entropy: SystemEntropy::shared(),
        }
    }
}

/// Why a store cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URI names no engine of this build, or has a parameter that cannot be used.
    #[error(transparent)]
    Uri(#[from] EngineUriError),
    /// The engine itself refuses.
    #[error("object storage {uri:?}: {source}")]
    Engine {
        /// The URI that was given.
        uri: String,
        /// Why.
        source: ObjectError,
    },
    /// The identity gives no TLS configuration.
    #[error("object storage {uri:?}: {source}")]
    Identity {
        /// The URI that was given.
        uri: String,
        /// Why.
        source: IdentityError,
    },
}

/// Opens the store that `uri` names:
///
/// - `file:/var/lib/mcsp/objects`: the folder itself, for its owner alone; buckets are created by the owner.
/// - `s3://host:port?server_name=origin.ng-lagos.mcsp.internal&region=mcsp`: over TLS with the workload's identity;
///   `server_name` (default: the host) is what the server's certificate must say.
/// - `s3+https://host:port?region=eu-west-1&ca_file=/etc/ca.pem`: over TLS without a client certificate; trusted are the
///   authorities of `ca_file`, which is required.
/// - `faulty:URI` with `seed`, `error_rate`, `torn_rate` (0 to 1) and `delay_ms_max`: another store that fails on purpose.
///
/// # Errors
/// [`OpenError`] names the URI and what was expected. A store that is away is no error: calls say so.
pub async fn open(uri: &str, options: &ObjectsOptions) -> Result<SharedObjects, OpenError> {
    let parsed = EngineUri::parse(uri)?;
    let mut params = Params {
        uri,
        left: parsed.params.clone(),
    };
    if parsed.scheme == "faulty" {
        let faults = params.faults()?;
        let inner = inner_uri(&parsed.rest, &params.left);
        let inner = Box::pin(open(&inner, options)).await?;
        return Ok(Arc::new(FaultyObjects::new(inner, faults)));
    }
    match parsed.scheme.as_str() {
        "file" => {
            params.finish()?;
            let engine = FileEngine::open(
                Path::new(&parsed.rest),
                options.clock.clone(),
                options.entropy.clone(),
            )
            .await
            .map_err(|source| engine_error(uri, source))?;
            Ok(Arc::new(engine))
        }
        "s3" => {
            let identity = options.identity.as_ref().ok_or_else(|| {
                engine_error(
                    uri,
                    ObjectError::Invalid("s3: needs a workload identity".to_owned()),
                )
            })?;
            let tls =
                identity
                    .client_config(&[b"http/1.1"])
                    .map_err(|source| OpenError::Identity {
                        uri: uri.to_owned(),
                        source,
                    })?;
            s3_client(&parsed, params, options, Arc::unwrap_or_clone(tls))
        }
        "s3+https" => {
            let ca_file = params
                .take("ca_file")
                .ok_or_else(|| params.bad("ca_file", "expected a file of PEM certificates"))?;
            let tls = tls_with_roots(Path::new(&ca_file))
                .map_err(|reason| params.bad("ca_file", &reason))?;
            s3_client(&parsed, params, options, tls)
        }
        _ => Err(parsed.unknown_engine("object", KNOWN).into()),
    }
}

fn s3_client(
    parsed: &EngineUri,
    mut params: Params<'_>,
    options: &ObjectsOptions,
    tls: rustls::ClientConfig,
) -> Result<SharedObjects, OpenError> {
    let uri = params.uri;
    let refuse = |reason: String| engine_error(uri, ObjectError::Invalid(reason));
    let address = parsed
        .rest
        .trim_start_matches('/')
        .trim_end_matches('/')
        .to_owned();
    let mut endpoint = Url::parse(&format!("https://{address}"))
        .map_err(|error| refuse(format!("expected //host:port: {error}")))?;
    let has_port = endpoint
        .port_or_known_default()
        .map(|port| format!("{}:{port}", endpoint.host_str().unwrap_or_default()));
    let mut fixed_address = None;
    if let Some(server_name) = params.take("server_name") {
        fixed_address = has_port;
        endpoint
            .set_host(Some(&server_name))
            .map_err(|error| refuse(format!("server_name {server_name:?}: {error}")))?;
    }
    let region = params
        .take("region")
        .unwrap_or_else(|| REGION_DEFAULT.to_owned());
    params.finish()?;
    let signing = Signing::new(
        &options.access_key,
        &options.secret,
        &region,
        options.clock.clone(),
    );
    let transport = Https::new(
        tls,
        fixed_address,
        &options.timeouts,
        options.entropy.clone(),
    )
    .map_err(|source| engine_error(uri, source))?;
    Ok(Arc::new(S3Client::new(
        signing,
        endpoint,
        options.timeouts,
        transport,
    )))
}

fn tls_with_roots(ca_file: &Path) -> Result<rustls::ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(ca_file).map_err(|error| error.to_string())?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

fn engine_error(uri: &str, source: ObjectError) -> OpenError {
    OpenError::Engine {
        uri: uri.to_owned(),
        source,
    }
}

fn inner_uri(rest: &str, params: &BTreeMap<String, String>) -> String {
    let query: Vec<String> = params
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    if query.is_empty() {
        rest.to_owned()
    } else {
        format!("{rest}?{}", query.join("&"))
    }
}

/// A URI's parameters, each of which must be known to someone.
struct Params<'a> {
    uri: &'a str,
    left: BTreeMap<String, String>,
}

impl Params<'_> {
    fn take(&mut self, name: &str) -> Option<String> {
        self.left.remove(name)
    }

    fn bad(&self, name: &str, reason: &str) -> OpenError {
        OpenError::Uri(EngineUriError::BadParameter {
            uri: self.uri.to_owned(),
            name: name.to_owned(),
            reason: reason.to_owned(),
        })
    }

    fn rate(&mut self, name: &str) -> Result<f64, OpenError> {
        let Some(text) = self.take(name) else {
            return Ok(0.0);
        };
        let rate = text.parse().ok().filter(|rate| (0.0..=1.0).contains(rate));
        rate.ok_or_else(|| self.bad(name, "expected 0 to 1"))
    }

    fn number(&mut self, name: &str) -> Result<u64, OpenError> {
        let Some(text) = self.take(name) else {
            return Ok(0);
        };
        text.parse()
            .map_err(|_| self.bad(name, "expected a whole number"))
    }

    fn faults(&mut self) -> Result<Faults, OpenError> {
        Ok(Faults {
            seed: self.number("seed")?,
            error_rate: self.rate("error_rate")?,
            torn_rate: self.rate("torn_rate")?,
            delay_max_ms: self.number("delay_ms_max")?,
        })
    }

    fn finish(&self) -> Result<(), OpenError> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.bad(name, "this engine has no such parameter")),
        }
    }
}
