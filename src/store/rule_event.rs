//! Which values belong to an event that a rule made: the one that made it, and the latest ones of
//! the paths that the rule includes, as they are in the transaction that makes it.

use std::collections::BTreeSet;

use sea_orm::Value as Bind;

use super::failure::Failure;
use super::records::corrupt;
use super::transaction::Transaction;
use crate::domain::{Path, PathPattern, RuleEvent};

/// An event whose values are still to be found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) event: &'a RuleEvent,
    /// The row of the value that made it.
    pub(super) row: Option<i64>,
}

/// Paths that are looked at for one pattern: a bound on what a device with very many can cost.
const MAX_LOOKED_AT: u64 = 2_000;

impl Found<'_> {
    /// Adds the rows of `event_resource`, at most [`RuleEvent::MAX_VALUES`].
    pub(super) async fn rows(
        &self,
        transaction: &mut Transaction,
        into: &mut Vec<Bind>,
    ) -> Result<(), Failure> {
        let event = self.event;
        let mut rows: BTreeSet<i64> = self.row.into_iter().collect();
        // Without a value that made it, what was there before belongs to it.
        let place = self.row.is_none().then_some(&event.place);
        for pattern in place.into_iter().chain(&event.include) {
            for (path, row) in latest(transaction, event, pattern).await? {
                let is_its_own = self.row.is_some() && event.place.path() == Some(path);
                if rows.len() < RuleEvent::MAX_VALUES && !is_its_own && pattern.fits(&path) {
                    rows.insert(row);
                }
            }
        }
        into.extend(
            rows.into_iter()
                .flat_map(|row| [event.id.0.into(), row.into()]),
        );
        Ok(())
    }
}

/// The latest values at and below the fixed part of a pattern.
async fn latest(
    transaction: &mut Transaction,
    event: &RuleEvent,
    pattern: &PathPattern,
) -> Result<Vec<(Path, i64)>, Failure> {
    let stem = match pattern.stem() {
        Path::ROOT => String::new(),
        stem => stem.to_string(),
    };
    // `/3303/0` lies between `/3303` and `/33030`, as `/` is the character before `0`.
    let end = format!("{stem}0");
    let sql = format!(
        "SELECT path, resource_row FROM latest_resource \
        WHERE endpoint_id = ? AND path >= ? AND path < ? ORDER BY path LIMIT {MAX_LOOKED_AT}"
    );
    let values: [Bind; 3] = [event.endpoint_id.0.into(), stem.into(), end.into()];
    let found = transaction.pairs(&sql, values.into_iter()).await?;
    found
        .into_iter()
        .map(|(path, row)| {
            let path = path
                .parse()
                .map_err(|error| corrupt("latest value", error))?;
            Ok((path, row))
        })
        .collect()
}
