//! What is remembered of peers, within limits: a few entries for each peer, a number and a sum of
//! bytes in all, each entry for a time. The shape behind copies, uploads and served bodies.

use std::collections::HashMap;
use std::time::Instant;

use crate::domain::Peer;

use super::timer::Deadlines;

/// Entries of peers. When a limit is reached, the entry that would expire first makes room; held
/// entries never do.
#[derive(Debug)]
pub(super) struct PeerTable<T> {
    peers: HashMap<Peer, Vec<Entry<T>>>,
    /// Those that may be pushed out, and held ones that were not in the way yet: most are held for a moment
    /// only, and stay where they are.
    order: Deadlines<Place>,
    /// Held ones that were in the way when room was made. Each moves here once at most.
    passed: Deadlines<Place>,
    limits: TableLimits,
    next_id: u64,
    len: usize,
    held_len: usize,
    weight: usize,
}

/// See [`PeerTable`].
#[derive(Clone, Copy, Debug)]
pub(super) struct TableLimits {
    pub(super) per_peer: usize,
    pub(super) total: usize,
    /// In bytes, as counted by the owner.
    pub(super) weight: usize,
}

/// Where an entry is: ids grow, so that of two entries with one deadline the older goes first.
type Place = (u64, Peer);

#[derive(Debug)]
struct Entry<T> {
    id: u64,
    deadline: Instant,
    held: bool,
    is_passed: bool,
    weight: usize,
    value: T,
}

