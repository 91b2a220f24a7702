//! Who is where: pure tables from names, locations, tokens, exchanges and addresses to actors.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::coap::ExchangeId;
use crate::domain::{ById, EndpointId, EndpointName, FirmwareId, Peer, RegistrationId, Token};
use crate::endpoint::{Listening, Memo};

/// What is known of one endpoint that is registered.
#[derive(Clone, Debug, PartialEq)]
struct Presence {
    name: EndpointName,
    location: RegistrationId,
    peer: Peer,
    listening: Listening,
    /// What the last actor left behind, while there is none.
    memo: Option<Memo>,
}

/// The tables. Every entry leads to an endpoint; entries about an endpoint are removed with it.
#[derive(Debug, Default)]
pub(super) struct State {
    names: HashMap<EndpointName, EndpointId>,
    /// Boxed: a table has up to twice as many places as entries.
    present: ById<EndpointId, Box<Presence>>,
    locations: ById<RegistrationId, EndpointId>,
    tokens: ById<Token, EndpointId>,
    exchanges: ById<ExchangeId, EndpointId>,
    peers: HashMap<Peer, EndpointId>,
    /// Devices that are to fetch an image, and from where.
    fetching: ById<EndpointId, (FirmwareId, IpAddr)>,
    fetchers: HashMap<(FirmwareId, IpAddr), Lodgers>,
}

/// The devices that are to fetch an image from one IP address: how many, and the sum of their ids by exclusive or,
/// which is the id itself while there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lodgers {
    count: u32,
    ids: i64,
}

impl State {
    /// So many are about to come: nothing is to be moved for room.
    pub(super) fn reserve(&mut self, endpoints: usize, registered: usize, tokens: usize) {
        self.names.reserve(endpoints);
        self.present.reserve(registered);
        self.locations.reserve(registered);
        self.peers.reserve(registered);
        self.tokens.reserve(tokens);
    }

    /// An endpoint was seen for the first time, or is read from the store.
    pub(super) fn know(&mut self, name: EndpointName, id: EndpointId) {
        self.names.insert(name, id);
    }

    /// The endpoint is forgotten: its name may come back under another id.
    pub(super) fn forget(&mut self, name: &EndpointName) -> Option<EndpointId> {
        let id = self.names.remove(name)?;
        self.unregistered(id);
        Some(id)
    }

    /// The id of an endpoint that was ever seen.
    pub(super) fn id(&self, name: &EndpointName) -> Option<EndpointId> {
        self.names.get(name).copied()
    }

    /// How many endpoints were ever seen.
    pub(super) fn known(&self) -> usize {
        self.names.len()
    }

    /// How many are registered.
    pub(super) fn registered_count(&self) -> usize {
        self.locations.len()
    }

    /// The device is registered under this location from this address. The newest device of an
    /// address is the one that a Send from there is taken for.
    pub(super) fn registered(
        &mut self,
        id: EndpointId,
        name: &EndpointName,
        location: &RegistrationId,
        peer: Peer,
    ) {
        match self.present.get_mut(&id) {
            Some(presence) => {
                if presence.location != *location {
                    self.locations.remove(&presence.location);
                    presence.location = location.clone();
                    self.locations.insert(location.clone(), id);
                }
                if presence.peer != peer && self.peers.get(&presence.peer) == Some(&id) {
                    self.peers.remove(&presence.peer);
                }
                presence.peer = peer;
            }
            None => {
                let presence = Presence {
                    name: name.clone(),
                    location: location.clone(),
                    peer,
                    listening: Listening::default(),
                    memo: None,
                };
                self.present.insert(id, Box::new(presence));
                self.locations.insert(location.clone(), id);
            }
        }
        self.peers.insert(peer, id);
    }

    /// The device is not registered any more.
    pub(super) fn unregistered(&mut self, id: EndpointId) {
        self.fetches(id, None);
        let Some(presence) = self.present.remove(&id) else {
            return;
        };
        self.locations.remove(&presence.location);
        if self.peers.get(&presence.peer) == Some(&id) {
            self.peers.remove(&presence.peer);
        }
    }

    /// The name of a registered device.
    pub(super) fn name(&self, id: EndpointId) -> Option<EndpointName> {
        self.present.get(&id).map(|presence| presence.name.clone())
    }

    /// The registered devices.
    pub(super) fn registered_ids(&self) -> impl Iterator<Item = EndpointId> {
        self.present.keys().copied()
    }

    /// The actor of a registered device ends and leaves something for the next one.
    pub(super) fn rests(&mut self, id: EndpointId, memo: Memo) {
        if let Some(presence) = self.present.get_mut(&id) {
            presence.memo = Some(memo);
        }
    }

    /// What the last actor left behind.
    pub(super) fn take_memo(&mut self, id: EndpointId) -> Option<Memo> {
        self.present.get_mut(&id)?.memo.take()
    }

    /// When a device listens.
    pub(super) fn listens(&mut self, id: EndpointId, listening: Listening) {
        if let Some(presence) = self.present.get_mut(&id) {
            presence.listening = listening;
        }
    }

    /// When a registered device listens.
    pub(super) fn listening(&self, id: EndpointId) -> Option<Listening> {
        self.present.get(&id).map(|presence| presence.listening)
    }

    /// Where requests to a registered device go.
    pub(super) fn peer(&self, id: EndpointId) -> Option<Peer> {
        self.present.get(&id).map(|presence| presence.peer)
    }

