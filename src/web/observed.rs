//! What is wanted to be observed on a device, against what is: one list, for the API and the pages.

use crate::domain::{
    ContentFormat, Observation, ObservationState, Path, Timestamp, Wanted, WantedState, same_paths,
};

/// One line: something that is wanted, something that is observed, or both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    pub(super) paths: Vec<Path>,
    pub(super) composite: bool,
    /// Whether anybody or any template wants it.
    pub(super) wanted: bool,
    pub(super) state: WantedState,
    /// Why it stands there, in words.
    pub(super) reason: Option<String>,
    /// The template that wants it, or would.
    pub(super) template_id: Option<i64>,
    /// Who asked for it.
    pub(super) requested_by: Option<String>,
    /// The attributes that the template sets.
    pub(super) attributes: Vec<(String, String)>,
    /// Why the device did not take them, in words.
    pub(super) attributes_error: Option<String>,
    /// The format of its notifications.
    pub(super) format: Option<ContentFormat>,
    pub(super) since: Timestamp,
    /// When it is asked for again.
    pub(super) retry_at: Option<Timestamp>,
    pub(super) last_notified_at: Option<Timestamp>,
    pub(super) notifications: u64,
}

/// What is wanted, oldest first, and then what is observed without being wanted.
pub(super) fn wanted_and_actual(wanted: &[Wanted], observations: &[Observation]) -> Vec<Observed> {
    let actual = |composite: bool, paths: &[Path]| {
        observations
            .iter()
            .find(|one| one.composite == composite && same_paths(&one.paths, paths))
    };
    let is_wanted = |one: &&Observation| !wanted.iter().any(|it| it.is(one.composite, &one.paths));
    wanted
        .iter()
        .map(|wanted| Observed::new(wanted, actual(wanted.composite, &wanted.paths)))
        .chain(
            observations
                .iter()
                .filter(is_wanted)
                .map(Observed::unwanted),
        )
        .collect()
}

impl Observed {
    fn new(wanted: &Wanted, actual: Option<&Observation>) -> Self {
        let cancelled = wanted.cancelled_by.as_ref().map(|who| {
            format!("{who} cancelled it, until its template changes or the device registers again")
        });
        Self {
            paths: wanted.paths.clone(),
            composite: wanted.composite,
            wanted: wanted.is_wanted(),
            state: wanted.state,
            reason: cancelled.or_else(|| wanted.reason.clone()),
            template_id: wanted.template.map(|template| template.id),
            requested_by: wanted.user.clone(),
            attributes: wanted.attributes.clone(),
            attributes_error: wanted.attributes_error.clone(),
            format: actual
                .and_then(|found| found.format)
                .and_then(ContentFormat::from_code)
                .or(wanted.format),
            since: wanted.since,
            retry_at: wanted
                .retry_at
                .filter(|_| wanted.state == WantedState::Lost),
            last_notified_at: actual.and_then(|found| found.notified_at),
            notifications: actual.map_or(0, |found| found.notifications),
        }
    }

    fn unwanted(actual: &Observation) -> Self {
        Self {
            paths: actual.paths.clone(),
            composite: actual.composite,
            wanted: false,
            state: match actual.state {
                ObservationState::Active => WantedState::Active,
                ObservationState::Requested => WantedState::Requested,
            },
            reason: None,
            template_id: None,
            requested_by: None,
            attributes: Vec::new(),
            attributes_error: None,
            format: actual.format.and_then(ContentFormat::from_code),
            since: actual.created_at,
            retry_at: None,
            last_notified_at: actual.notified_at,
            notifications: actual.notifications,
        }
    }
}
