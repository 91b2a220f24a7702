//! The `filter` field: for which devices something is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::Selection;

/// A choice of devices: one of the names must fit, and all of the tags must be there. An empty one
/// means every device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"names": ["urn:imei:35*"], "tags": ["lab"]}))]
pub struct DeviceFilter {
    /// Patterns of names: `*` stands for any text, `?` for one character.
    #[serde(default)]
    pub names: Vec<String>,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
}

impl From<DeviceFilter> for Selection {
    fn from(filter: DeviceFilter) -> Self {
        Self {
            names: filter.names,
            tags: filter.tags,
        }
    }
}

impl From<&Selection> for DeviceFilter {
    fn from(selection: &Selection) -> Self {
        Self {
            names: selection.names.clone(),
            tags: selection.tags.clone(),
        }
    }
}
