//! The few kinds of columns that the tables are made of.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

/// 64 bits: ids and epoch milliseconds. As the primary key it is SQLite's rowid.
pub(crate) fn number(name: &'static str) -> ColumnDef {
    number_or_none(name).not_null().take()
}

pub(crate) fn number_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().take()
}

/// 32 bits: ids of LwM2M objects and resources, message ids.
pub(crate) fn small_number(name: &'static str) -> ColumnDef {
    small_number_or_none(name).not_null().take()
}

pub(crate) fn small_number_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().take()
}

pub(crate) fn float(name: &'static str) -> ColumnDef {
    float_or_none(name).not_null().take()
}

pub(crate) fn float_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).double().take()
}

pub(crate) fn flag(name: &'static str) -> ColumnDef {
    flag_or_none(name).not_null().take()
}

pub(crate) fn flag_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().take()
}

pub(crate) fn text(name: &'static str) -> ColumnDef {
    text_or_none(name).not_null().take()
}

pub(crate) fn text_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().take()
}

/// A text whose order matters: by its bytes, as SQLite does it, and not by the locale of the
/// PostgreSQL cluster.
pub(crate) fn sorted_text(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    let mut column = text(name);
    if manager.get_database_backend() == DbBackend::Postgres {
        column.extra(r#"COLLATE "C""#);
    }
    column
}

pub(crate) fn bytes(name: &'static str) -> ColumnDef {
    bytes_or_none(name).not_null().take()
}

pub(crate) fn bytes_or_none(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().take()
}

/// `table.column` names a row of `parent`.
pub(crate) fn belongs_to(
    table: &'static str,
    column: &'static str,
    parent: &'static str,
    on_delete: ForeignKeyAction,
) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .name(format!("{table}_{parent}"))
        .from(table, column)
        .to(parent, "id")
        .on_delete(on_delete)
        .take()
}

pub(crate) fn index(
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    if unique {
        index.unique();
    }
    index
}
