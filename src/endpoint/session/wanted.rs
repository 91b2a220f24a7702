//! Observations as wanted state: what templates and people want is kept beside what the device
//! confirmed, and where they differ operations are asked for until they do not.
//!
//! [`Session::reconcile`] may be called at any time: it looks at nothing but the present state, so
//! it does after a restart, a lost observation or a changed template what it does at a Register.

use std::time::{Duration, Instant};

use super::attempt::{is_composite, starts_observation};
use super::templates::Target;
use super::{Action, CommitStep, Env, Job, Session, Step};
use crate::domain::{
    LiveKind, Observation, ObservationState, Operation, OperationKind, OperationRequest,
    OperationStatus, Origin, Path, Periods, Timestamp, Token, Wanted, WantedState, same_paths,
};
use crate::lwm2m::attributes::check_request;
use crate::store::{Change, Commit};

/// What is wanted of the device, and what is known to hold it against the device.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Oldest first.
    pub(super) wanted: Vec<Wanted>,
    /// How often paths should be told of.
    pub(super) periods: Vec<Periods>,
    /// Observations that the device could not be asked to end: they are dropped, and the next
    /// notification is answered with a Reset.
    pub(super) abandoned: Vec<Token>,
    /// True when something happened that may have to be answered by an operation.
    pub(super) unsettled: bool,
    /// When something is to be looked at again, on the clock that never jumps: not later than there is
    /// something to find.
    pub(super) due: Option<Instant>,
    /// Something happened that may make it earlier.
    pub(super) is_sooner: bool,
    /// When this session began: the time before it says nothing about the device's silence.
    pub(super) began: Timestamp,
}

impl Wishes {
    pub(super) fn new(wanted: Vec<Wanted>, periods: Vec<Periods>, began: Timestamp) -> Self {
        Self {
            wanted,
            periods,
            abandoned: Vec::new(),
            unsettled: false,
            due: None,
            is_sooner: false,
            began,
        }
    }

    /// True while something is about to be asked for.
    pub(super) fn is_busy(&self) -> bool {
        self.unsettled || !self.abandoned.is_empty()
    }

    /// Where something wanted is.
    pub(super) fn position(&self, composite: bool, paths: &[Path]) -> Option<usize> {
        self.wanted
            .iter()
            .position(|wanted| wanted.is(composite, paths))
    }
}

impl Session {
    /// What was asked for in memory alone is asked for again, by a session that is made of what is stored.
    pub(super) fn find_unasked(&mut self) {
        let is_unasked = |wanted: &Wanted| {
            wanted.state == WantedState::Requested
                && !self.pending().any(|operation| {
                    let kind = operation.request.kind;
                    wanted.is(is_composite(kind), &operation.request.paths)
                })
        };
        self.wishes.unsettled = self.wishes.wanted.iter().any(is_unasked);
    }

    /// After each input: does what its outcome calls for, and finds out when to look again. A sign of life
    /// alone only puts that off, and is not worth finding out.
    pub(super) fn settle_wanted(
        &mut self,
        env: &Env<'_>,
        is_sign_of_life: bool,
        steps: &mut Vec<Step>,
    ) {
        if std::mem::take(&mut self.wishes.unsettled) {
            self.wishes.is_sooner = true;
            let mut commit = Commit::default();
            let mut then = Vec::new();
            self.reconcile(env, &mut commit, &mut then);
            if !commit.is_empty() || !then.is_empty() || self.queue.has_unwritten() {
                then.push(Action::Pump);
                steps.push(Step::Commit(Box::new(CommitStep {
                    commit,
                    then,
                    otherwise: Vec::new(),
                })));
            }
        }
        if std::mem::take(&mut self.wishes.is_sooner) || !is_sign_of_life {
            self.wishes.due = self.next_look(env);
        }
    }

    /// Brings what is observed nearer to what is wanted.
    pub(super) fn reconcile(&mut self, env: &Env<'_>, commit: &mut Commit, then: &mut Vec<Action>) {
        if self.registration.is_none() {
            return;
        }
        let before = self.wishes.wanted.clone();
        self.approach(env, commit, then);
        self.save_changed(&before, commit);
    }

    /// The registration is new: nothing is observed, and everything may be asked again.
    pub(super) fn reconcile_anew(
        &mut self,
        env: &Env<'_>,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let before = self.wishes.wanted.clone();
        for wanted in &mut self.wishes.wanted {
            begin_anew(wanted, env.now.wall);
        }
        self.forget_periods(commit);
        self.approach(env, commit, then);
        self.save_changed(&before, commit);
    }

