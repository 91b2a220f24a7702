//! Two endpoints over a network that loses, doubles and reorders datagrams, by a seed.

use std::collections::BTreeMap;

use super::*;

/// What the network does, in parts of a hundred.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) loss: u64,
    pub(super) duplicate: u64,
    /// The longest way, in milliseconds; the shortest is 1.
    pub(super) delay_ms: u64,
    pub(super) seed: u64,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Device,
}

pub(super) struct Pair {
    pub(super) server: Endpoint,
    pub(super) device: Endpoint,
    pub(super) now: Instant,
    faults: Faults,
    random: u64,
    on_the_way: BTreeMap<(Instant, u64), (Side, Vec<u8>)>,
    count: u64,
}

impl Pair {
    pub(super) fn new(config: EndpointConfig, faults: Faults) -> Self {
        Self {
            server: Endpoint::new(config.clone(), Counters::default(), faults.seed),
            device: Endpoint::new(config, Counters::default(), !faults.seed),
            now: Instant::now(),
            random: faults.seed | 1,
            faults,
            on_the_way: BTreeMap::new(),
            count: 0,
        }
    }

    pub(super) fn end(&mut self, side: Side) -> &mut Endpoint {
        match side {
            Side::Server => &mut self.server,
            Side::Device => &mut self.device,
        }
    }

    /// Goes to the next moment in which something happens; false when nothing ever will.
    pub(super) fn step(&mut self) -> bool {
        for (side, to) in [(Side::Server, Side::Device), (Side::Device, Side::Server)] {
            while let Some(transmit) = self.end(side).poll_transmit() {
                self.send(to, transmit.datagram);
            }
        }
        let arrival = self.on_the_way.keys().next().map(|(at, _)| *at);
        let timers = [self.server.next_timeout(), self.device.next_timeout()];
        let Some(next) = timers.into_iter().chain([arrival]).flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        let now = self.now;
        while let Some(entry) = self.on_the_way.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let (to, datagram) = entry.remove();
            let from = peer_of(match to {
                Side::Server => Side::Device,
                Side::Device => Side::Server,
            });
            self.end(to).handle_datagram(now, from, &datagram);
        }
        for side in [Side::Server, Side::Device] {
            self.end(side).handle_timeout(now);
            self.end(side).assert_limits();
        }
        true
    }

    fn send(&mut self, to: Side, datagram: Vec<u8>) {
        if self.chance(self.faults.loss) {
            return;
        }
        let copies = 1 + usize::from(self.chance(self.faults.duplicate));
        for _ in 0..copies {
            let delay = 1 + self.draw() % self.faults.delay_ms.max(1);
            let at = self.now + Duration::from_millis(delay);
            self.count += 1;
            self.on_the_way
                .insert((at, self.count), (to, datagram.clone()));
        }
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }

    fn draw(&mut self) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

pub(super) fn peer_of(side: Side) -> Peer {
    match side {
        Side::Server => Peer::udp(([192, 0, 2, 100], 5683).into()),
        Side::Device => device(),
    }
}
