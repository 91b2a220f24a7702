//! Where a rule stands with one path of one device.

use sea_orm::entity::prelude::*;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rule_state")]
pub struct Model {
    /// The rule; it may be gone.
    #[sea_orm(primary_key, auto_increment = false)]
    pub rule_id: i64,
    /// The device.
    #[sea_orm(primary_key, auto_increment = false)]
    pub endpoint_id: i64,
    /// The path, for example `/3303/0/5700`, or the pattern of the rule.
    #[sea_orm(primary_key, auto_increment = false)]
    pub path: String,
    /// The revision of the rule that this belongs to.
    pub revision: i64,
    /// How far it is: `idle`, `pending`, `over` and, on the low side, `pending_low`, `over_low`.
    pub phase: String,
    /// The time of the newest value that was judged, epoch milliseconds.
    pub newest_at: Option<i64>,
    /// Since when the condition holds, epoch milliseconds.
    pub since: Option<i64>,
    /// From when the clock of a pending condition runs, epoch milliseconds.
    pub clock_at: Option<i64>,
    /// The time of the last event, epoch milliseconds.
    pub event_at: Option<i64>,
    /// The value that changes are told against.
    pub reported: Option<String>,
    /// The value that is told of after the cooldown.
    pub seen: Option<String>,
}

/// Rows of other tables that belong to a row.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
