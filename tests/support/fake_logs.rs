//! The logs of [`FakeStore`].

use async_trait::async_trait;
use flownexus::domain::{Doer, EndpointId, LogResource, StoredLogLine};
use flownexus::store::{LogFilter, LogReader, LogResourceStore, StoreError};

use super::fake_store::FakeStore;

/// Which of these lines are meant, newest first.
pub(crate) fn fitting(lines: &[StoredLogLine], filter: &LogFilter) -> Vec<StoredLogLine> {
    let fits = |line: &&StoredLogLine| {
        let search = filter.search.as_ref().map(|text| text.to_lowercase());
        search.is_none_or(|text| line.text.to_lowercase().contains(&text))
            && filter
                .level
                .is_none_or(|least| line.level.is_some_and(|level| level <= least))
            && filter.from.is_none_or(|from| line.time >= from)
            && filter.to.is_none_or(|to| line.time < to)
            && filter.before.is_none_or(|before| line.id < before)
    };
    let limit = usize::try_from(filter.limit).expect("a small number");
    let lines = lines.iter().rev().filter(fits);
    lines.take(limit).cloned().collect()
}

#[async_trait]
impl LogReader for FakeStore {
    async fn list(
        &self,
        endpoint: EndpointId,
        filter: &LogFilter,
    ) -> Result<Vec<StoredLogLine>, StoreError> {
        let tables = self.tables();
        let row = tables.endpoints.values().find(|row| row.id == endpoint);
        let lines: Vec<StoredLogLine> = tables
            .logs
            .iter()
            .filter(|line| row.is_some_and(|row| row.name == line.endpoint))
            .cloned()
            .collect();
        Ok(fitting(&lines, filter))
    }
}

#[async_trait]
impl LogResourceStore for FakeStore {
    async fn list(&self) -> Result<Vec<LogResource>, StoreError> {
        Ok(self.tables().log_resources.clone())
    }

    async fn add(&self, mut resource: LogResource, by: Doer) -> Result<LogResource, StoreError> {
        let mut tables = self.tables();
        resource.id = tables.next_id();
        tables.log_resources.push(resource.clone());
        let detail = format!("{} for {}", resource.path, resource.selection);
        self.say(by, "log_resource.create", resource.id, &detail);
        Ok(resource)
    }

    async fn remove(&self, id: i64, by: Doer) -> Result<bool, StoreError> {
        let resources = &mut self.tables().log_resources;
        let before = resources.len();
        resources.retain(|resource| resource.id != id);
        let removed = resources.len() < before;
        if removed {
            self.say(by, "log_resource.delete", id, "");
        }
        Ok(removed)
    }
}
