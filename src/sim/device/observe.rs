//! Observations and their notifications (RFC 7641, OMA-TS-LightweightM2M Core 6.4).
//!
//! A notification is due when what is observed differs from what was told last in a way that the
//! attributes call for, not before `pmin` and in any case after `pmax`. One confirmable
//! notification of an observation is under way at a time; what changes meanwhile is told after it
//! (RFC 7641 section 4.5.1). Values that were recorded with their times, and those of `hqmax` that
//! could not be told, are all told with the next one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::coap::{Response, number};
use crate::domain::{ContentFormat, Node, Now, Path, Timestamp, Token, Value};
use crate::lwm2m::attributes::Attributes;
use crate::lwm2m::register::Refusal;

use super::super::firmware::FirmwareBehaviour;
use super::super::objects::firmware::FIRMWARE;
use super::{Device, Happening, Output};

/// One observation.
#[derive(Clone, Debug)]
pub(super) struct Observation {
    pub(super) token: Token,
    pub(super) paths: Vec<Path>,
    pub(super) composite: bool,
    pub(super) format: ContentFormat,
    /// Attributes of the request itself (LwM2M 1.2).
    pub(super) attributes: Attributes,
    /// What was told last, or what is kept to be told.
    told: Vec<Node>,
    told_at: Instant,
    /// What was there when it was last looked at.
    seen: Vec<Node>,
    /// Values with their times that the next notification tells, the oldest first.
    records: VecDeque<Node>,
    /// What the notification under way tells, kept where the server wants nothing to be lost
    /// (`hqmax`).
    sent: Vec<Node>,
    /// A confirmable notification waits for its acknowledgement.
    in_flight: bool,
    /// The last one was lost: the next one waits a little.
    not_before: Option<Instant>,
    /// Since the last confirmable one.
    unconfirmed: u32,
    confirmed_at: Instant,
    /// [`Objects::changes`](super::Objects::changes) when it was last evaluated, and when that was.
    looked_at: Option<u64>,
    evaluated_at: Instant,
    /// The result of that look.
    is_news: bool,
    /// What was observed does not exist any more.
    is_gone: bool,
    /// The last notification was a copy of the one before, on purpose.
    is_repeated: bool,
}

impl Observation {
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
    }

    /// Keeps values to be told; where there is no room the oldest go.
    fn remember(&mut self, values: Vec<Node>, room: usize) {
        if values.is_empty() {
            return;
        }
        self.records.extend(values);
        while self.records.len() > room {
            self.records.pop_front();
        }
        self.looked_at = None;
    }
}

impl Device {
    /// Begins an observation, in the place of one with the same token. False when there is no room.
    pub(super) fn observe(
        &mut self,
        now: Now,
        token: Token,
        paths: Vec<Path>,
        composite: bool,
        format: ContentFormat,
        attributes: Attributes,
    ) -> bool {
        self.observations.retain(|one| one.token != token);
        if self.observations.len() >= MAX_OBSERVATIONS {
            return false;
        }
        let present = self.objects.newsworthy(&paths);
        self.observations.push(Observation {
            token,
            seen: present.clone(),
            told: present,
            paths,
            composite,
            format,
            attributes,
            told_at: now.instant,
            records: VecDeque::new(),
            sent: Vec::new(),
            in_flight: false,
            not_before: None,
            unconfirmed: 0,
            confirmed_at: now.instant,
            looked_at: Some(self.objects.changes()),
            evaluated_at: now.instant,
            is_news: false,
            is_gone: false,
            is_repeated: false,
        });
        true
    }

    /// Values as they were measured, each at its time; the newest is the one that is read from now
    /// on. Nothing is changed when one of them is impossible.
    pub(super) fn record(&mut self, now: Now, measured: Vec<Node>) -> Result<(), Refusal> {
        let before = self.objects.clone();
        for node in &measured {
            if let Err(refusal) = self.objects.set(node.path, node.value.clone()) {
                self.objects = before;
                return Err(refusal);
            }
        }
        for at in 0..self.observations.len() {
            let room = self.observations.get(at).map_or(0, |one| self.room(one));
            let Some(one) = self.observations.get_mut(at) else {
                continue;
            };
            let observed = |path: &Path| one.paths.iter().any(|above| above.contains(path));
            let new: Vec<Node> = measured
                .iter()
                .filter(|node| observed(&node.path))
                .cloned()
                .map(|node| Node {
                    time: node.time.or(Some(now.wall)),
                    ..node
                })
                .collect();
            one.remember(new, room);
        }
        let changed: Vec<Path> = measured.iter().map(|node| node.path).collect();
        self.react(now, &changed);
        Ok(())
    }