    fn approach(&mut self, env: &Env<'_>, commit: &mut Commit, then: &mut Vec<Action>) {
        self.take_over(env, commit);
        self.confirm_needless_cancels(env, commit, then);
        self.drop_needless_requests(env, commit, then);
        for at in 0..self.wishes.wanted.len() {
            self.pursue(env, at, commit, then);
        }
        self.end_unwanted(env, commit, then);
        // What was done here needs no second look; what was concluded on the way does no harm.
        self.wishes.unsettled = false;
        self.wishes.is_sooner = true;
    }

    /// Writes what is not as it was.
    fn save_changed(&self, before: &[Wanted], commit: &mut Commit) {
        for wanted in &self.wishes.wanted {
            let known = before.iter().find(|known| known.id == wanted.id);
            if known != Some(wanted) {
                commit
                    .changes
                    .push(Change::SaveWanted(Box::new(wanted.clone())));
            }
        }
    }

    /// The registration has ended: what people asked for is remembered.
    pub(super) fn rest_wanted(&mut self, env: &Env<'_>, commit: &mut Commit) {
        for mut wanted in std::mem::take(&mut self.wishes.wanted) {
            if wanted.user.is_none() {
                commit.changes.push(Change::RemoveWanted {
                    endpoint_id: self.endpoint_id,
                    id: wanted.id,
                });
                continue;
            }
            wanted.template = None;
            wanted.attributes.clear();
            begin_anew(&mut wanted, env.now.wall);
            commit
                .changes
                .push(Change::SaveWanted(Box::new(wanted.clone())));
            self.wishes.wanted.push(wanted);
        }
        self.forget_periods(commit);
    }

    /// Takes over what the templates want now.
    fn take_over(&mut self, env: &Env<'_>, commit: &mut Commit) {
        let mut targets = self.targets(env);
        let endpoint_id = self.endpoint_id;
        let now = env.now.wall;
        self.wishes.wanted.retain_mut(|wanted| {
            let at = targets
                .iter()
                .position(|target| wanted.is(target.composite, &target.paths));
            let target = at.map(|at| targets.remove(at));
            adapt(wanted, target, now);
            let keep = wanted.template.is_some() || wanted.user.is_some();
            if !keep {
                commit.changes.push(Change::RemoveWanted {
                    endpoint_id,
                    id: wanted.id,
                });
            }
            keep
        });
        for target in targets {
            let mut wanted = self.new_wanted(env, target.composite, target.paths.clone());
            adapt(&mut wanted, Some(target), now);
            self.wishes.wanted.reserve_exact(1);
            self.wishes.wanted.push(wanted);
        }
    }

    pub(super) fn new_wanted(
        &self,
        env: &Env<'_>,
        composite: bool,
        mut paths: Vec<Path>,
    ) -> Wanted {
        paths.sort_unstable();
        Wanted {
            id: env.ids.wanted(),
            endpoint_id: self.endpoint_id,
            paths,
            composite,
            template: None,
            user: None,
            cancelled_by: None,
            attributes: Vec::new(),
            withdrawn: Vec::new(),
            attributes_asked: false,
            attributes_error: None,
            format: None,
            state: WantedState::Missing,
            reason: None,
            since: env.now.wall,
            retry_at: None,
            losses: 0,
        }
    }

    /// A cancel that waits for a device on which nothing is observed any more has nothing to do.
    fn confirm_needless_cancels(
        &mut self,
        env: &Env<'_>,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let needless: Vec<_> = self
            .queue
            .iter()
            .filter(|operation| ends_observation(operation.request.kind))
            .filter(|operation| {
                let composite = is_composite(operation.request.kind);
                let paths = &operation.request.paths;
                // What was never observed or wanted is a mistake, which its attempt tells.
                self.observation(composite, paths).is_none()
                    && (operation.origin == Origin::Template
                        || self.wishes.position(composite, paths).is_some())
            })
            .map(|operation| operation.id)
            .collect();
        for id in needless {
            if let Some(mut operation) = self.queue.remove(id) {
                operation.result = Some(noted("the device does not observe it any more"));
                let operation =
                    self.conclude(env, operation, OperationStatus::Confirmed, None, commit);
                then.push(Action::Finished(Box::new(operation)));
            }
        }
    }

