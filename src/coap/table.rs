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
    /// Those that may be pushed out.
    free: Deadlines<Place>,
    /// Those that may not.
    held: Deadlines<Place>,
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
            free: Deadlines::default(),
            held: Deadlines::default(),
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
        if weight > self.limits.weight {
            return Err(Full);
        }
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
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.peers.entry(peer).or_default().push(Entry {
            id,
            deadline,
            held,
            weight,
            value,
        });
        self.order(held).insert(deadline, (id, peer));
        self.len = self.len.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        if held {
            self.held_len = self.held_len.saturating_add(1);
        }
        Ok(evicted)
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
            self.order(entry.held)
                .remove(entry.deadline, (entry.id, peer));
            self.len = self.len.saturating_sub(1);
            self.weight = self.weight.saturating_sub(entry.weight);
            if entry.held {
                self.held_len = self.held_len.saturating_sub(1);
            }
        }
        entries.len()
    }

    /// Takes out what expires first, if it has expired.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<T> {
        let (id, peer) = self.free.pop_due(now).or_else(|| self.held.pop_due(now))?;
        self.take_id(peer, id)
    }

    /// When the next entry expires.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match (self.free.next(), self.held.next()) {
            (Some(free), Some(held)) => Some(free.min(held)),
            (free, held) => free.or(held),
        }
    }

    fn room(&self) -> usize {
        self.limits.weight.saturating_sub(self.weight)
    }

    fn order(&mut self, held: bool) -> &mut Deadlines<Place> {
        if held { &mut self.held } else { &mut self.free }
    }

    fn evict(&mut self) -> Result<(), Full> {
        let (id, peer) = self.free.first().ok_or(Full)?;
        self.take_id(peer, id).map(drop).ok_or(Full)
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
        self.order(entry.held)
            .remove(entry.deadline, (entry.id, peer));
        self.len = self.len.saturating_sub(1);
        self.weight = self.weight.saturating_sub(entry.weight);
        if entry.held {
            self.held_len = self.held_len.saturating_sub(1);
        }
        Some(entry.value)
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
    fn everything_of_a_peer_goes_at_once_and_the_others_stay() {
        let start = Instant::now();
        let mut table = table(4, 9, 100);
        for (port, held) in [(1, false), (1, true), (2, false)] {
            table.insert(peer(port), start, held, 5, 7).expect("room");
        }
        assert_eq!(table.remove_all(peer(1)), 2);
        assert_eq!(table.remove_all(peer(1)), 0);
        assert_eq!((table.len(), table.held(), table.weight()), (1, 0, 5));
        assert_eq!(table.free.len() + table.held.len(), 1);
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
        assert_eq!(table.free.len() + table.held.len(), 0);
    }
}
