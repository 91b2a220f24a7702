//! What the lens holds, within its limits. A book for each device, and for each peer of which it is not known yet
//! which device it is: a Register comes before anybody knows whose it is.
//!
//! Messages of all books share `lens.max_bytes`: the oldest of whichever book go first. Peers that are no device
//! share a small part of it, so that strangers push nobody out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use smallvec::SmallVec;

use super::capture::{Captured, Counted};
use super::peek::Asked;
use crate::config;
use crate::domain::{Day, DayTraffic, EndpointName, Peer, Traffic, TrafficKind};

/// See the module.
#[derive(Debug)]
pub(super) struct Room {
    keeps: bool,
    counts: bool,
    per_book: usize,
    max_bytes: usize,
    max_message: usize,
    /// The number of the last message.
    last: u64,
    /// Bytes of all messages, with what it costs to hold them.
    bytes: usize,
    /// Those of strangers.
    strange_bytes: usize,
    peers: HashMap<Peer, PeerLine>,
    names: HashMap<EndpointName, usize>,
    books: Vec<Book>,
    /// Places in `books` that are free.
    free: Vec<usize>,
    /// Strangers in the order in which they were first seen, with the generation of their book.
    strangers: VecDeque<(usize, u64)>,
    /// How many books are strangers'.
    strange_books: usize,
    /// For each book with messages, the number of its oldest one or of one before.
    oldest: BinaryHeap<Reverse<(u64, usize, u64)>>,
    /// Books that something was counted for.
    counted: Vec<(usize, u64)>,
}

/// What is known of a peer.
#[derive(Debug)]
struct PeerLine {
    book: usize,
    asked: Asked,
}

#[derive(Debug, Default)]
struct Book {
    /// Grows each time that the place is given to somebody else.
    generation: u64,
    name: Option<EndpointName>,
    /// Who writes in it, oldest first.
    peers: SmallVec<[Peer; 1]>,
    messages: VecDeque<Captured>,
    /// Of the messages.
    bytes: usize,
    pending: Option<Box<Pending>>,
}

/// What is not written down yet.
#[derive(Debug)]
struct Pending {
    day: Day,
    traffic: DayTraffic,
    /// Of days before.
    earlier: Vec<(Day, DayTraffic)>,
}

/// A message that is seen.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) micros: i64,
    pub(super) peer: Peer,
    pub(super) up: bool,
    pub(super) again: bool,
    pub(super) wire: usize,
    pub(super) message: &'a [u8],
}

