//! The log of the device that has everything.

use async_trait::async_trait;
use flownexus::domain::{Doer, EndpointId, LogLevel, LogResource, StoredLogLine};
use flownexus::store::{LogFilter, LogReader, LogResourceStore, StoreError};

use super::{Fleet, RICH, ago, name, path};
use crate::support::fake_logs::fitting;

/// A line of each level and one without, one of them markup.
pub(super) fn samples() -> Vec<StoredLogLine> {
    let lines = [
        (None, "booting"),
        (Some(LogLevel::Debug), "[00:00:01.000,000] net: up"),
        (Some(LogLevel::Info), "<script>alert(1)</script>"),
        (Some(LogLevel::Warning), "battery <b>low</b>"),
        (Some(LogLevel::Error), "modem: no answer"),
    ];
    (1..)
        .zip(lines)
        .map(|(id, (level, text))| StoredLogLine {
            id,
            endpoint: name(RICH),
            path: path("/20/0/4014"),
            level,
            text: text.to_owned(),
            time: ago(60),
            received_at: ago(60),
        })
        .collect()
}

#[async_trait]
impl LogReader for Fleet {
    async fn list(
        &self,
        endpoint: EndpointId,
        filter: &LogFilter,
    ) -> Result<Vec<StoredLogLine>, StoreError> {
        Ok(match endpoint.0 {
            1 => fitting(&self.lock().logs, filter),
            _ => Vec::new(),
        })
    }
}

#[async_trait]
impl LogResourceStore for Fleet {
    async fn list(&self) -> Result<Vec<LogResource>, StoreError> {
        Ok(Vec::new())
    }

    async fn add(&self, resource: LogResource, _: Doer) -> Result<LogResource, StoreError> {
        Ok(resource)
    }

    async fn remove(&self, _: i64, _: Doer) -> Result<bool, StoreError> {
        Ok(false)
    }
}