    pub(super) fn cancel_observation(&mut self, token: Token) {
        self.observations.retain(|one| one.token != token);
    }

    pub(super) fn next_sequence(&mut self) -> u32 {
        self.sequence = (self.sequence + 1) & 0x00ff_ffff;
        self.sequence
    }

    pub(super) fn notification_acknowledged(&mut self, token: Token, outputs: &mut Vec<Output>) {
        outputs.push(Output::Happened(Happening::NotificationAcknowledged));
        if let Some(one) = self.observations.iter_mut().find(|one| one.token == token) {
            one.in_flight = false;
            one.sent.clear();
        }
    }

    /// Nobody acknowledged it. RFC 7641 would end the observation; an LwM2M client that stores
    /// notifications (1/0/6) keeps it, finds out by an Update whether the server is there, and
    /// then tells the present values again.
    pub(super) fn notification_lost(&mut self, now: Now, token: Token, outputs: &mut Vec<Output>) {
        outputs.push(Output::Happened(Happening::Failed));
        let lost = self.observations.iter().find(|one| one.token == token);
        let kept = lost
            .filter(|one| self.attributes_of(one).hqmax.is_some())
            .map(|one| self.room(one));
        if let Some(one) = self.observations.iter_mut().find(|one| one.token == token) {
            one.in_flight = false;
            match kept {
                Some(room) => {
                    let mut untold = std::mem::take(&mut one.sent);
                    untold.extend(std::mem::take(&mut one.records));
                    one.remember(untold, room);
                }
                None => one.told.clear(),
            }
            one.looked_at = None;
            one.not_before = Some(now.instant + self.settings.retry_min);
            self.update_wanted = true;
        }
    }

    /// Sends the notifications that are due.
    pub(super) fn notify(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if self.location.is_none() {
            return;
        }
        let mut at = 0;
        while at < self.observations.len() {
            self.look(now, at);
            let due = self
                .observations
                .get(at)
                .and_then(|one| self.due(one))
                .is_some_and(|due| due <= now.instant);
            if !due || self.send_notification(now, at, outputs) {
                at += 1;
            } else {
                self.observations.remove(at);
            }
        }
    }

    pub(super) fn notify_at(&self) -> Option<Instant> {
        self.location.as_ref()?;
        self.observations
            .iter()
            .flat_map(|one| [self.due(one), self.evaluation_at(one)])
            .flatten()
            .min()
    }

    /// Sends one; false when it was the last of its observation.
    fn send_notification(&mut self, now: Now, at: usize, outputs: &mut Vec<Output>) -> bool {
        let Some(one) = self.observations.get(at) else {
            return true;
        };
        let (token, paths) = (one.token, one.paths.clone());
        let result = match (one.composite, paths.first()) {
            (false, Some(path)) => self.read(*path, Some(one.format), &one.records),
            _ => self.read_composite(&paths, one.format, &one.records),
        };
        let attributes = self.attributes_of(one);
        let told = self.objects.newsworthy(&paths);
        let sequence = self.next_sequence();
        outputs.push(Output::Happened(Happening::Notified));
        let response = match result {
            Ok(mut response) => {
                response.options.set_uint(number::OBSERVE, sequence);
                response
            }
            // What was observed is gone: the last notification says so (RFC 7641 section 4.2).
            Err(refusal) => {
                let response = Response::refusal(refusal.code, &refusal.reason);
                outputs.push(Output::Notify {
                    token,
                    response,
                    confirmable: true,
                });
                return false;
            }
        };
        let every = self.settings.confirmable_every.max(1);
        let of_firmware = |path: &Path| path.object_id() == Some(FIRMWARE);
        let repeats =
            self.behaviour() == FirmwareBehaviour::RepeatsStates && paths.iter().all(of_firmware);
        let Some(one) = self.observations.get_mut(at) else {
            return true;
        };
        one.unconfirmed += 1;
        let confirmable = attributes.con == Some(true)
            || one.unconfirmed >= every
            || now.instant.saturating_duration_since(one.confirmed_at) >= CONFIRM_AFTER;
        if confirmable {
            one.unconfirmed = 0;
            one.confirmed_at = now.instant;
        }
        one.in_flight = confirmable;
        one.told = told;
        one.told_at = now.instant;
        let records = std::mem::take(&mut one.records);
        one.sent.clear();
        if attributes.hqmax.is_some() {
            one.sent = with_records(at_time(one.told.clone(), now.wall), &records);
        }
        // Told once more as soon as it can be.
        one.is_news = repeats && !one.is_repeated;
        one.is_repeated = one.is_news;
        one.not_before = None;
        outputs.push(Output::Notify {
            token,
            response,
            confirmable,
        });
        true
    }

