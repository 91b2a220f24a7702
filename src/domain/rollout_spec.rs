//! What people say of a rollout: which image, for whom, in which groups, and what is too much.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::firmware::UpdateMethod;
use super::ids::FirmwareId;
use super::names::names;
use super::selection::Selection;
use super::time::Timestamp;
use super::window::DailyWindow;

/// What people say of a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RolloutSpec {
    /// Its name, for people; not unique.
    pub name: String,
    /// The image.
    pub firmware: FirmwareId,
    /// How it comes to the devices; none: as each says that it can.
    pub method: Option<UpdateMethod>,
    /// Which devices, beside those that the image is not made for.
    pub selection: Selection,
    /// True when devices that fit later join the last group, for as long as the rollout is not over.
    pub newcomers: bool,
    /// The groups, in their order; the last one takes all that the others leave.
    pub groups: Vec<GroupSpec>,
    /// So many devices are updated at once, at most.
    pub at_once: u32,
    /// Nothing begins before.
    pub start_at: Option<Timestamp>,
    /// No update begins outside of it; one that has begun goes on. The way back does not wait for it.
    pub window: Option<DailyWindow>,
    /// What happens when too many devices of a group fail.
    pub on_error: OnError,
    /// What devices are given on the way back; none: each the image of what it ran before.
    pub roll_back_to: Option<FirmwareId>,
}

/// What people say of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name, for people.
    pub name: String,
    /// How many devices.
    pub size: GroupSize,
    /// When at least so many percent of its devices succeeded, the next group begins.
    pub success_percent: u8,
    /// When more than so many percent of its devices failed, that is an error.
    pub error_percent: u8,
}

/// How many devices are in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupSize {
    /// So many.
    Count(u32),
    /// So many percent of all devices of the rollout, rounded up.
    Percent(u8),
    /// All that are left.
    Rest,
}

/// Why a rollout makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct InvalidRollout {
    /// The field that is to blame, for example `groups`.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl RolloutSpec {
    /// The longest name, in characters, also of a group.
    pub const MAX_NAME_CHARS: usize = 100;
    /// The largest number of groups.
    pub const MAX_GROUPS: usize = 50;

    /// Checks all of it that can be checked without the fleet. `max_at_once` is the setting of that name.
    ///
    /// # Errors
    /// Names the field and says what is wrong with it.
    pub fn check(&self, max_at_once: u32) -> Result<(), InvalidRollout> {
        let fault = |field: &'static str| move |reason: String| InvalidRollout { field, reason };
        check_name("a rollout", &self.name).map_err(fault("name"))?;
        self.selection.check().map_err(fault("filter"))?;
        if !(1..=max_at_once).contains(&self.at_once) {
            return Err(fault("at_once")(Self::no_at_once(
                self.at_once,
                max_at_once,
            )));
        }
        check_groups(&self.groups).map_err(fault("groups"))?;
        if self.roll_back_to == Some(self.firmware) {
            let why = "devices would be given back the image that they are to be rid of".to_owned();
            return Err(fault("roll_back_to")(why));
        }
        Ok(())
    }

    /// Why so many devices are not updated at once.
    pub fn no_at_once(at_once: impl fmt::Display, max_at_once: u32) -> String {
        format!(
            "1 to {max_at_once} devices are updated at once, not {at_once} (rollouts.max_at_once)"
        )
    }

    /// In which group each of so many devices is, in their order: the index of the group.
    pub fn share_out(&self, devices: usize) -> Vec<u16> {
        let mut groups = Vec::with_capacity(devices);
        for (index, group) in self.groups.iter().enumerate() {
            let left = devices - groups.len();
            let size = match group.size {
                GroupSize::Count(count) => count as usize,
                GroupSize::Percent(percent) => (devices * usize::from(percent)).div_ceil(100),
                GroupSize::Rest => left,
            };
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            groups.resize(groups.len() + size.min(left), index);
        }
        // The last group takes all that is left: a checked one has this size.
        groups.resize(devices, self.last_group());
        groups
    }

    /// The index of the group that newcomers join.
    pub fn last_group(&self) -> u16 {
        u16::try_from(self.groups.len().saturating_sub(1)).unwrap_or(u16::MAX)
    }
}

fn check_name(what: &str, name: &str) -> Result<(), String> {
    let longest = RolloutSpec::MAX_NAME_CHARS;
    let chars = name.chars().count();
    if name.trim().is_empty() || chars > longest {
        return Err(format!(
            "the name of {what} has 1 to {longest} characters, this one has {chars}"
        ));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("the name of {what} has no {c:?} in it")),
        None => Ok(()),
    }
}

fn check_groups(groups: &[GroupSpec]) -> Result<(), String> {
    let most = RolloutSpec::MAX_GROUPS;
    let Some((last, others)) = groups.split_last() else {
        return Err("there is no group".to_owned());
    };
    if groups.len() > most {
        let many = groups.len();
        return Err(format!(
            "at most {most} groups can be given, these are {many}"
        ));
    }
    if last.size != GroupSize::Rest {
        let name = &last.name;
        return Err(format!(
            "the last group (`{name}`) takes all devices that are left: it has no size of its own"
        ));
    }
    for group in others {
        let name = &group.name;
        match group.size {
            GroupSize::Rest => {
                return Err(format!(
                    "group `{name}` would take all devices, and none would be left for the next one"
                ));
            }
            GroupSize::Count(0) | GroupSize::Percent(0 | 101..) => {
                return Err(format!(
                    "group `{name}` has at least one device, or 1 to 100 percent of all"
                ));
            }
            GroupSize::Count(_) | GroupSize::Percent(_) => {}
        }
    }
    groups.iter().try_for_each(check_group)
}