    /// Takes back what was asked for in the name of templates and is not wanted any more.
    fn drop_needless_requests(
        &mut self,
        env: &Env<'_>,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let wanted = |composite, paths: &[Path]| {
            self.wishes
                .wanted
                .iter()
                .any(|wanted| wanted.is_wanted() && wanted.is(composite, paths))
        };
        let needless: Vec<_> = self
            .queue
            .iter()
            .filter(|operation| operation.origin == Origin::Template)
            .filter(|operation| {
                let request = &operation.request;
                let composite = is_composite(request.kind);
                if starts_observation(request.kind) {
                    !wanted(composite, &request.paths)
                } else if ends_observation(request.kind) {
                    wanted(composite, &request.paths)
                } else {
                    request.kind == OperationKind::WriteAttributes
                        && !self.wishes.wanted.iter().any(|wanted| {
                            wanted.is_wanted()
                                && request.paths.iter().all(|path| wanted.paths.contains(path))
                        })
                }
            })
            .map(|operation| operation.id)
            .collect();
        for id in needless {
            if let Some(operation) = self.queue.remove(id) {
                let error = "it is not wanted any more".to_owned();
                let operation = self.conclude(
                    env,
                    operation,
                    OperationStatus::Cancelled,
                    Some(error),
                    commit,
                );
                then.push(Action::Finished(Box::new(operation)));
            }
        }
    }

    /// Asks for what one thing that is wanted still needs.
    fn pursue(&mut self, env: &Env<'_>, at: usize, commit: &mut Commit, then: &mut Vec<Action>) {
        let Some(wanted) = self.wishes.wanted.get(at).cloned() else {
            return;
        };
        if !wanted.is_wanted() || wanted.state == WantedState::Refused {
            return;
        }
        let is_pending = |session: &Self, kinds: fn(OperationKind) -> bool| {
            session.pending().any(|operation| {
                kinds(operation.request.kind)
                    && wanted.is(
                        is_composite(operation.request.kind),
                        &operation.request.paths,
                    )
            })
        };
        if is_pending(self, ends_observation) {
            // Somebody ends it; what comes after that is seen then.
            return self.put_off(at, None);
        }
        if wanted.retry_at.is_some_and(|at| at > env.now.wall) {
            return;
        }
        self.put_off(at, None);
        if !wanted.attributes_asked && !self.ask_for_attributes(env, &wanted, commit) {
            return self.put_off(at, Some(env));
        }
        if let Some(wanted) = self.wishes.wanted.get_mut(at) {
            wanted.attributes_asked = true;
        }
        let observed = self.observation(wanted.composite, &wanted.paths);
        let is_active = observed.is_some_and(|found| found.state == ObservationState::Active);
        let is_new = observed.is_none();
        if self.pending_attributes(&wanted.paths) {
            if wanted.state != WantedState::Active {
                self.move_to(env, at, WantedState::Requested, None);
            }
            return;
        }
        if is_pending(self, starts_observation) {
            self.make_observation(env, &wanted, commit, then);
            if wanted.state != WantedState::Active {
                self.move_to(env, at, WantedState::Requested, None);
            }
            return;
        }
        if is_active && wanted.state != WantedState::Lost {
            return self.move_to(env, at, WantedState::Active, None);
        }
        let limit = env.settings.max_observations;
        if is_new && self.observations_to_come() >= limit {
            let reason = format!(
                "{limit} observations are the limit for one device (operations.max_observations)"
            );
            return self.move_to(env, at, WantedState::Missing, Some(reason));
        }
        let kind = if wanted.composite {
            OperationKind::ObserveComposite
        } else {
            OperationKind::Observe
        };
        let request = OperationRequest {
            format: wanted.format,
            ..OperationRequest::new(kind, wanted.paths.clone())
        };
        if self.ask(env, request, commit) {
            self.make_observation(env, &wanted, commit, then);
            self.move_to(env, at, WantedState::Requested, None);
        } else {
            self.put_off(at, Some(env));
        }
    }

    /// What is going to be asked for has its row and its token before, so that the request needs no commit of
    /// its own.
    fn make_observation(
        &mut self,
        env: &Env<'_>,
        wanted: &Wanted,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        let is_known = self.observation(wanted.composite, &wanted.paths).is_some();
        if is_known || self.observations.len() >= env.settings.max_observations {
            return;
        }
        let (id, token) = (env.ids.observation(), env.token());
        let paths = wanted.paths.clone();
        self.add_observation(
            Observation {
                composite: wanted.composite,
                ..Observation::requested(id, self.endpoint_id, token, paths, env.now.wall)
            },
            commit,
            then,
        );
    }

    pub(super) fn add_observation(
        &mut self,
        observation: Observation,
        commit: &mut Commit,
        then: &mut Vec<Action>,
    ) {
        then.push(Action::Watch(observation.token));
        commit
            .changes
            .push(Change::SaveObservation(Box::new(observation.clone())));
        self.observations.reserve_exact(1);
        self.observations.push(observation);
    }

    /// Puts the attributes that the device's version and the path allow into the queue; false when
    /// there is no room for all of them.
    fn ask_for_attributes(&mut self, env: &Env<'_>, wanted: &Wanted, commit: &mut Commit) -> bool {
        let Some(registration) = &self.registration else {
            return false;
        };
        let device = self.device(registration, env.models);
        let all = wanted
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), Some(value.clone())))
            .chain(wanted.withdrawn.iter().map(|name| (name.clone(), None)));
        let all: Vec<(String, Option<String>)> = all.collect();
        let mut requests = Vec::new();
        for path in &wanted.paths {
            let possible: Vec<_> = all
                .iter()
                .filter(|one| check_request(path, std::slice::from_ref(one), &device).is_ok())
                .cloned()
                .collect();
            if !possible.is_empty() {
                requests.push(OperationRequest {
                    attributes: possible,
                    ..OperationRequest::new(OperationKind::WriteAttributes, vec![*path])
                });
            }
        }
        let room = env.settings.max_operations.saturating_sub(self.queue.len());
        requests.len() <= room
            && requests
                .into_iter()
                .all(|request| self.ask(env, request, commit))
    }

    /// Ends observations that nobody wants.
    fn end_unwanted(&mut self, env: &Env<'_>, commit: &mut Commit, then: &mut Vec<Action>) {
        for token in std::mem::take(&mut self.wishes.abandoned) {
            self.drop_observation(Some(token), commit, then);
        }
        let unwanted: Vec<Observation> = self
            .observations
            .iter()
            .filter(|observation| {
                let at = self
                    .wishes
                    .position(observation.composite, &observation.paths);
                !at.and_then(|at| self.wishes.wanted.get(at))
                    .is_some_and(Wanted::is_wanted)
            })
            .filter(|observation| {
                !self.pending().any(|operation| {
                    let kind = operation.request.kind;
                    (starts_observation(kind) || ends_observation(kind))
                        && is_composite(kind) == observation.composite
                        && same_paths(&operation.request.paths, &observation.paths)
                })
            })
            .cloned()
            .collect();
        for observation in unwanted {
            let kind = if observation.composite {
                OperationKind::CancelObserveComposite
            } else {
                OperationKind::CancelObserve
            };
            let request = OperationRequest::new(kind, observation.paths.clone());
            if !self.ask(env, request, commit) {
                self.drop_observation(Some(observation.token), commit, then);
            }
        }
    }

    /// Operations that wait or are on their way.
    pub(super) fn pending(&self) -> impl Iterator<Item = &Operation> {
        let in_flight = self.in_flight.as_ref().and_then(|one| match &one.job {
            Job::Operation(operation) => Some(&**operation),
            Job::Block | Job::Fetch(_) => None,
        });
        let pushed = self.push.as_ref().map(|push| &*push.operation);
        in_flight.into_iter().chain(pushed).chain(self.queue.iter())
    }

    fn pending_attributes(&self, paths: &[Path]) -> bool {
        self.pending().any(|operation| {
            operation.origin == Origin::Template
                && operation.request.kind == OperationKind::WriteAttributes
                && operation
                    .request
                    .paths
                    .iter()
                    .all(|path| paths.contains(path))
        })
    }

    /// The observation of exactly this.
    pub(super) fn observation(&self, composite: bool, paths: &[Path]) -> Option<&Observation> {
        self.observations.iter().find(|observation| {
            observation.composite == composite && same_paths(&observation.paths, paths)
        })
    }

    /// How many observations there are once everything that waits is done.
    fn observations_to_come(&self) -> usize {
        let asked = self.pending().filter(|operation| {
            let request = &operation.request;
            starts_observation(request.kind)
                && self
                    .observation(is_composite(request.kind), &request.paths)
                    .is_none()
        });
        self.observations.len().saturating_add(asked.count())
    }

    /// Not before some time, or as soon as something happens.
    fn put_off(&mut self, at: usize, env: Option<&Env<'_>>) {
        if let Some(wanted) = self.wishes.wanted.get_mut(at) {
            wanted.retry_at = env.map(|env| env.now.wall.plus(env.settings.observe_retry.0));
        }
    }

    pub(super) fn move_to(
        &mut self,
        env: &Env<'_>,
        at: usize,
        state: WantedState,
        reason: Option<String>,
    ) {
        if let Some(wanted) = self.wishes.wanted.get_mut(at) {
            if wanted.state != state {
                wanted.since = env.now.wall;
            }
            wanted.state = state;
            wanted.reason = reason;
        }
    }

    /// Writes one thing that is wanted and tells the page of it.
    pub(super) fn save_wanted(&mut self, env: &Env<'_>, at: usize, commit: &mut Commit) {
        let Some(wanted) = self.wishes.wanted.get(at) else {
            return;
        };
        commit
            .changes
            .push(Change::SaveWanted(Box::new(wanted.clone())));
        self.tell_of(env, wanted, commit);
    }

    /// Tells the page where something wanted stands.
    pub(super) fn tell_of(&self, env: &Env<'_>, wanted: &Wanted, commit: &mut Commit) {
        commit
            .publish
            .push(self.live(LiveKind::Observation, env.now.wall, wanted));
    }
}