    /// When the next notification is due; nothing while one is under way.
    fn due(&self, one: &Observation) -> Option<Instant> {
        if one.in_flight {
            return None;
        }
        if one.is_gone {
            return Some(one.evaluated_at);
        }
        let attributes = self.attributes_of(one);
        let earliest =
            (one.told_at + seconds(attributes.pmin)).max(one.not_before.unwrap_or(one.told_at));
        if one.is_news {
            return Some(earliest);
        }
        let pmax = attributes.pmax.filter(|pmax| *pmax > 0)?;
        Some((one.told_at + seconds(Some(pmax))).max(earliest))
    }

    /// When it is to be looked at again although nothing else happens: `epmin` has held it back.
    fn evaluation_at(&self, one: &Observation) -> Option<Instant> {
        let is_overdue = one.looked_at != Some(self.objects.changes());
        is_overdue.then(|| one.evaluated_at + seconds(self.attributes_of(one).epmin))
    }

    /// Looks whether there is something to tell, if anything has changed since the last look and
    /// `epmin` is over (Core 7.3.2). Whatever `epmax` is, a change is looked at no later.
    fn look(&mut self, now: Now, at: usize) {
        let changes = self.objects.changes();
        let Some(one) = self.observations.get(at) else {
            return;
        };
        let held_back = |until| now.instant < until;
        if one.looked_at == Some(changes) || self.evaluation_at(one).is_some_and(held_back) {
            return;
        }
        let present = self.objects.newsworthy(&one.paths);
        let is_gone = !one.composite && !one.paths.iter().all(|path| self.objects.is_there(*path));
        let is_news = is_gone || self.is_news(one, &present);
        // What cannot be told now is kept where the server wants that (`hqmax`).
        let waits = one.in_flight || one.not_before.is_some_and(held_back);
        let kept = (waits && is_news && self.attributes_of(one).hqmax.is_some())
            .then(|| (at_time(present.clone(), now.wall), self.room(one)));
        let Some(one) = self.observations.get_mut(at) else {
            return;
        };
        if let Some((values, room)) = kept {
            let untold = |value: &Node| !one.told.iter().any(|told| is_same(told, value));
            let values = values.into_iter().filter(untold).collect();
            one.remember(values, room);
            one.told.clone_from(&present);
        }
        one.seen = present;
        one.is_gone = is_gone;
        one.is_news = is_news || !one.records.is_empty();
        one.looked_at = Some(changes);
        one.evaluated_at = now.instant;
    }

    /// Whether the step from what was told to the present is worth a notification.
    fn is_news(&self, one: &Observation, present: &[Node]) -> bool {
        if !one.records.is_empty() {
            return true;
        }
        one.paths.iter().any(|path| {
            let below = |nodes: &[Node]| -> Vec<Node> {
                let below = nodes.iter().filter(|node| path.contains(&node.path));
                below.cloned().collect()
            };
            let attributes = one.attributes.inherit(&self.objects.effective(*path));
            if let (Some(rising), 3..) = (attributes.edge, path.depth()) {
                return one.is_news || is_edge(rising, &below(&one.seen), &below(present));
            }
            is_step(*path, &attributes, &below(&one.told), &below(present))
        })
    }

    /// How many values with their times are kept for an observation.
    fn room(&self, one: &Observation) -> usize {
        let wanted = self.attributes_of(one).hqmax;
        wanted.map_or(MAX_RECORDS, |most| {
            usize::try_from(most).map_or(MAX_RECORDS, |most| most.min(MAX_RECORDS))
        })
    }

