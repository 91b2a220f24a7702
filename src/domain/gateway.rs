//! Devices that are known through an outside gateway, an LwM2M server of its own that forwards what
//! it hears: what it reported, and what is remembered of it.

use serde::{Deserialize, Serialize};

use super::record::Warning;
use super::time::Timestamp;
use super::value::Node;

/// The pseudo object whose resources are registration events, our own and those of gateways.
pub const REGISTRATION_EVENTS: u16 = 10_240;

/// What happened, as a resource of [`REGISTRATION_EVENTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistrationEvent {
    /// Resource 0.
    Registered,
    /// Resource 1: deregistered, expired or replaced.
    Unregistered,
    /// Resource 2.
    Updated,
}

impl RegistrationEvent {
    /// The event that a node tells, if it is one, with its moment to the millisecond.
    pub fn of(node: &Node) -> Option<(Self, Timestamp)> {
        if node.path.object_id() != Some(REGISTRATION_EVENTS) || node.path.depth() != 3 {
            return None;
        }
        let event = match node.path.resource_id()? {
            0 => Self::Registered,
            1 => Self::Unregistered,
            2 => Self::Updated,
            _ => return None,
        };
        Some((event, node.time?))
    }
}

/// What a gateway tells at once.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayReport {
    /// Values, those of one object together; a registration event has the moment of the event as
    /// its time.
    pub nodes: Vec<Node>,
    /// True when the values of each object are one event.
    pub composite: bool,
}

/// What is remembered of a device that a gateway told of.
///
/// The moments only ever grow, so that the order in which a gateway's messages arrive does not
/// matter: what was unregistered does not come back by a message that is late, and what registered
/// anew does not go by one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayState {
    /// The newest registration that the gateway told of.
    pub registered_at: Option<Timestamp>,
    /// The newest registration that it told the end of, or when that ended.
    pub unregistered_at: Option<Timestamp>,
    /// What came wrongly and was forgiven while the device was not registered here itself.
    pub warnings: Vec<Warning>,
}

impl GatewayState {
    /// Since when the device is registered with the gateway.
    pub fn registered_since(&self) -> Option<Timestamp> {
        self.registered_at
            .filter(|at| self.unregistered_at.is_none_or(|end| *at > end))
    }

    /// Takes over a registration event. An update says that the registration is there, also where
    /// the message that told of its beginning was lost.
    pub fn note(&mut self, event: RegistrationEvent, at: Timestamp) {
        let mark = match event {
            RegistrationEvent::Registered | RegistrationEvent::Updated => &mut self.registered_at,
            RegistrationEvent::Unregistered => &mut self.unregistered_at,
        };
        *mark = Some(mark.map_or(at, |before| before.max(at)));
    }
}

#[cfg(test)]
mod tests {
    use super::RegistrationEvent::{Registered, Unregistered, Updated};
    use super::*;
    use crate::domain::{Path, Value};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::clamped_from_millis(1_700_000_000_000 + seconds * 1000)
    }

    #[test]
    fn the_order_of_arrival_does_not_matter() {
        // The device registered at 0 and anew at 10; the end of the first came with its own date,
        // as Leshan sends it.
        let events = [
            (Registered, at(0)),
            (Updated, at(0)),
            (Unregistered, at(0)),
            (Registered, at(10)),
        ];
        for first in 0..4 {
            for second in 0..4 {
                let mut order = events.to_vec();
                order.swap(0, first);
                order.swap(1, second);
                let mut state = GatewayState::default();
                for (event, at) in &order {
                    state.note(*event, *at);
                }
                assert_eq!(state.registered_since(), Some(at(10)), "{order:?}");
            }
        }
        let mut late = GatewayState::default();
        late.note(Unregistered, at(0));
        late.note(Registered, at(0));
        late.note(Updated, at(0));
        assert_eq!(late.registered_since(), None);
    }

    #[test]
    fn an_update_stands_for_a_register_that_was_lost() {
        let mut state = GatewayState::default();
        assert_eq!(state.registered_since(), None);
        state.note(Updated, at(5));
        assert_eq!(state.registered_since(), Some(at(5)));
        state.note(Unregistered, at(7));
        assert_eq!(state.registered_since(), None);
    }

    #[test]
    fn only_the_three_resources_of_the_pseudo_object_are_events() {
        let node = |path: Path| Node {
            path,
            value: Value::Time(1_700_000_000),
            time: Some(at(0)),
        };
        let event = |path| RegistrationEvent::of(&node(path)).map(|(event, _)| event);
        assert_eq!(event(Path::resource(10_240, 0, 0)), Some(Registered));
        assert_eq!(event(Path::resource(10_240, 0, 1)), Some(Unregistered));
        assert_eq!(event(Path::resource(10_240, 0, 2)), Some(Updated));
        assert_eq!(event(Path::resource(10_240, 0, 3)), None);
        assert_eq!(event(Path::resource(3, 0, 0)), None);
        let mut timeless = node(Path::resource(10_240, 0, 0));
        timeless.time = None;
        assert_eq!(RegistrationEvent::of(&timeless), None);
    }
}