/// A limit left no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<T> PeerTable<T> {
    pub(super) fn new(limits: TableLimits) -> Self {
        Self {
            peers: HashMap::new(),
            order: Deadlines::default(),
            passed: Deadlines::default(),
            limits,
            next_id: 0,
            len: 0,
            held_len: 0,
            weight: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn held(&self) -> usize {
        self.held_len
    }

    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// The value of a peer that fits.
    pub(super) fn find(&self, peer: Peer, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let entries = self.peers.get(&peer)?;
        entries
            .iter()
            .map(|entry| &entry.value)
            .find(|value| fits(value))
    }

    /// Adds an entry. Says how many others were pushed out for it.
    pub(super) fn insert(
        &mut self,
        peer: Peer,
        deadline: Instant,
        held: bool,
        weight: usize,
        value: T,
    ) -> Result<usize, Full> {
        if weight > self.limits.weight || self.limits.per_peer == 0 {
            return Err(Full);
        }
        let mut evicted: usize = 0;
        if self.len >= self.limits.total || self.room() < weight {
            evicted = self.make_room(peer, weight)?;
        }
        let mut entries = self.peers.entry(peer).or_default();
        if entries.len() >= self.limits.per_peer {
            self.evict_of(peer)?;
            evicted = evicted.saturating_add(1);
            entries = self.peers.entry(peer).or_default();
        }
        let id = self.next_id;
        entries.push(Entry {
            id,
            deadline,
            held,
            is_passed: false,
            weight,
            value,
        });
        self.next_id = self.next_id.wrapping_add(1);
        self.order.insert(deadline, (id, peer));
        self.len = self.len.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        if held {
            self.held_len = self.held_len.saturating_add(1);
        }
        Ok(evicted)
    }

    /// Lets go of a held entry that fits, which changes and weighs so much from then on. It keeps its
    /// deadline; without room for its weight it is forgotten. False when there is none.
    pub(super) fn let_go(
        &mut self,
        peer: Peer,
        weight: usize,
        fits: impl Fn(&T) -> bool,
        change: impl FnOnce(&mut T),
    ) -> bool {
        let room = self.room();
        let Some(entries) = self.peers.get_mut(&peer) else {
            return false;
        };
        let fits = |entry: &Entry<T>| entry.held && fits(&entry.value);
        let Some(index) = entries.iter().position(fits) else {
            return false;
        };
        let Some(entry) = entries.get_mut(index) else {
            return false;
        };
        change(&mut entry.value);
        if room < weight {
            let deadline = entry.deadline;
            if let Some(value) = self.take(peer, index) {
                let _ = self.insert(peer, deadline, false, weight, value);
            }
            return true;
        }
        let (place, deadline) = ((entry.id, peer), entry.deadline);
        let before = std::mem::replace(&mut entry.weight, weight);
        entry.held = false;
        if std::mem::take(&mut entry.is_passed) {
            self.passed.remove(deadline, place);
            self.order.insert(deadline, place);
        }
        self.held_len = self.held_len.saturating_sub(1);
        self.weight = self.weight.saturating_sub(before).saturating_add(weight);
        true
    }

    /// Takes out the entry of a peer that fits.
    pub(super) fn remove(&mut self, peer: Peer, fits: impl Fn(&T) -> bool) -> Option<T> {
        let entries = self.peers.get(&peer)?;
        let index = entries.iter().position(|entry| fits(&entry.value))?;
        self.take(peer, index)
    }

    /// Takes out everything of a peer, which is not more than one peer may have. Says how many there
    /// were.
    pub(super) fn remove_all(&mut self, peer: Peer) -> usize {
        let Some(entries) = self.peers.remove(&peer) else {
            return 0;
        };
        for entry in &entries {
            self.forget_place(peer, entry);
        }
        entries.len()
    }

    /// Takes out what expires first, if it has expired.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let due = self.order.pop_due(now);
        let (id, peer) = due.or_else(|| self.passed.pop_due(now))?;
        self.take_id(peer, id)
    }

    /// When the next entry expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match (self.order.next(), self.passed.next()) {
            (Some(order), Some(passed)) => Some(order.min(passed)),
            (order, passed) => order.or(passed),
        }
    }

    fn room(&self) -> usize {
        self.limits.weight.saturating_sub(self.weight)
    }

    /// Room for one more entry of this weight of a peer.
    fn make_room(&mut self, peer: Peer, weight: usize) -> Result<usize, Full> {
        let mut evicted: usize = 0;
        let of_peer = self.peers.get(&peer).map_or(0, Vec::len);
        if of_peer >= self.limits.per_peer {
            self.evict_of(peer)?;
            evicted = evicted.saturating_add(1);
        }
        while self.len >= self.limits.total || self.room() < weight {
            self.evict()?;
            evicted = evicted.saturating_add(1);
        }
        Ok(evicted)
    }

    fn evict(&mut self) -> Result<(), Full> {
        while let Some((id, peer)) = self.order.first() {
            let entries = self.peers.get_mut(&peer).ok_or(Full)?;
            let of_id = |entry: &Entry<T>| entry.id == id;
            let index = entries.iter().position(of_id).ok_or(Full)?;
            let entry = entries.get_mut(index).ok_or(Full)?;
            if !entry.held {
                return self.take(peer, index).map(drop).ok_or(Full);
            }
            entry.is_passed = true;
            let deadline = entry.deadline;
            self.order.remove(deadline, (id, peer));
            self.passed.insert(deadline, (id, peer));
        }
        Err(Full)
    }

    fn evict_of(&mut self, peer: Peer) -> Result<(), Full> {
        let entries = self.peers.get(&peer).ok_or(Full)?;
        let index = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| !entry.held)
            .min_by_key(|(_, entry)| (entry.deadline, entry.id))
            .map(|(index, _)| index)
            .ok_or(Full)?;
        self.take(peer, index).map(drop).ok_or(Full)
    }

    fn take_id(&mut self, peer: Peer, id: u64) -> Option<T> {
        let entries = self.peers.get(&peer)?;
        let index = entries.iter().position(|entry| entry.id == id)?;
        self.take(peer, index)
    }

    fn take(&mut self, peer: Peer, index: usize) -> Option<T> {
        let entries = self.peers.get_mut(&peer)?;
        if index >= entries.len() {
            return None;
        }
        let entry = entries.swap_remove(index);
        if entries.is_empty() {
            self.peers.remove(&peer);
        }
        self.forget_place(peer, &entry);
        Some(entry.value)
    }

    /// An entry is not in the table any more.
    fn forget_place(&mut self, peer: Peer, entry: &Entry<T>) {
        let order = if entry.is_passed {
            &mut self.passed
        } else {
            &mut self.order
        };
        order.remove(entry.deadline, (entry.id, peer));
        self.len = self.len.saturating_sub(1);
        self.weight = self.weight.saturating_sub(entry.weight);
        if entry.held {
            self.held_len = self.held_len.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn peer(port: u16) -> Peer {
        Peer::udp(([192, 0, 2, 1], port).into())
    }

    fn table(per_peer: usize, total: usize, weight: usize) -> PeerTable<u32> {
        PeerTable::new(TableLimits {
            per_peer,
            total,
            weight,
        })
    }

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn the_oldest_of_a_peer_makes_room_for_its_next() {
        let start = Instant::now();
        let mut table = table(2, 10, 100);
        for value in 0..3 {
            let deadline = at(start, u64::from(value));
            table
                .insert(peer(1), deadline, false, 1, value)
                .expect("room");
        }
        assert_eq!(table.find(peer(1), |value| *value == 0), None);
        assert_eq!(table.find(peer(1), |value| *value == 2), Some(&2));
        assert_eq!((table.len(), table.weight()), (2, 2));
    }

    #[test]
    fn the_oldest_of_all_makes_room_when_the_table_is_full() {
        let start = Instant::now();
        let mut table = table(2, 3, 100);
        for port in 0..4 {
            table
                .insert(peer(port), start, false, 1, port.into())
                .expect("room");
        }
        assert_eq!(table.len(), 3);
        assert_eq!(table.find(peer(0), |_| true), None);
    }

    #[test]
    fn bytes_are_limited_too() {
        let start = Instant::now();
        let mut table = table(9, 9, 10);
        assert_eq!(table.insert(peer(1), start, false, 11, 0), Err(Full));
        table.insert(peer(1), start, false, 6, 1).expect("room");
        table.insert(peer(2), start, false, 4, 2).expect("room");
        assert_eq!(table.insert(peer(3), start, false, 5, 3), Ok(1));
        assert_eq!((table.len(), table.weight()), (2, 9));
    }

    #[test]
    fn held_entries_never_make_room() {
        let start = Instant::now();
        let mut table = table(2, 3, 100);
        table.insert(peer(1), start, true, 1, 1).expect("room");
        table.insert(peer(1), start, true, 1, 2).expect("room");
        assert_eq!(table.insert(peer(1), start, false, 1, 3), Err(Full));
        table.insert(peer(2), start, true, 1, 4).expect("room");
        assert_eq!(table.insert(peer(3), start, false, 1, 5), Err(Full));
        assert_eq!(table.held(), 3);
        table
            .remove(peer(2), |value| *value == 4)
            .expect("it is there");
        assert_eq!(table.insert(peer(3), start, false, 1, 5), Ok(0));
    }

    #[test]
    fn a_held_entry_that_was_in_the_way_makes_room_once_it_is_let_go() {
        let start = Instant::now();
        let mut table = table(9, 3, 100);
        for (port, held) in [(1, true), (2, true), (3, false)] {
            let deadline = at(start, port.into());
            table
                .insert(peer(port), deadline, held, 0, port.into())
                .expect("room");
        }
        assert_eq!(table.insert(peer(4), at(start, 4), false, 0, 4), Ok(1));
        assert_eq!(table.find(peer(3), |_| true), None, "the only free one");
        assert!(table.let_go(peer(1), 7, |value| *value == 1, |value| *value = 10));
        assert!(!table.let_go(peer(1), 7, |_| true, |_| {}), "once");
        assert_eq!((table.held(), table.weight()), (1, 7));
        assert_eq!(table.find(peer(1), |_| true), Some(&10));
        assert_eq!(table.insert(peer(5), at(start, 5), false, 0, 5), Ok(1));
        assert_eq!(table.find(peer(1), |_| true), None, "the first to expire");
        assert_eq!((table.len(), table.held(), table.weight()), (3, 1, 0));
    }

    #[test]
    fn what_is_let_go_makes_room_for_what_it_weighs_then_or_is_forgotten() {
        let start = Instant::now();
        let mut table = table(9, 9, 10);
        table.insert(peer(1), start, false, 6, 1).expect("room");
        table.insert(peer(2), start, true, 0, 2).expect("room");
        assert!(table.let_go(peer(2), 8, |_| true, |_| {}));
        assert_eq!(table.find(peer(1), |_| true), None);
        assert_eq!((table.len(), table.held(), table.weight()), (1, 0, 8));
        table.insert(peer(3), start, true, 0, 3).expect("room");
        assert!(table.let_go(peer(3), 11, |_| true, |_| {}));
        assert_eq!((table.len(), table.held(), table.weight()), (1, 0, 8));
        assert_eq!(table.order.len() + table.passed.len(), 1);
    }

    #[test]
    fn everything_of_a_peer_goes_at_once_and_the_others_stay() {
        let start = Instant::now();
        let mut table = table(4, 9, 100);
        for (port, held) in [(1, false), (1, true), (2, false)] {
            table.insert(peer(port), start, held, 5, 7).expect("room");
        }
        assert_eq!(table.remove_all(peer(1)), 2);
        assert_eq!(table.remove_all(peer(1)), 0);
        assert_eq!((table.len(), table.held(), table.weight()), (1, 0, 5));
        assert_eq!(table.order.len() + table.passed.len(), 1);
        assert_eq!(table.find(peer(2), |_| true), Some(&7));
    }

    #[test]
    fn entries_expire_in_the_order_of_their_deadlines_and_leave_nothing() {
        let start = Instant::now();
        let mut table = table(4, 9, 100);
        for (seconds, held) in [(3, false), (1, true), (2, false)] {
            let value = u32::try_from(seconds).expect("small");
            table
                .insert(peer(1), at(start, seconds), held, 1, value)
                .expect("room");
        }
        assert_eq!(table.next_deadline(), Some(at(start, 1)));
        assert_eq!(table.pop_due(start), None);
        let mut expired = Vec::new();
        while let Some(value) = table.pop_due(at(start, 9)) {
            expired.push(value);
        }
        expired.sort_unstable();
        assert_eq!(expired, [1, 2, 3]);
        assert_eq!((table.len(), table.held(), table.weight()), (0, 0, 0));
        assert!(table.peers.is_empty());
        assert_eq!(table.next_deadline(), None);
        assert_eq!(table.order.len() + table.passed.len(), 0);
    }
}