    /// The attributes of an observation. Those of a composite one: the longest `pmin` and the
    /// shortest `pmax` of its paths, and so on. Without any, the defaults of the server object (1/0/2, 1/0/3).
    fn attributes_of(&self, one: &Observation) -> Attributes {
        let mut paths = one.paths.iter().map(|path| self.objects.effective(*path));
        let inherited = if one.composite {
            paths.fold(Attributes::default(), |all, next| Attributes {
                pmin: all.pmin.max(next.pmin),
                pmax: [all.pmax, next.pmax].into_iter().flatten().min(),
                epmin: all.epmin.max(next.epmin),
                con: all.con.max(next.con),
                hqmax: all.hqmax.max(next.hqmax),
                ..Attributes::default()
            })
        } else {
            paths.next().unwrap_or_default()
        };
        let default = |resource| match self.objects.value(&Path::resource(1, 0, resource)) {
            Some(Value::Integer(seconds)) => {
                u64::try_from(*seconds).ok().filter(|seconds| *seconds > 0)
            }
            _ => None,
        };
        let defaults = Attributes {
            pmin: default(2),
            pmax: default(3),
            ..Attributes::default()
        };
        one.attributes.inherit(&inherited).inherit(&defaults)
    }
}

/// Whether the step from what was told to the present is worth a notification. Without `gt`, `lt`
/// and `st` every change is, and they count only where there is a value: at a resource or
/// resource instance. With them only what one of them asks for is news (Core 7.3.2), or an
/// instance of the resource that comes or goes.
fn is_step(path: Path, attributes: &Attributes, told: &[Node], present: &[Node]) -> bool {
    if told == present {
        return false;
    }
    let same_places = told.len() == present.len()
        && told
            .iter()
            .zip(present)
            .all(|(told, present)| told.path == present.path);
    if path.depth() < 3 || !same_places {
        return true;
    }
    told.iter()
        .zip(present)
        .any(|(told, present)| is_value_step(attributes, &told.value, &present.value))
}

/// Whether a boolean has just gone the way that is asked for. Unlike a number it may have been
/// there when it was told last: what counts is that it came there.
fn is_edge(rising: bool, seen: &[Node], present: &[Node]) -> bool {
    present
        .iter()
        .any(|node| node.value == Value::Boolean(rising) && !seen.contains(node))
}

fn is_value_step(attributes: &Attributes, told: &Value, present: &Value) -> bool {
    if told == present {
        return false;
    }
    if attributes.gt.is_none() && attributes.lt.is_none() && attributes.st.is_none() {
        return true;
    }
    let (Some(before), Some(after)) = (number_in(told), number_in(present)) else {
        return true;
    };
    let crossed = |limit: f64| (before > limit) != (after > limit);
    let undercut = |limit: f64| (before < limit) != (after < limit);
    attributes.gt.is_some_and(crossed)
        || attributes.lt.is_some_and(undercut)
        || attributes
            .st
            .is_some_and(|step| (after - before).abs() >= step)
}

fn number_in(value: &Value) -> Option<f64> {
    match value {
        Value::Time(seconds) => Some(*seconds as f64),
        other => other.as_number(),
    }
}

/// Values, and in the place of those that were recorded the records.
pub(super) fn with_records(mut values: Vec<Node>, records: &VecDeque<Node>) -> Vec<Node> {
    values.retain(|value| !records.iter().any(|record| record.path == value.path));
    values.extend(records.iter().cloned());
    values.sort_by(|left, right| left.path.cmp(&right.path).then(left.time.cmp(&right.time)));
    values
}

fn at_time(mut values: Vec<Node>, time: Timestamp) -> Vec<Node> {
    for value in &mut values {
        value.time = Some(time);
    }
    values
}

fn is_same(left: &Node, right: &Node) -> bool {
    (left.path, &left.value) == (right.path, &right.value)
}

fn seconds(period: Option<u64>) -> Duration {
    Duration::from_secs(period.unwrap_or(0).min(LONGEST_PERIOD))
}

/// Observations on one device.
const MAX_OBSERVATIONS: usize = 64;
/// Values with their times that are kept for one observation.
const MAX_RECORDS: usize = 100;
/// A confirmable notification at least so often (RFC 7641 section 4.5).
const CONFIRM_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A hundred years are never.
const LONGEST_PERIOD: u64 = 100 * 365 * 86_400;