impl Room {
    /// `first`: below the number of the first message.
    pub(super) fn new(settings: &config::Lens, first: u64) -> Self {
        Self {
            keeps: settings.enabled,
            counts: settings.meter,
            per_book: settings.messages_per_device.max(1),
            max_bytes: settings.max_bytes,
            max_message: settings.max_message_bytes,
            last: first,
            bytes: 0,
            strange_bytes: 0,
            peers: HashMap::new(),
            names: HashMap::new(),
            books: Vec::new(),
            free: Vec::new(),
            strangers: VecDeque::new(),
            strange_books: 0,
            oldest: BinaryHeap::new(),
            counted: Vec::new(),
        }
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a message in; how many others had to go before their time.
    pub(super) fn see(&mut self, seen: &Seen<'_>) -> u64 {
        let place = self.place_of(seen.peer);
        let kind = match self.peers.get_mut(&seen.peer) {
            Some(line) if self.counts => line.asked.kind(seen.up, seen.message, seen.again),
            _ => TrafficKind::Data,
        };
        if self.counts {
            let (wire, message) = (seen.wire as u64, u64::from(seen.wire > 0));
            let traffic = match seen.up {
                true => Traffic {
                    up_bytes: wire,
                    up_messages: message,
                    ..Traffic::default()
                },
                false => Traffic {
                    down_bytes: wire,
                    down_messages: message,
                    ..Traffic::default()
                },
            };
            let day = Day(seen.micros.div_euclid(DAY_MICROS));
            self.count(place, day, kind, traffic);
        }
        if !self.keeps {
            return 0;
        }
        self.last = self.last.saturating_add(1);
        let kept = seen.message.get(..self.max_message);
        let captured = Captured {
            id: self.last,
            micros: seen.micros,
            up: seen.up,
            is_secure: seen.peer.is_secure(),
            again: seen.again,
            address: seen.peer.address,
            wire: u32::try_from(seen.wire).unwrap_or(u32::MAX),
            length: u32::try_from(seen.message.len()).unwrap_or(u32::MAX),
            bytes: kept.unwrap_or(seen.message).into(),
        };
        self.keep(place, captured)
    }

    fn keep(&mut self, place: usize, captured: Captured) -> u64 {
        let Some(book) = self.books.get_mut(place) else {
            return 0;
        };
        if book.messages.is_empty() {
            self.oldest
                .push(Reverse((captured.id, place, book.generation)));
        }
        let added = cost(&captured);
        book.messages.push_back(captured);
        let mut removed = 0;
        if book.messages.len() > self.per_book {
            removed = book.messages.pop_front().as_ref().map_or(0, cost);
        }
        book.bytes = (book.bytes + added).saturating_sub(removed);
        self.bytes = (self.bytes + added).saturating_sub(removed);
        if book.name.is_none() {
            self.strange_bytes = (self.strange_bytes + added).saturating_sub(removed);
        }
        let mut dropped = 0;
        while self.strange_bytes > self.max_bytes / STRANGERS_SHARE {
            dropped += self.drop_stranger();
        }
        while self.bytes > self.max_bytes && self.drop_oldest() {
            dropped += 1;
        }
        if self.oldest.len() > 2 * self.books.len() + LEAST_HEAP {
            let books = &self.books;
            self.oldest.retain(|Reverse((_, place, generation))| {
                books
                    .get(*place)
                    .is_some_and(|book| book.generation == *generation)
            });
        }
        dropped
    }

    /// Datagrams of a DTLS session without messages.
    pub(super) fn carried(&mut self, peer: Peer, day: Day, traffic: Traffic) {
        if self.counts {
            let place = self.place_of(peer);
            self.count(place, day, TrafficKind::Handshake, traffic);
        }
    }

    /// Who writes in the book has said its last.
    pub(super) fn over(&mut self, peer: Peer) {
        let Some(line) = self.peers.remove(&peer) else {
            return;
        };
        if let Some(book) = self.books.get_mut(line.book) {
            book.peers.retain(|other| *other != peer);
        }
    }

    pub(super) fn is_stranger(&self, peer: Peer) -> bool {
        let line = self.peers.get(&peer);
        let book = line.and_then(|line| self.books.get(line.book));
        book.is_none_or(|book| book.name.is_none())
    }

    /// A peer is a device; what is in the book of the stranger goes to that of the device.
    pub(super) fn belongs(&mut self, peer: Peer, name: &EndpointName) {
        let own = self.names.get(name).copied();
        let asked = self.peers.get(&peer).map(|line| line.asked);
        let place = match (self.peers.get(&peer).map(|line| line.book), own) {
            (Some(place), Some(own)) if place == own => return,
            // The first one of the device: the book is its own from now on.
            (Some(place), None) if self.is_strange(place) => {
                self.known(place, name);
                return;
            }
            (Some(place), Some(own)) if self.is_strange(place) => {
                self.merge(place, own);
                own
            }
            // It was another device, which has left its address, or nothing was heard from there.
            (before, own) => {
                if let Some(book) = before.and_then(|place| self.books.get_mut(place)) {
                    book.peers.retain(|other| *other != peer);
                }
                own.unwrap_or_else(|| {
                    let place = self.new_book();
                    self.known(place, name);
                    place
                })
            }
        };
        self.writes_in(peer, place, asked.unwrap_or_default());
    }

    /// The device of a book is known.
    fn known(&mut self, place: usize, name: &EndpointName) {
        let Some(book) = self.books.get_mut(place) else {
            return;
        };
        book.name = Some(name.clone());
        if book.pending.is_some() {
            self.counted.push((place, book.generation));
        }
        self.strange_bytes = self.strange_bytes.saturating_sub(book.bytes);
        self.strange_books = self.strange_books.saturating_sub(1);
        self.names.insert(name.clone(), place);
    }

    fn writes_in(&mut self, peer: Peer, place: usize, asked: Asked) {
        self.peers.insert(peer, PeerLine { book: place, asked });
        let Some(book) = self.books.get_mut(place) else {
            return;
        };
        book.peers.push(peer);
        if book.peers.len() > PEERS {
            let oldest = book.peers.remove(0);
            self.peers.remove(&oldest);
        }
    }

    /// What a stranger's book holds comes into a device's.
    fn merge(&mut self, from: usize, to: usize) {
        let stranger = self.take_book(from);
        for (day, traffic) in stranger.pending.iter().flat_map(|pending| pending.days()) {
            self.add(to, day, &traffic);
        }
        let Some(book) = self.books.get_mut(to) else {
            return;
        };
        if stranger.messages.is_empty() {
            return;
        }
        if book.messages.is_empty()
            && let Some(first) = stranger.messages.front()
        {
            self.oldest.push(Reverse((first.id, to, book.generation)));
        }
        book.messages.extend(stranger.messages);
        book.messages
            .make_contiguous()
            .sort_unstable_by_key(|captured| captured.id);
        book.bytes += stranger.bytes;
        self.bytes += stranger.bytes;
        while book.messages.len() > self.per_book {
            let removed = book.messages.pop_front().as_ref().map_or(0, cost);
            book.bytes = book.bytes.saturating_sub(removed);
            self.bytes = self.bytes.saturating_sub(removed);
        }
    }

    /// The device is forgotten.
    pub(super) fn forget(&mut self, name: &EndpointName) {
        if let Some(place) = self.names.remove(name) {
            self.take_book(place);
        }
    }

    pub(super) fn messages(&self, name: &EndpointName) -> Vec<Captured> {
        let book = self.book(name);
        book.map_or_else(Vec::new, |book| book.messages.iter().cloned().collect())
    }

    pub(super) fn newest(&self, name: &EndpointName) -> Option<u64> {
        Some(self.book(name)?.messages.back()?.id)
    }

    fn book(&self, name: &EndpointName) -> Option<&Book> {
        self.books.get(*self.names.get(name)?)
    }

    pub(super) fn take_counted(&mut self) -> Vec<Counted> {
        let mut all = Vec::new();
        for (place, generation) in std::mem::take(&mut self.counted) {
            let Some(book) = self.books.get_mut(place) else {
                continue;
            };
            let Some(name) = book.name.clone().filter(|_| book.generation == generation) else {
                continue;
            };
            for (day, traffic) in book.pending.take().iter().flat_map(|some| some.days()) {
                all.push(Counted {
                    endpoint: name.clone(),
                    day,
                    traffic,
                });
            }
        }
        all
    }

    pub(super) fn give_back(&mut self, counted: Counted) {
        // Of a device that was forgotten meanwhile nothing is kept.
        if let Some(place) = self.names.get(&counted.endpoint).copied() {
            self.add(place, counted.day, &counted.traffic);
        }
    }

    pub(super) fn pending(&self, name: Option<&EndpointName>) -> Vec<(Day, DayTraffic)> {
        let days = |book: &Book| -> Vec<(Day, DayTraffic)> {
            let pending = book.pending.iter();
            pending.flat_map(|pending| pending.days()).collect()
        };
        match name {
            Some(name) => self.book(name).map(days).unwrap_or_default(),
            None => {
                let books = self.counted.iter();
                let books = books.filter_map(|(place, generation)| {
                    let book = self.books.get(*place)?;
                    (book.generation == *generation).then_some(book)
                });
                books.flat_map(days).collect()
            }
        }
    }

    fn count(&mut self, place: usize, day: Day, kind: TrafficKind, traffic: Traffic) {
        let Some(book) = self.books.get_mut(place) else {
            return;
        };
        if let Some(pending) = book.pending.as_mut().filter(|pending| pending.day == day) {
            pending.traffic.add(kind, traffic);
            return;
        }
        let mut one = DayTraffic::default();
        one.add(kind, traffic);
        self.add(place, day, &one);
    }

    fn add(&mut self, place: usize, day: Day, traffic: &DayTraffic) {
        let Some(book) = self.books.get_mut(place) else {
            return;
        };
        let Some(pending) = &mut book.pending else {
            book.pending = Some(Box::new(Pending {
                day,
                traffic: *traffic,
                earlier: Vec::new(),
            }));
            if book.name.is_some() {
                self.counted.push((place, book.generation));
            }
            return;
        };
        if pending.day < day {
            let before = (pending.day, pending.traffic);
            pending.earlier.push(before);
            (pending.day, pending.traffic) = (day, DayTraffic::default());
            if pending.earlier.len() > MOST_DAYS {
                pending.earlier.remove(0);
            }
        }
        let sum = if pending.day == day {
            &mut pending.traffic
        } else {
            let earlier = &mut pending.earlier;
            let at = earlier.iter().position(|(other, _)| *other == day);
            let at = at.unwrap_or_else(|| {
                earlier.insert(0, (day, DayTraffic::default()));
                0
            });
            match earlier.get_mut(at) {
                Some((_, sum)) => sum,
                None => return,
            }
        };
        for (kind, traffic) in traffic.kinds() {
            sum.add(kind, traffic);
        }
    }

    /// The book that a peer writes in.
    fn place_of(&mut self, peer: Peer) -> usize {
        if let Some(line) = self.peers.get(&peer) {
            return line.book;
        }
        while self.strange_books >= STRANGERS {
            self.drop_stranger();
        }
        let place = self.new_book();
        let generation = self.books.get(place).map_or(0, |book| book.generation);
        self.strangers.push_back((place, generation));
        // Of those that became devices nothing is left but their places in the queue.
        if self.strangers.len() > 2 * STRANGERS {
            let books = &self.books;
            self.strangers.retain(|(place, generation)| {
                books
                    .get(*place)
                    .is_some_and(|book| book.generation == *generation && book.name.is_none())
            });
        }
        self.writes_in(peer, place, Asked::default());
        place
    }

    fn new_book(&mut self) -> usize {
        self.strange_books += 1;
        self.free.pop().unwrap_or_else(|| {
            self.books.push(Book::default());
            self.books.len() - 1
        })
    }

    fn is_strange(&self, place: usize) -> bool {
        self.books
            .get(place)
            .is_some_and(|book| book.name.is_none())
    }

    /// The stranger that was seen first goes with all that it said; how many messages.
    fn drop_stranger(&mut self) -> u64 {
        while let Some((place, generation)) = self.strangers.pop_front() {
            let book = self.books.get(place);
            if book.is_some_and(|book| book.generation == generation && book.name.is_none()) {
                return self.take_book(place).messages.len() as u64;
            }
        }
        // There is none: what is counted of them is wrong.
        (self.strange_books, self.strange_bytes) = (0, 0);
        0
    }

    /// Takes a book out of its place, which is free then.
    fn take_book(&mut self, place: usize) -> Book {
        let Some(book) = self.books.get_mut(place) else {
            return Book::default();
        };
        let generation = book.generation.wrapping_add(1);
        let taken = std::mem::replace(
            book,
            Book {
                generation,
                ..Book::default()
            },
        );
        for peer in &taken.peers {
            self.peers.remove(peer);
        }
        self.bytes = self.bytes.saturating_sub(taken.bytes);
        if taken.name.is_none() {
            self.strange_bytes = self.strange_bytes.saturating_sub(taken.bytes);
            self.strange_books = self.strange_books.saturating_sub(1);
        }
        self.free.push(place);
        taken
    }

    /// The oldest message of all goes; false when there is none.
    fn drop_oldest(&mut self) -> bool {
        while let Some(Reverse((noted, place, generation))) = self.oldest.pop() {
            let Some(book) = self.books.get_mut(place) else {
                continue;
            };
            let Some(front) = book.messages.front().map(|captured| captured.id) else {
                continue;
            };
            if book.generation != generation {
                continue;
            }
            if noted < front {
                self.oldest.push(Reverse((front, place, generation)));
                continue;
            }
            let removed = book.messages.pop_front().as_ref().map_or(0, cost);
            book.bytes = book.bytes.saturating_sub(removed);
            self.bytes = self.bytes.saturating_sub(removed);
            if book.name.is_none() {
                self.strange_bytes = self.strange_bytes.saturating_sub(removed);
            }
            match book.messages.front() {
                Some(next) => self.oldest.push(Reverse((next.id, place, generation))),
                None => book.messages = VecDeque::new(),
            }
            if book.messages.capacity() > 4 * book.messages.len() + 8 {
                book.messages.shrink_to(2 * book.messages.len());
            }
            return true;
        }
        false
    }
}

impl Pending {
    fn days(&self) -> impl Iterator<Item = (Day, DayTraffic)> + '_ {
        let earlier = self.earlier.iter().copied();
        earlier.chain([(self.day, self.traffic)])
    }
}

/// Bytes that a message costs: its own, twice its place, as a ring has up to twice as many, and what the
/// allocator adds.
fn cost(captured: &Captured) -> usize {
    captured.bytes.len() + 2 * size_of::<Captured>() + 16
}

const DAY_MICROS: i64 = 86_400_000_000;
/// Peers of one device that are known at a time: sessions and addresses that it may come back with.
const PEERS: usize = 4;
/// Peers that are no device as far as is known.
const STRANGERS: usize = 1_024;
/// Their part of the bytes is one of so many.
const STRANGERS_SHARE: usize = 16;
/// Days that can wait to be written.
const MOST_DAYS: usize = 7;
/// Entries beyond this and two for each book are stale.
const LEAST_HEAP: usize = 64;

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