/// What a template wants of it now, or that none does.
fn adapt(wanted: &mut Wanted, target: Option<Target>, now: Timestamp) {
    let template = target.as_ref().map(|target| target.template);
    let is_changed = wanted.template != template;
    if !is_changed {
        return;
    }
    wanted.template = template;
    // What was said of the template before it changed is not said of what it is now.
    wanted.cancelled_by = None;
    if wanted.state == WantedState::Refused {
        wanted.state = WantedState::Missing;
        wanted.reason = None;
        wanted.since = now;
    }
    let (attributes, format) = target.map_or_else(Default::default, |target| {
        (target.attributes, target.format)
    });
    if wanted.attributes != attributes {
        for (name, _) in std::mem::replace(&mut wanted.attributes, attributes) {
            if !wanted.withdrawn.contains(&name) {
                wanted.withdrawn.push(name);
            }
        }
        wanted
            .withdrawn
            .retain(|name| wanted.attributes.iter().all(|(kept, _)| kept != name));
        wanted.attributes_asked = false;
        wanted.attributes_error = None;
        wanted.retry_at = None;
    }
    if wanted.format != format && template.is_some() {
        wanted.format = format;
        if wanted.state == WantedState::Active {
            wanted.state = WantedState::Lost;
            wanted.reason = Some("it is asked for again in another format".to_owned());
            wanted.since = now;
            wanted.retry_at = None;
        }
    }
}

