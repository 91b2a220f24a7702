//! What is wanted of a device to be observed, and how far that is true.
//!
//! The wish outlives observations and registrations: it is what observations are made anew from.

use serde::{Deserialize, Serialize};

use super::command::ContentFormat;
use super::ids::{EndpointId, WantedId};
use super::names::names;
use super::path::Path;
use super::time::Timestamp;

/// Where something wanted stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WantedState {
    /// The device confirmed the observation.
    Active,
    /// The observation ended on the device's side, or nothing was heard of it for too long; it is
    /// asked for again.
    Lost,
    /// There is no observation, and none was asked for yet.
    Missing,
    /// The device refused it; it is not asked again before it registers anew.
    Refused,
    /// The request waits, or is on its way.
    Requested,
}

names!(WantedState, "state of an observation", {
    Active = "active",
    Lost = "lost",
    Missing = "missing",
    Refused = "refused",
    Requested = "requested",
});

/// The observation template that wants something, as it was when that was last looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TemplateVersion {
    /// Its row.
    pub id: i64,
    /// Counted up with each change of the template.
    pub revision: i64,
}

/// One thing that is wanted to be observed on a device: by an observation template, by somebody, or
/// by both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// Its row.
    pub id: WantedId,
    /// The device's row.
    pub endpoint_id: EndpointId,
    /// What: one path, or several for a composite; sorted.
    pub paths: Vec<Path>,
    /// True for Observe-Composite.
    pub composite: bool,
    /// The template that wants it.
    pub template: Option<TemplateVersion>,
    /// Who asked for it by an operation.
    pub user: Option<String>,
    /// Who cancelled what the template wants; it stays so until the template changes or the device
    /// registers again.
    pub cancelled_by: Option<String>,
    /// Notification attributes that the template wants, by name.
    pub attributes: Vec<(String, String)>,
    /// Attributes that an earlier version of the template set and that are to be removed.
    pub withdrawn: Vec<String>,
    /// True once the attributes were asked for in this registration.
    pub attributes_asked: bool,
    /// Why the device did not take the attributes, in words.
    pub attributes_error: Option<String>,
    /// The format that notifications should come in, or the server's choice.
    pub format: Option<ContentFormat>,
    /// Where it stands.
    pub state: WantedState,
    /// Why it stands there, in words.
    pub reason: Option<String>,
    /// Since when it stands there.
    pub since: Timestamp,
    /// Not asked for before this time.
    pub retry_at: Option<Timestamp>,
    /// How often it was lost or could not be asked for in a row.
    pub losses: u32,
}

impl Wanted {
    /// True when somebody or a template wants it, and nobody said otherwise.
    pub fn is_wanted(&self) -> bool {
        self.cancelled_by.is_none() && (self.template.is_some() || self.user.is_some())
    }

    /// True when it is about exactly this.
    pub fn is(&self, composite: bool, paths: &[Path]) -> bool {
        self.composite == composite && same_paths(&self.paths, paths)
    }
}

/// True when both name the same paths, in whatever order.
pub fn same_paths(left: &[Path], right: &[Path]) -> bool {
    left == right
        || (left.len() == right.len()
            && left.iter().all(|path| right.contains(path))
            && right.iter().all(|path| left.contains(path)))
}

/// How often a path should be told of, as far as this server knows: from what it set itself, and
/// from what a Discover found (`pmin` and `pmax`, OMA-TS-LightweightM2M Core 7.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Periods {
    /// Where the attributes are set.
    pub path: Path,
    /// Seconds between two notifications at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmin: Option<u64>,
    /// Seconds between two notifications at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pmax: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_states_are_read_back() {
        for state in WantedState::ALL {
            assert_eq!(state.name().parse(), Ok(state));
        }
        assert!("gone".parse::<WantedState>().is_err());
    }

    #[test]
    fn the_order_of_paths_does_not_matter() {
        let [a, b] = [Path::object(3), Path::object(4)];
        assert!(same_paths(&[a, b], &[b, a]));
        assert!(!same_paths(&[a, b], &[a]));
        assert!(!same_paths(&[a, b], &[a, a]));
    }
}
