//! What each role may do with charts of many series, and with those on the overview.

use crate::domain::{EndpointId, EndpointName, Path, Timestamp};
use crate::store::{EndpointRow, LatestValue, PinChange, PinnedChart, RawValue, Series};
use crate::web::ApiError;

use super::views::{Operator, Viewer};

impl Viewer {
    /// One endpoint, or nothing when there is none of this name.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn find_endpoint(
        &self,
        name: &EndpointName,
    ) -> Result<Option<EndpointRow>, ApiError> {
        Ok(self.stores().endpoints.find(name).await?)
    }

    /// Several histories, each in at most `points` points.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn series(
        &self,
        wanted: Vec<(EndpointId, Path)>,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Series>, ApiError> {
        let series = &self.stores().series;
        Ok(series.series(wanted, from, to, points).await?)
    }

    /// The numbers of one path as they came, behind `after` (time and row).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn raw_values(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<RawValue>, ApiError> {
        let series = &self.stores().series;
        Ok(series.raw_values(id, path, from, to, after, limit).await?)
    }

    /// Of which paths these devices have values.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn paths(&self, ids: Vec<EndpointId>) -> Result<Vec<(EndpointId, Path)>, ApiError> {
        Ok(self.stores().series.paths(ids).await?)
    }

    /// The latest values of these devices at these paths.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn latest_at(
        &self,
        ids: Vec<EndpointId>,
        paths: Vec<Path>,
    ) -> Result<Vec<LatestValue>, ApiError> {
        Ok(self.stores().series.latest_at(ids, paths).await?)
    }

    /// The charts on the overview, in their order.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pinned_charts(&self) -> Result<Vec<PinnedChart>, ApiError> {
        Ok(self.stores().pins.list().await?)
    }
}

impl Operator {
    /// Pins a chart to the overview.
    ///
    /// # Errors
    /// 409 when there are too many.
    pub async fn pin_chart(&self, title: String, view: String) -> Result<PinnedChart, ApiError> {
        let by = self.identity().doer();
        let limit = self.settings().charts.max_pinned;
        Ok(self.stores().pins.add(title, view, by, limit).await?)
    }

    /// Renames or moves a pinned chart, or lets it show something else.
    ///
    /// # Errors
    /// 404 without such a chart.
    pub async fn change_pinned_chart(
        &self,
        id: i64,
        change: PinChange,
    ) -> Result<PinnedChart, ApiError> {
        let by = self.identity().doer();
        let changed = self.stores().pins.change(id, change, by).await?;
        changed.ok_or_else(|| unknown(id))
    }

    /// Takes a pinned chart from the overview.
    ///
    /// # Errors
    /// 404 without such a chart.
    pub async fn unpin_chart(&self, id: i64) -> Result<(), ApiError> {
        let by = self.identity().doer();
        match self.stores().pins.remove(id, by).await? {
            true => Ok(()),
            false => Err(unknown(id)),
        }
    }
}

fn unknown(id: i64) -> ApiError {
    ApiError::not_found(format!("there is no pinned chart {id}"))
}
