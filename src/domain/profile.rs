//! What people say of a device, and how it is changed.

use std::time::Duration;

use super::record::Profile;
use super::selection::{Selection, check_tag};

/// A change of a [`Profile`]: what is missing stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// New tags, in the place of all that there were.
    pub tags: Option<Vec<String>>,
    /// Tags that it has beside those, whatever they are.
    pub with_tags: Vec<String>,
    /// Tags that it does not have any more.
    pub without_tags: Vec<String>,
    /// A new awake window, or none of its own.
    pub awake: Option<Option<Duration>>,
    /// A new eDRX cycle, or none.
    pub edrx_cycle: Option<Option<Duration>>,
}

impl ProfileChange {
    /// The profile as it is after the change; tags are sorted, each of them once.
    #[must_use]
    pub fn applied_to(&self, profile: &Profile) -> Profile {
        let mut changed = profile.clone();
        if let Some(tags) = &self.tags {
            changed.tags.clone_from(tags);
        }
        changed.tags.extend(self.with_tags.iter().cloned());
        changed.tags.retain(|tag| !self.without_tags.contains(tag));
        changed.tags.sort();
        changed.tags.dedup();
        if let Some(awake) = self.awake {
            changed.awake = awake;
        }
        if let Some(cycle) = self.edrx_cycle {
            changed.edrx_cycle = cycle;
        }
        changed
    }
}

/// Checks how many tags there are, and each of them.
///
/// # Errors
/// Says which tag cannot be used, and why.
pub fn check_tags(tags: &[String]) -> Result<(), String> {
    let limit = Selection::MAX_ENTRIES;
    if tags.len() > limit {
        return Err(format!("a device has at most {limit} tags"));
    }
    tags.iter().try_for_each(|tag| check_tag(tag))
}

/// Checks an awake window.
///
/// # Errors
/// When it is not from one second to a day.
pub fn check_awake(window: Duration) -> Result<(), String> {
    if (MIN_WINDOW..=MAX_AWAKE).contains(&window) {
        return Ok(());
    }
    let longest = MAX_AWAKE.as_secs();
    Err(format!("an awake window has 1 to {longest} seconds"))
}

/// Checks an eDRX cycle.
///
/// # Errors
/// When it is not from one second to the longest cycle that networks have.
pub fn check_edrx_cycle(cycle: Duration) -> Result<(), String> {
    if (MIN_WINDOW..=MAX_EDRX_CYCLE).contains(&cycle) {
        return Ok(());
    }
    let longest = MAX_EDRX_CYCLE.as_secs();
    Err(format!("an eDRX cycle has 1 to {longest} seconds"))
}

/// The shortest awake window and eDRX cycle that can be told in whole seconds.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// A device that listens for longer does not sleep.
const MAX_AWAKE: Duration = Duration::from_secs(86_400);
/// NB-IoT has cycles of up to 10,485.76 s (3GPP TS 24.008 section 10.5.5.32).
const MAX_EDRX_CYCLE: Duration = Duration::from_secs(10_486);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_change_does_not_name_stays() {
        let before = Profile {
            tags: vec!["lab".to_owned()],
            awake: Some(Duration::from_secs(20)),
            edrx_cycle: None,
        };
        assert_eq!(ProfileChange::default().applied_to(&before), before);
        let change = ProfileChange {
            tags: Some(["b", "a", "b"].map(str::to_owned).to_vec()),
            awake: Some(None),
            ..ProfileChange::default()
        };
        let after = change.applied_to(&before);
        assert_eq!(after.tags, ["a", "b"]);
        assert_eq!((after.awake, after.edrx_cycle), (None, None));
    }

    #[test]
    fn tags_are_added_and_taken_away_beside_the_others() {
        let tags = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let before = Profile {
            tags: tags(&["b", "old"]),
            ..Profile::default()
        };
        let change = ProfileChange {
            with_tags: tags(&["a", "b"]),
            without_tags: tags(&["old", "never"]),
            ..ProfileChange::default()
        };
        assert_eq!(change.applied_to(&before).tags, ["a", "b"]);
    }

    #[test]
    fn times_out_of_range_and_tags_that_are_none_are_refused() {
        assert!(check_awake(Duration::ZERO).is_err());
        assert!(check_awake(Duration::from_secs(86_401)).is_err());
        assert!(check_awake(Duration::from_secs(20)).is_ok());
        assert!(check_edrx_cycle(Duration::from_secs(10_486)).is_ok());
        assert!(check_edrx_cycle(Duration::from_secs(10_487)).is_err());
        assert!(check_tags(&["a b".to_owned()]).is_err());
        assert!(check_tags(&vec!["a".to_owned(); 65]).is_err());
    }
}
