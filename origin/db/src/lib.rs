//! The relational engine behind one set of portable statements.
//!
//! A service opens its own database with [`Db::open`], brings its schema up to date with [`Db::migrate`], writes in a
//! [`Tx`] and reads on a [`ReadConn`]. The URI's scheme picks the engine:
//!
//! | scheme | engine |
//! | --- | --- |
//! | `sqlite:/path/to/file.db` | `SQLite`: write-ahead log, `synchronous = FULL`: what is committed survives a loss of power |
//! | `sqlite::memory:` | a private database that vanishes with its last handle, for tests |
//! | `faulty:` and another URI | that engine with seeded errors, lost acknowledgements and delays ([`mcsp_runtime::FaultPlan`]) |
//!
//! Statements must be valid for `SQLite` and `PostgreSQL` alike: parameters `$1`, types `TEXT`, `BIGINT`,
//! `DOUBLE PRECISION` and [`BLOB`] only (no booleans, dates or JSON columns), `ON CONFLICT`, `RETURNING`. After an error
//! inside a transaction, drop it: `PostgreSQL` takes no further statement. [`contract`] is what each engine must pass.

pub mod contract;
mod error;
mod faults;
mod migrate;
mod sqlite;
mod tx;

use std::sync::Arc;

use mcsp_runtime::{EngineUri, FaultPlan};
use sqlx::AnyPool;
use tempfile::TempDir;

pub use error::{DbError, DbErrorKind};
pub use migrate::{BLOB, Migration};
pub use tx::{ReadConn, Tx};

/// Which engine is behind a [`Db`]; only for what cannot be said portably, such as triggers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// `SQLite` in this process.
    Sqlite,
}

/// A service's database. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    /// `SQLite` takes one writer at a time: one connection here makes writers queue in order, instead of polling a
    /// file lock.
    writers: AnyPool,
    readers: AnyPool,
    faults: Option<FaultPlan>,
    /// The folder of a database that is to vanish.
    _temporary: Option<TempDir>,
}

impl Db {
    /// Opens the database that `uri` names; creates it, readable by its owner only, if there is none.
    ///
    /// Parameters of `sqlite:`, all optional: `readers_max`, the most connections that read at once (1 to 64, default
    /// 4); `acquire_timeout_ms`, how long [`Db::begin`] and [`Db::acquire`] wait for their turn (1 to 600000, default
    /// 10000).
    ///
    /// # Errors
    /// [`DbErrorKind::Uri`] when the URI cannot be used or its engine is not in this build,
    /// [`DbErrorKind::Storage`] when the file cannot be used.
    pub async fn open(uri: &str) -> Result<Self, DbError> {
        let parsed = EngineUri::parse(uri)?;
        if parsed.scheme != "faulty" {
            return Self::open_engine(&parsed, None).await;
        }
        let (plan, inner_uri) = FaultPlan::split(&parsed)?;
        let inner = EngineUri::parse(&inner_uri)?;
        Self::open_engine(&inner, Some(plan)).await
    }

    async fn open_engine(uri: &EngineUri, faults: Option<FaultPlan>) -> Result<Self, DbError> {
        if uri.scheme != "sqlite" {
            return Err(uri.unknown_engine("relational", "sqlite, faulty").into());
        }
        let pools = sqlite::open(uri).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                engine: Engine::Sqlite,
                writers: pools.writers,
                readers: pools.readers,
                faults,
                _temporary: pools.temporary,
            }),
        })
    }

    /// The engine, for what cannot be said portably.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.inner.engine
    }

    /// Begins a transaction that may write. Transactions are serializable; `SQLite` runs one at a time, so keep them
    /// short and never begin a second one while holding the first.
    ///
    /// # Errors
    /// [`DbErrorKind::Unavailable`] when the turn did not come in `acquire_timeout_ms`.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        faults::before(self.inner.faults.as_ref(), "begin").await?;
        self.begin_without_faults().await
    }

    /// A connection to read with; statements on it see what is committed. It refuses to write.
    ///
    /// # Errors
    /// [`DbErrorKind::Unavailable`] when none became free in `acquire_timeout_ms`.
    pub async fn acquire(&self) -> Result<ReadConn, DbError> {
        faults::before(self.inner.faults.as_ref(), "acquire").await?;
        let connection = self.inner.readers.acquire().await?;
        Ok(ReadConn::new(connection, self.clone()))
    }

    /// Brings the schema of the service that owns the database up to date: [`Db::migrate_as`] for `service`.
    ///
    /// # Errors
    /// As [`Db::migrate_as`].
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), DbError> {
        self.migrate_as("service", migrations).await
    }

    /// Applies the migrations that are missing, in the order of their versions and in one transaction. `component`
    /// keeps apart the versions of parts that share a database: the service's own tables, its outbox, its audit log.
    /// Faults of `faulty:` begin after this.
    ///
    /// # Errors
    /// [`DbErrorKind::Migration`] when an applied migration was changed since, when the database is newer than this
    /// build, or when versions do not rise; the statement's own error when one fails. Nothing is applied then.
    pub async fn migrate_as(
        &self,
        component: &'static str,
        migrations: &[Migration],
    ) -> Result<(), DbError> {
        let mut tx = self.begin_without_faults().await?;
        migrate::apply(&mut tx, self.inner.engine, component, migrations).await?;
        tx.commit_without_faults().await
    }

    /// Does the engine answer?
    ///
    /// # Errors
    /// As [`Db::acquire`], and the engine's own.
    pub async fn ping(&self) -> Result<(), DbError> {
        let mut connection = self.acquire().await?;
        sqlx::query("SELECT 1").execute(connection.conn()).await?;
        Ok(())
    }

    /// Closes every connection once it is returned, and checkpoints the write-ahead log; later calls fail. Dropping the
    /// last handle instead loses nothing either.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writers.close().await;
    }

    async fn begin_without_faults(&self) -> Result<Tx, DbError> {
        let transaction = match self.inner.engine {
            // IMMEDIATE takes the write lock at once: a lock that is upgraded later can deadlock with another process.
            Engine::Sqlite => self.inner.writers.begin_with("BEGIN IMMEDIATE").await?,
        };
        Ok(Tx::new(transaction, self.clone()))
    }

    fn faults(&self) -> Option<&FaultPlan> {
        self.inner.faults.as_ref()
    }
}
