//! Transactions that are done again when another one was in the way.

use mcsp_db::DbErrorKind;

use crate::error::AuthError;

/// How often a transaction is tried.
const TRIES_MAX: u32 = 5;

/// Counts the tries of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Was it a conflict, and is there a try left? The transaction was rolled back then.
    pub(crate) fn again<T>(&mut self, outcome: &Result<T, AuthError>) -> bool {
        self.0 += 1;
        let is_conflict =
            matches!(outcome, Err(AuthError::Db(error)) if error.kind() == DbErrorKind::Conflict);
        is_conflict && self.0 < TRIES_MAX
    }
}

/// `transaction!(db, tx => work(&mut tx).await)`: commits what `work` did if it returns `Ok`, rolls it back otherwise,
/// and does both again after a conflict. A macro, because a future borrowed from an async closure's argument is not
/// known to be `Send`.
macro_rules! transaction {
    ($db:expr, $tx:ident => $work:expr) => {{
        let mut tries = $crate::transaction::Tries::default();
        loop {
            let mut $tx = $db.begin().await?;
            let outcome = match $work {
                Ok(value) => $tx
                    .commit()
                    .await
                    .map(|()| value)
                    .map_err($crate::error::AuthError::from),
                Err(error) => Err(error),
            };
            if !tries.again(&outcome) {
                break outcome;
            }
        }
    }};
}
pub(crate) use transaction;
