//! Removes many rows in pieces: other commits come in between.

use sea_orm::{ConnectionTrait as _, Value as Bind};

use super::sql::statement;
use super::{Store, StoreError};

/// The rows of a table that belong to something.
pub(super) struct Rows {
    pub(super) table: &'static str,
    /// The column that says what they belong to.
    pub(super) owner: &'static str,
    /// The columns by which they are told apart, or all but the owner's.
    pub(super) key: &'static str,
}

impl Store {
    /// Removes the rows of an owner, at most `chunk` in one transaction.
    pub(super) async fn remove_rows(
        &self,
        rows: &Rows,
        owner: i64,
        chunk: u64,
    ) -> Result<(), StoreError> {
        let Rows {
            table,
            owner: column,
            key,
        } = rows;
        let sql = format!(
            "DELETE FROM {table} WHERE {column} = ? AND ({key}) IN (\
            SELECT {key} FROM {table} WHERE {column} = ? LIMIT {chunk})"
        );
        loop {
            let sql = sql.clone();
            let removed = self
                .write_patiently(move |transaction| {
                    Box::pin(async move {
                        let values: [Bind; 2] = [owner.into(), owner.into()];
                        let result = transaction
                            .execute_raw(statement(transaction, &sql, values))
                            .await?;
                        Ok(result.rows_affected())
                    })
                })
                .await?;
            if removed < chunk {
                return Ok(());
            }
        }
    }
}
