//! Why a statement failed, while it still matters whether the connection is to blame.

use sea_orm::{DbErr, RuntimeErr, sqlx};

use super::StoreError;

/// An error of the database or of ours.
#[derive(Debug)]
pub(super) enum Failure {
    /// From the database.
    Database(DbErr),
    /// From here.
    Store(StoreError),
}

impl Failure {
    /// True when the connection is gone, so that it is no use to try the next statement.
    pub(super) fn is_connection(&self) -> bool {
        match self {
            Self::Database(DbErr::Conn(_) | DbErr::ConnectionAcquire(_)) => true,
            Self::Database(
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => {
                matches!(
                    error.as_ref(),
                    sqlx::Error::Io(_)
                        | sqlx::Error::PoolClosed
                        | sqlx::Error::PoolTimedOut
                        | sqlx::Error::Protocol(_)
                        | sqlx::Error::Tls(_)
                        | sqlx::Error::WorkerCrashed
                ) || is_shutdown(error)
            }
            Self::Database(_) | Self::Store(_) => false,
        }
    }
}

impl Failure {
    /// True when it would fail again with the same rows, however often it is tried: they break a constraint,
    /// or they are none.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Database(
                DbErr::Exec(RuntimeErr::SqlxError(error))
                | DbErr::Query(RuntimeErr::SqlxError(error)),
            ) => match error.as_ref() {
                sqlx::Error::Database(error) => {
                    // SQLITE_TOOBIG and SQLITE_MISMATCH have no kind.
                    error.kind() != sqlx::error::ErrorKind::Other
                        || matches!(error.code().as_deref(), Some("18" | "20"))
                }
                sqlx::Error::Encode(_) => true,
                _ => false,
            },
            Self::Database(DbErr::Type(_) | DbErr::Json(_)) | Self::Store(_) => true,
            Self::Database(_) => false,
        }
    }
}

/// True when PostgreSQL says that it ends the connection: class 57P (operator intervention) and
/// class 08 (connection exception).
fn is_shutdown(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| code.starts_with("57P") || (code.len() == 5 && code.starts_with("08")))
}

impl From<DbErr> for Failure {
    fn from(error: DbErr) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Database(error) => error.into(),
            Failure::Store(error) => error,
        }
    }
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        Self::Database(error.to_string())
    }
}
