//! Observations and their notifications (RFC 7641, OMA-TS-LightweightM2M Core 6.4).
//!
//! A notification is due when what is observed differs from what was told last in a way that the
//! attributes call for, not before `pmin` and in any case after `pmax`. One confirmable
//! notification of an observation is under way at a time; what changes meanwhile is told after it
//! (RFC 7641 section 4.5.1).

use std::time::{Duration, Instant};

use crate::coap::{Response, number};
use crate::domain::{ContentFormat, Node, Now, Path, Token, Value};
use crate::lwm2m::attributes::Attributes;

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
    /// What was told last.
    told: Vec<Node>,
    told_at: Instant,
    /// A confirmable notification waits for its acknowledgement.
    in_flight: bool,
    /// The last one was lost: the next one waits a little.
    not_before: Option<Instant>,
    /// Since the last confirmable one.
    unconfirmed: u32,
    confirmed_at: Instant,
    /// [`Objects::changes`](super::Objects::changes) when it was last looked at.
    looked_at: Option<u64>,
    /// The result of that look.
    is_news: bool,
}

impl Observation {
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight
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
        self.observations.push(Observation {
            token,
            told: self.newsworthy(&paths),
            paths,
            composite,
            format,
            attributes,
            told_at: now.instant,
            in_flight: false,
            not_before: None,
            unconfirmed: 0,
            confirmed_at: now.instant,
            looked_at: None,
            is_news: false,
        });
        true
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
        }
    }

    /// Nobody acknowledged it. RFC 7641 would end the observation; an LwM2M client that stores
    /// notifications (1/0/6) keeps it, finds out by an Update whether the server is there, and
    /// then tells the present values again.
    pub(super) fn notification_lost(&mut self, now: Now, token: Token, outputs: &mut Vec<Output>) {
        outputs.push(Output::Happened(Happening::Failed));
        if let Some(one) = self.observations.iter_mut().find(|one| one.token == token) {
            one.in_flight = false;
            one.told.clear();
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
            self.look(at);
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
            .filter_map(|one| self.due(one))
            .min()
    }

    /// Sends one; false when it was the last of its observation.
    fn send_notification(&mut self, now: Now, at: usize, outputs: &mut Vec<Output>) -> bool {
        let Some(one) = self.observations.get(at) else {
            return true;
        };
        let (token, paths) = (one.token, one.paths.clone());
        let result = if one.composite {
            self.read_composite(&paths, one.format)
        } else {
            paths.first().map_or_else(
                || self.read_composite(&[], one.format),
                |path| self.read(*path, Some(one.format)),
            )
        };
        let attributes = self.attributes_of(one);
        let told = self.newsworthy(&paths);
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
        one.is_news = false;
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
        let attributes = self.attributes_of(one);
        let pmin = Duration::from_secs(attributes.pmin.unwrap_or(0).min(LONGEST_PERIOD));
        let earliest = (one.told_at + pmin).max(one.not_before.unwrap_or(one.told_at));
        if one.is_news {
            return Some(earliest);
        }
        let pmax = attributes.pmax.filter(|pmax| *pmax > 0)?;
        Some((one.told_at + Duration::from_secs(pmax.min(LONGEST_PERIOD))).max(earliest))
    }

    /// Looks whether there is something to tell, if anything has changed since the last look.
    fn look(&mut self, at: usize) {
        let changes = self.objects.changes();
        let Some(one) = self.observations.get(at) else {
            return;
        };
        if one.looked_at == Some(changes) {
            return;
        }
        let present = self.newsworthy(&one.paths);
        let is_news = is_news(&self.attributes_of(one), &one.told, &present);
        if let Some(one) = self.observations.get_mut(at) {
            one.is_news = is_news;
            one.looked_at = Some(changes);
        }
    }

    fn newsworthy(&self, paths: &[Path]) -> Vec<Node> {
        paths
            .iter()
            .flat_map(|path| self.objects.newsworthy(*path))
            .collect()
    }

    /// The attributes of an observation. Those of a composite one: the longest `pmin` and the
    /// shortest `pmax` of its paths. Without any, the defaults of the server object (1/0/2, 1/0/3).
    fn attributes_of(&self, one: &Observation) -> Attributes {
        let mut paths = one.paths.iter().map(|path| self.objects.effective(*path));
        let inherited = if one.composite {
            paths.fold(Attributes::default(), |all, next| Attributes {
                pmin: all.pmin.max(next.pmin),
                pmax: [all.pmax, next.pmax].into_iter().flatten().min(),
                con: all.con.max(next.con),
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

/// Whether the step from what was told to the present is worth a notification. Without `gt`, `lt`,
/// `st` and `edge` every change is; with them only what one of them asks for (Core 7.3.2).
fn is_news(attributes: &Attributes, told: &[Node], present: &[Node]) -> bool {
    if told == present {
        return false;
    }
    let ([told], [present]) = (told, present) else {
        return true;
    };
    if let Some(rising) = attributes.edge {
        return present.value == Value::Boolean(rising);
    }
    if attributes.gt.is_none() && attributes.lt.is_none() && attributes.st.is_none() {
        return true;
    }
    let (Some(before), Some(after)) = (told.value.as_number(), present.value.as_number()) else {
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

/// Observations on one device.
const MAX_OBSERVATIONS: usize = 64;
/// A confirmable notification at least so often (RFC 7641 section 4.5).
const CONFIRM_AFTER: Duration = Duration::from_secs(24 * 3600);
/// A hundred years are never.
const LONGEST_PERIOD: u64 = 100 * 365 * 86_400;
