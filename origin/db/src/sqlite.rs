//! `SQLite`: one file, one writer at a time, many readers.

use std::fmt::Write;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf, absolute};
use std::time::Duration;

use mcsp_runtime::{EngineUri, EngineUriError};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection};
use tempfile::TempDir;

use crate::error::{DbError, DbErrorKind};

const READERS_DEFAULT: u32 = 4;
const READERS_MAX: u32 = 64;
const ACQUIRE_TIMEOUT_MS_DEFAULT: u32 = 10_000;
const ACQUIRE_TIMEOUT_MS_MAX: u32 = 600_000;

/// The busy timeout is for other processes (a backup, a person's shell); our own writers queue for the one connection.
const PRAGMAS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
    PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864;";
/// Nothing of a temporary database is to survive, so nothing of it needs to reach the disk.
const PRAGMAS_TEMPORARY: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; \
    PRAGMA foreign_keys = ON;";
/// Keeps a write from slipping past the queue of writers.
const PRAGMA_READER: &str = "PRAGMA query_only = ON;";

pub(crate) struct Pools {
    pub(crate) writers: AnyPool,
    pub(crate) readers: AnyPool,
    pub(crate) temporary: Option<TempDir>,
}

pub(crate) async fn open(uri: &EngineUri) -> Result<Pools, DbError> {
    sqlx::any::install_default_drivers();
    let params = Params::parse(uri)?;
    let (path, temporary) = place(uri)?;
    let options = connect_options(&path)?;
    let pragmas = if temporary.is_some() {
        PRAGMAS_TEMPORARY
    } else {
        PRAGMAS
    };
    // A pool tells nothing of why a connection cannot be made, it only runs into its timeout. The first one also turns
    // the write-ahead log on, which would be in the way of others.
    try_one(&options, pragmas)
        .await
        .map_err(|error| opening(&path, error))?;
    let writers = pool_options(&params, 1, pragmas, "")
        .connect_with(options.clone())
        .await
        .map_err(|error| opening(&path, error))?;
    let readers = pool_options(&params, params.readers_max, pragmas, PRAGMA_READER)
        .connect_with(options)
        .await
        .map_err(|error| opening(&path, error))?;
    Ok(Pools {
        writers,
        readers,
        temporary,
    })
}

async fn try_one(options: &AnyConnectOptions, pragmas: &'static str) -> Result<(), sqlx::Error> {
    let mut connection = AnyConnection::connect_with(options).await?;
    sqlx::raw_sql(pragmas).execute(&mut connection).await?;
    sqlx::query("SELECT COUNT(*) FROM sqlite_schema")
        .execute(&mut connection)
        .await?;
    connection.close().await
}

struct Params {
    readers_max: u32,
    acquire_timeout: Duration,
}

impl Params {
    fn parse(uri: &EngineUri) -> Result<Self, EngineUriError> {
        let mut params = Self {
            readers_max: READERS_DEFAULT,
            acquire_timeout: Duration::from_millis(ACQUIRE_TIMEOUT_MS_DEFAULT.into()),
        };
        let number = |name: &str, value: &str, max: u32| match value.parse() {
            Ok(number) if (1..=max).contains(&number) => Ok(number),
            _ => Err(uri.bad_parameter(
                name,
                format!("{value:?} is not a whole number from 1 to {max}"),
            )),
        };
        for (name, value) in &uri.params {
            match name.as_str() {
                "readers_max" => params.readers_max = number(name, value, READERS_MAX)?,
                "acquire_timeout_ms" => {
                    let timeout_ms = number(name, value, ACQUIRE_TIMEOUT_MS_MAX)?;
                    params.acquire_timeout = Duration::from_millis(timeout_ms.into());
                }
                _ => {
                    let known = "there are readers_max and acquire_timeout_ms";
                    return Err(uri.bad_parameter(name, known));
                }
            }
        }
        Ok(params)
    }
}

/// The file, which exists when this returns, and the folder to remove with it if it is temporary.
fn place(uri: &EngineUri) -> Result<(PathBuf, Option<TempDir>), DbError> {
    if uri.rest == ":memory:" {
        // A file rather than SQLite's own memory databases: those have no write-ahead log, so that a reader would wait
        // for the writer, and tests would see an engine that no service runs on.
        let folder = tempfile::Builder::new()
            .prefix("mcsp-db-")
            .tempdir()
            .map_err(|error| {
                DbError::new(DbErrorKind::Storage, format!("temporary folder: {error}"))
            })?;
        return Ok((folder.path().join("temporary.db"), Some(folder)));
    }
    let path = uri.rest.strip_prefix("//").unwrap_or(&uri.rest);
    if path.is_empty() {
        return Err(DbError::new(
            DbErrorKind::Uri,
            format!(
                "{:?} has no path; write for example \"sqlite:/var/lib/mcsp/auth.db\"",
                uri.uri
            ),
        ));
    }
    let failed = |error: io::Error| DbError::new(DbErrorKind::Storage, format!("{path}: {error}"));
    let path_absolute = absolute(path).map_err(failed)?;
    create_private(&path_absolute).map_err(failed)?;
    Ok((path_absolute, None))
}

/// Creates what is missing for its owner only: databases hold personal data. `SQLite` gives its log the file's mode.
fn create_private(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

fn connect_options(path: &Path) -> Result<AnyConnectOptions, DbError> {
    let not_text = || {
        DbError::new(
            DbErrorKind::Uri,
            format!("path {} is not UTF-8", path.display()),
        )
    };
    let mut encoded = String::from("sqlite://");
    for byte in path.to_str().ok_or_else(not_text)?.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded.push_str("?mode=rwc");
    Ok(encoded.parse()?)
}

fn pool_options(
    params: &Params,
    connections_max: u32,
    pragmas: &'static str,
    more: &'static str,
) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(params.acquire_timeout)
        // A connection to a file does not grow stale.
        .idle_timeout(None)
        .max_lifetime(None)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                sqlx::raw_sql(pragmas).execute(&mut *connection).await?;
                sqlx::raw_sql(more).execute(&mut *connection).await?;
                Ok(())
            })
        })
}

fn opening(path: &Path, error: sqlx::Error) -> DbError {
    let error = DbError::from(error);
    DbError::new(error.kind(), format!("opening {}: {error}", path.display()))
}
