//! Statements of ours as both databases want them.

use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// A statement of ours, whose variables are written `?` and numbered for PostgreSQL.
pub(super) fn statement(
    database: &impl ConnectionTrait,
    sql: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Statement {
    let backend = database.get_database_backend();
    Statement::from_sql_and_values(backend, numbered(backend, sql), values)
}

/// So many variables between commas.
pub(super) fn places(many: usize) -> String {
    vec!["?"; many].join(",")
}

/// The text of a statement as the database wants it: PostgreSQL has `$1`, `$2` and so on for `?`.
pub(super) fn numbered(backend: DbBackend, sql: &str) -> String {
    if backend != DbBackend::Postgres {
        return sql.to_owned();
    }
    let mut parts = sql.split('?');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    for (number, part) in (1..).zip(parts) {
        numbered.push_str(&format!("${number}{part}"));
    }
    numbered
}
