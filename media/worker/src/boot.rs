//! Everything that is read and checked before anything is bound, opened or written.

use mcsp_api::Residency;
use mcsp_db::DbError;
use mcsp_identity::{IdentityError, WorkloadIdentity};
use mcsp_media_pipeline::{PipelineError, ScratchError};
use mcsp_runtime::ConfigError;
use mcsp_telemetry::LoggingError;
use thiserror::Error;

use crate::config::{BucketConfig, WorkerConfig, WorkerConfigError};
use crate::credentials::{self, Credentials, CredentialsError};

/// Why the worker does not run.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    #[error("{0}")]
    Config(#[from] ConfigError),
    #[error("{0}")]
    Value(#[from] WorkerConfigError),
    #[error("identity: {0}")]
    Identity(#[from] IdentityError),
    #[error(
        "identity: the certificate is for {found}; expected namespace {region:?}, the region's id"
    )]
    NotThisRegion { found: String, region: String },
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    #[error("{0}")]
    Logging(#[from] LoggingError),
    #[error("database: {0}")]
    Db(#[from] DbError),
    #[error("events: {0}")]
    Events(#[from] mcsp_events::OpenError),
    #[error("objects: {0}")]
    Objects(#[from] mcsp_objects::OpenError),
    #[error("{0}")]
    Scratch(#[from] ScratchError),
    #[error("{0}")]
    Pipeline(#[from] PipelineError),
    #[error("{what}: {source}")]
    Io {
        what: String,
        source: std::io::Error,
    },
}

impl BootError {
    pub(crate) fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }

    /// Is the configuration at fault, so that another start would end alike?
    pub(crate) fn is_configuration(&self) -> bool {
        match self {
            Self::Config(_)
            | Self::Value(_)
            | Self::Identity(_)
            | Self::NotThisRegion { .. }
            | Self::Credentials(_)
            | Self::Logging(_)
            | Self::Objects(_) => true,
            Self::Db(error) => !error.is_retryable() && error.kind() == mcsp_db::DbErrorKind::Uri,
            Self::Events(error) => !error.is_retryable(),
            Self::Scratch(_) | Self::Pipeline(_) | Self::Io { .. } => false,
        }
    }
}

/// A bucket and the account to use it with.
#[derive(Debug)]
pub(crate) struct PreparedBucket {
    pub(crate) config: BucketConfig,
    pub(crate) credentials: Credentials,
}

/// A worker that is ready to open its engines.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) config: WorkerConfig,
    pub(crate) identity: WorkloadIdentity,
    pub(crate) global: PreparedBucket,
    pub(crate) ng: Option<PreparedBucket>,
}

impl Prepared {
    /// Reads every file that the configuration names.
    pub(crate) fn new(config: WorkerConfig) -> Result<Self, BootError> {
        config.validate()?;
        let identity = WorkloadIdentity::load(&config.identity)?;
        let id = identity.spiffe_id();
        if id.namespace() != config.region.id {
            return Err(BootError::NotThisRegion {
                found: id.to_string(),
                region: config.region.id.clone(),
            });
        }
        let bucket = |config: &BucketConfig, residency| {
            Ok::<_, BootError>(PreparedBucket {
                config: config.clone(),
                credentials: credentials::read(&config.credentials_file, residency)?,
            })
        };
        let global = bucket(&config.objects.global, Residency::Global)?;
        let ng = config.objects.ng.as_ref();
        let ng = ng.map(|ng| bucket(ng, Residency::Ng)).transpose()?;
        Ok(Self {
            config,
            identity,
            global,
            ng,
        })
    }
}