fn check_group(group: &GroupSpec) -> Result<(), String> {
    check_name("a group", &group.name)?;
    let GroupSpec {
        name,
        success_percent: success,
        error_percent: error,
        ..
    } = group;
    if *success == 0 || *success > 100 {
        return Err(format!(
            "group `{name}`: the threshold of success is 1 to 100 percent, not {success}"
        ));
    }
    if *error > 100 {
        return Err(format!(
            "group `{name}`: the threshold of errors is 0 to 100 percent, not {error}"
        ));
    }
    if u16::from(*success) + u16::from(*error) > 100 {
        return Err(format!(
            "group `{name}`: with {error} percent that may fail, {success} percent may never succeed, and the rollout \
            would stand still; both together are at most 100"
        ));
    }
    Ok(())
}

/// What happens when too many devices of a group fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// No further device is begun, until somebody decides.
    Pause,
    /// Devices that were changed already get back what they ran before.
    RollBack,
    /// It is over.
    Stop,
}

names!(OnError, "answer to errors of a rollout", {
    RollBack = "roll_back",
    Pause = "pause",
    Stop = "stop",
});

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `rollouts.max_at_once`
    const MOST: u32 = 10;

    pub(crate) fn group(name: &str, size: GroupSize, success: u8, error: u8) -> GroupSpec {
        GroupSpec {
            name: name.to_owned(),
            size,
            success_percent: success,
            error_percent: error,
        }
    }

    pub(crate) fn spec(groups: Vec<GroupSpec>) -> RolloutSpec {
        RolloutSpec {
            name: "autumn".to_owned(),
            firmware: FirmwareId(2),
            method: None,
            selection: Selection::default(),
            newcomers: false,
            groups,
            at_once: 10,
            start_at: None,
            window: None,
            on_error: OnError::RollBack,
            roll_back_to: None,
        }
    }

    fn sizes(spec: &RolloutSpec, devices: usize) -> Vec<usize> {
        let shared = spec.share_out(devices);
        assert_eq!(shared.len(), devices);
        assert!(shared.is_sorted());
        let size = |index| shared.iter().filter(|group| **group == index).count();
        (0..=spec.last_group()).map(size).collect()
    }

    #[test]
    fn devices_are_shared_out_in_order_and_none_is_left() {
        let spec = spec(vec![
            group("canary", GroupSize::Count(5), 90, 10),
            group("tenth", GroupSize::Percent(10), 90, 10),
            group("rest", GroupSize::Rest, 90, 10),
        ]);
        assert_eq!(sizes(&spec, 1_000), [5, 100, 895]);
        assert_eq!(sizes(&spec, 7), [5, 1, 1]);
        assert_eq!(sizes(&spec, 3), [3, 0, 0]);
        assert_eq!(sizes(&spec, 0), [0, 0, 0]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_words() {
        let rest = |success, error| group("rest", GroupSize::Rest, success, error);
        for (spec, field, word) in [
            (spec(vec![]), "groups", "no group"),
            (
                spec(vec![group("a", GroupSize::Count(1), 90, 0)]),
                "groups",
                "last group",
            ),
            (
                spec(vec![rest(90, 0), rest(90, 0)]),
                "groups",
                "none would be left",
            ),
            (
                spec(vec![group("a", GroupSize::Count(0), 90, 0), rest(90, 0)]),
                "groups",
                "`a`",
            ),
            (
                spec(vec![
                    group("a", GroupSize::Percent(101), 90, 0),
                    rest(90, 0),
                ]),
                "groups",
                "`a`",
            ),
            (spec(vec![rest(0, 0)]), "groups", "1 to 100"),
            (spec(vec![rest(101, 0)]), "groups", "1 to 100"),
            (spec(vec![rest(90, 101)]), "groups", "0 to 100"),
            (spec(vec![rest(95, 6)]), "groups", "stand still"),
            (
                spec(vec![group(" ", GroupSize::Rest, 90, 0)]),
                "groups",
                "name",
            ),
            (
                RolloutSpec {
                    name: "a\nb".to_owned(),
                    ..spec(vec![rest(90, 0)])
                },
                "name",
                "'\\n'",
            ),
            (
                RolloutSpec {
                    at_once: 0,
                    ..spec(vec![rest(90, 0)])
                },
                "at_once",
                "1 to 10 devices are updated at once, not 0",
            ),
            (
                RolloutSpec {
                    at_once: 11,
                    ..spec(vec![rest(90, 0)])
                },
                "at_once",
                "not 11 (rollouts.max_at_once)",
            ),
            (
                RolloutSpec {
                    roll_back_to: Some(FirmwareId(2)),
                    ..spec(vec![rest(90, 0)])
                },
                "roll_back_to",
                "given back",
            ),
        ] {
            let error = spec.check(MOST).expect_err(word);
            assert_eq!(error.field, field);
            assert!(error.reason.contains(word), "{error}");
        }
        assert_eq!(spec(vec![rest(95, 5)]).check(MOST), Ok(()));
        assert_eq!(spec(vec![rest(100, 0)]).check(MOST), Ok(()));
    }
}
