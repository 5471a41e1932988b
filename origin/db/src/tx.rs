//! Connections as their users hold them.

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Transaction};

use crate::error::DbError;
use crate::{Db, faults};

/// A transaction that may write. Dropping it rolls it back.
#[derive(Debug)]
pub struct Tx {
    transaction: Transaction<'static, Any>,
    db: Db,
}

impl Tx {
    pub(crate) fn new(transaction: Transaction<'static, Any>, db: Db) -> Self {
        Self { transaction, db }
    }

    /// What statements are executed on.
    pub fn conn(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Makes the transaction's effects durable and visible, all of them at once.
    ///
    /// # Errors
    /// [`crate::DbErrorKind::CommitUnknown`] when they may or may not be there; after any other kind they are not.
    pub async fn commit(self) -> Result<(), DbError> {
        let db = self.db.clone();
        if let Err(error) = faults::before(db.faults(), "commit").await {
            self.rollback().await?;
            return Err(error);
        }
        self.commit_without_faults().await?;
        faults::after_commit(db.faults())
    }

    /// Undoes the transaction and waits until that is done.
    ///
    /// # Errors
    /// The engine's; the effects are gone nevertheless.
    pub async fn rollback(self) -> Result<(), DbError> {
        Ok(self.transaction.rollback().await?)
    }

    pub(crate) async fn commit_without_faults(self) -> Result<(), DbError> {
        self.transaction.commit().await.map_err(DbError::of_commit)
    }
}

/// A connection that reads what is committed and refuses to write; goes back to the pool when it is dropped.
#[derive(Debug)]
pub struct ReadConn {
    connection: PoolConnection<Any>,
    /// Keeps a temporary database in place while it is read.
    _db: Db,
}

impl ReadConn {
    pub(crate) fn new(connection: PoolConnection<Any>, db: Db) -> Self {
        Self {
            connection,
            _db: db,
        }
    }

    /// What statements are executed on.
    pub fn conn(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}

impl Deref for ReadConn {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.connection
    }
}

impl DerefMut for ReadConn {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.connection
    }
}