    /// Whose location this is.
    pub(super) fn at(&self, location: &RegistrationId) -> Option<EndpointId> {
        self.locations.get(location).copied()
    }

    /// Who registered from this address.
    pub(super) fn from(&self, peer: Peer) -> Option<EndpointId> {
        self.peers.get(&peer).copied()
    }

    /// The device that is to fetch this image from this IP address, from whatever port, if it is the only one.
    pub(super) fn fetcher(&self, image: FirmwareId, host: IpAddr) -> Option<EndpointId> {
        let lodgers = self.fetchers.get(&(image, host.to_canonical()))?;
        (lodgers.count == 1).then_some(EndpointId(lodgers.ids))
    }

    /// What the device is to fetch, and from where; nothing any more: none.
    pub(super) fn fetches(&mut self, id: EndpointId, what: Option<(FirmwareId, IpAddr)>) {
        let what = what.map(|(image, host)| (image, host.to_canonical()));
        let before = match what {
            Some(what) => self.fetching.insert(id, what),
            None => self.fetching.remove(&id),
        };
        if let Some(before) = before
            && let Some(lodgers) = self.fetchers.get_mut(&before)
        {
            lodgers.count = lodgers.count.saturating_sub(1);
            lodgers.ids ^= id.0;
            if lodgers.count == 0 {
                self.fetchers.remove(&before);
            }
        }
        if let Some(what) = what {
            let lodgers = self.fetchers.entry(what).or_default();
            lodgers.count = lodgers.count.saturating_add(1);
            lodgers.ids ^= id.0;
        }
    }

    /// Whose observation this token is.
    pub(super) fn observer(&self, token: Token) -> Option<EndpointId> {
        self.tokens.get(&token).copied()
    }

    /// Notes an observation.
    pub(super) fn watch(&mut self, id: EndpointId, token: Token) {
        self.tokens.insert(token, id);
    }

    /// Forgets an observation.
    pub(super) fn unwatch(&mut self, token: Token) {
        self.tokens.remove(&token);
    }

    /// Whose exchange this is.
    pub(super) fn exchange(&self, exchange: ExchangeId) -> Option<EndpointId> {
        self.exchanges.get(&exchange).copied()
    }

    /// Notes an exchange.
    pub(super) fn begin_exchange(&mut self, id: EndpointId, exchange: ExchangeId) {
        self.exchanges.insert(exchange, id);
    }

    /// Forgets an exchange.
    pub(super) fn end_exchange(&mut self, exchange: ExchangeId) {
        self.exchanges.remove(&exchange);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> EndpointName {
        EndpointName::new("thing").expect("a name")
    }

    fn peer(port: u16) -> Peer {
        Peer::udp(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn a_new_location_takes_the_place_of_the_old_one() {
        let mut state = State::default();
        let (first, second) = (
            RegistrationId::from_text("a"),
            RegistrationId::from_text("b"),
        );
        state.registered(EndpointId(1), &name(), &first, peer(1));
        state.registered(EndpointId(1), &name(), &second, peer(2));
        assert_eq!(state.at(&first), None);
        assert_eq!(state.at(&second), Some(EndpointId(1)));
        assert_eq!(state.from(peer(1)), None);
        assert_eq!(state.from(peer(2)), Some(EndpointId(1)));
        assert_eq!(state.registered_count(), 1);
    }

    #[test]
    fn an_address_taken_over_by_another_device_stays_with_it() {
        let mut state = State::default();
        state.registered(
            EndpointId(1),
            &name(),
            &RegistrationId::from_text("a"),
            peer(1),
        );
        state.registered(
            EndpointId(2),
            &name(),
            &RegistrationId::from_text("b"),
            peer(1),
        );
        state.unregistered(EndpointId(1));
        assert_eq!(state.from(peer(1)), Some(EndpointId(2)));
        state.unregistered(EndpointId(2));
        assert_eq!(state.from(peer(1)), None);
    }

    #[test]
    fn the_only_device_that_fetches_an_image_from_a_host_is_known_by_it() {
        let mut state = State::default();
        let (home, away): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let image = FirmwareId(7);
        assert_eq!(state.fetcher(image, home), None);
        state.fetches(EndpointId(1), Some((image, home)));
        state.fetches(EndpointId(1), Some((image, home)));
        assert_eq!(state.fetcher(image, home), Some(EndpointId(1)));
        assert_eq!(state.fetcher(FirmwareId(8), home), None, "another image");
        state.fetches(EndpointId(2), Some((image, home)));
        assert_eq!(state.fetcher(image, home), None, "one of two");
        state.fetches(EndpointId(1), Some((image, away)));
        assert_eq!(state.fetcher(image, home), Some(EndpointId(2)));
        assert_eq!(state.fetcher(image, away), Some(EndpointId(1)));
        state.fetches(EndpointId(1), None);
        state.fetches(EndpointId(2), None);
        assert_eq!((state.fetchers.len(), state.fetching.len()), (0, 0));
    }

    #[test]
    fn a_forgotten_name_may_come_back() {
        let mut state = State::default();
        let name = name();
        state.know(name.clone(), EndpointId(1));
        assert_eq!(state.forget(&name), Some(EndpointId(1)));
        assert_eq!(state.id(&name), None);
    }
}