/// Nothing of an earlier registration counts.
fn begin_anew(wanted: &mut Wanted, now: Timestamp) {
    wanted.cancelled_by = None;
    wanted.withdrawn.clear();
    wanted.attributes_asked = false;
    wanted.attributes_error = None;
    wanted.state = WantedState::Missing;
    wanted.reason = None;
    wanted.since = now;
    wanted.retry_at = None;
    wanted.losses = 0;
}

/// The result of an operation that the device was not asked for.
pub(super) fn noted(note: &str) -> crate::domain::OperationResult {
    crate::domain::OperationResult {
        code: "0.00".to_owned(),
        nodes: Vec::new(),
        links: String::new(),
        location: None,
        note: Some(note.to_owned()),
    }
}

pub(super) fn ends_observation(kind: OperationKind) -> bool {
    matches!(
        kind,
        OperationKind::CancelObserve | OperationKind::CancelObserveComposite
    )
}

/// How long after the `count`th loss in a row it is asked for again.
pub(super) fn backoff(count: u32, (least, most): (Duration, Duration)) -> Duration {
    let doublings = count.saturating_sub(1).min(MAX_DOUBLINGS);
    least.saturating_mul(1 << doublings).min(most.max(least))
}

/// 2^20 times the shortest wait is longer than any that is allowed.
const MAX_DOUBLINGS: u32 = 20;
