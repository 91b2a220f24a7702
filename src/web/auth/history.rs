//! What each role may do with the history of values.

use crate::config;
use crate::domain::{EndpointId, Path, Timestamp};
use crate::store::{Aggregate, Point, ResourceType, Retention};
use crate::web::ApiError;

use super::views::{Admin, Viewer};

/// The longest retention that is not for ever: a hundred years.
const MAX_DAYS: u32 = 36_500;

impl Viewer {
    /// The history of a value.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn history(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
        aggregate: Aggregate,
    ) -> Result<Vec<Point>, ApiError> {
        let history = &self.stores().history;
        Ok(history
            .aggregates(id, path, from, to, points, aggregate)
            .await?)
    }

    /// The known resource types with how long their values are kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn retentions(&self) -> Result<Vec<(ResourceType, Retention)>, ApiError> {
        Ok(self.stores().history.retentions().await?)
    }
}

impl Admin {
    /// Says how long values of a resource are kept. What is over age then goes within minutes.
    ///
    /// # Errors
    /// 422 when something coarser would go before what it is computed of.
    pub async fn set_retention(
        &self,
        object_id: u16,
        resource_id: u16,
        retention: Retention,
    ) -> Result<ResourceType, ApiError> {
        check(retention, &self.settings().history)?;
        let history = &self.stores().history;
        let is = history
            .set_retention(object_id, resource_id, retention)
            .await?;
        let days = [
            ("values", retention.raw_days),
            ("minutes", retention.minute_days),
            ("hours", retention.hour_days),
            ("days", retention.day_days),
        ]
        .map(|(what, days)| match days {
            None => format!("{what} as set"),
            Some(0) => format!("{what} for ever"),
            Some(days) => format!("{what} {days} d"),
        });
        let subject = format!("/{object_id}/*/{resource_id}");
        self.audit("resource_type.retention", &subject, &days.join(", "))
            .await;
        Ok(is)
    }
}

/// What is coarser must not go before what is finer: charts find it through the coarser.
fn check(retention: Retention, settings: &config::History) -> Result<(), ApiError> {
    let raw = retention.raw_days.unwrap_or(settings.raw_days);
    let minute = retention.minute_days.unwrap_or(settings.minute_days);
    let hour = retention.hour_days.unwrap_or(settings.hour_days);
    let day = retention.day_days.unwrap_or(settings.day_days);
    for (field, days) in [
        ("raw_days", raw),
        ("minute_days", minute),
        ("hour_days", hour),
        ("day_days", day),
    ] {
        if days > MAX_DAYS {
            let detail = format!("at most {MAX_DAYS}, or 0 for ever");
            return Err(ApiError::invalid(field, detail));
        }
    }
    let shorter = |one: u32, two: u32| one != 0 && (two == 0 || one < two);
    for (field, days, finer, finer_days) in [
        ("hour_days", hour, "minutes", minute),
        ("day_days", day, "hours", hour),
        ("day_days", day, "values", raw),
    ] {
        if shorter(days, finer_days) {
            let detail = format!("must be kept at least as long as the {finer}");
            return Err(ApiError::invalid(field, detail));
        }
    }
    Ok(())
}
