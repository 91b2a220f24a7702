//! A bad network between one device and a server: datagrams are lost, doubled, overtaken and late, by a seed. The
//! device sends to [`Network::address`], and the server sees one port of the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// What becomes of datagrams, either way; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Netem {
    lost_percent: u64,
    doubled_percent: u64,
    overtaken_percent: u64,
    latency: Duration,
    seed: u64,
}

impl Netem {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Of a hundred so many do not come.
    pub(crate) fn loss(mut self, percent: u64) -> Self {
        self.lost_percent = percent;
        self
    }

    /// Of a hundred so many come twice, the second time a little later.
    pub(crate) fn duplicate(mut self, percent: u64) -> Self {
        self.doubled_percent = percent;
        self
    }

    /// Of a hundred so many come a little later than what was sent behind them.
    pub(crate) fn reorder(mut self, percent: u64) -> Self {
        self.overtaken_percent = percent;
        self
    }

    /// All come so much later.
    pub(crate) fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Puts it in front of a server on loopback.
    pub(crate) async fn before(self, server: SocketAddr) -> Network {
        let inside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let inside = inside.expect("a free port");
        let outside = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let outside = outside.expect("a free port");
        outside.connect(server).await.expect("a server");
        let address = inside.local_addr().expect("a bound socket");
        let counts = Arc::<Counts>::default();
        let wire = Wire {
            netem: self,
            dice: self.seed,
            inside,
            outside,
            device: None,
            late: Vec::new(),
            counts: Arc::clone(&counts),
        };
        Network {
            address,
            counts,
            task: tokio::spawn(wire.run()),
        }
    }
}

/// A network at work; it is gone when this is dropped.
pub(crate) struct Network {
    /// Where the device finds the server.
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counts {
    lost: AtomicU64,
    doubled: AtomicU64,
    overtaken: AtomicU64,
}

impl Network {
    /// How many datagrams were lost, doubled and overtaken.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let counts = &self.counts;
        [&counts.lost, &counts.doubled, &counts.overtaken]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone, Copy)]
enum To {
    Device,
    Server,
}

struct Wire {
    netem: Netem,
    dice: u64,
    inside: UdpSocket,
    outside: UdpSocket,
    device: Option<SocketAddr>,
    late: Vec<(Instant, To, Vec<u8>)>,
    counts: Arc<Counts>,
}

impl Wire {
    async fn run(mut self) {
        let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
        loop {
            let next = self.late.iter().map(|(at, ..)| *at).min();
            // "Port unreachable", while the server is down, is nothing that a device hears of.
            tokio::select! {
                received = self.inside.recv_from(&mut up) => {
                    if let Ok((length, from)) = received {
                        self.device = Some(from);
                        self.take(To::Server, &up[..length]).await;
                    }
                }
                received = self.outside.recv(&mut down) => {
                    if let Ok(length) = received {
                        self.take(To::Device, &down[..length]).await;
                    }
                }
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                    self.pass_what_is_due().await;
                }
            }
        }
    }

    async fn take(&mut self, to: To, datagram: &[u8]) {
        if self.strikes(self.netem.lost_percent) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let mut at = Instant::now() + self.netem.latency;
        if self.strikes(self.netem.doubled_percent) {
            self.counts.doubled.fetch_add(1, Ordering::Relaxed);
            self.late.push((at + LATER, to, datagram.to_vec()));
        }
        if self.strikes(self.netem.overtaken_percent) {
            self.counts.overtaken.fetch_add(1, Ordering::Relaxed);
            at += LATER;
        }
        if at <= Instant::now() {
            return self.pass(to, datagram).await;
        }
        self.late.push((at, to, datagram.to_vec()));
    }

    async fn pass_what_is_due(&mut self) {
        let now = Instant::now();
        // Of two at the same time the first one first.
        let (due, late) = std::mem::take(&mut self.late)
            .into_iter()
            .partition(|(at, ..)| *at <= now);
        self.late = late;
        let mut due: Vec<_> = due;
        due.sort_by_key(|(at, ..)| *at);
        for (_, to, datagram) in due {
            self.pass(to, &datagram).await;
        }
    }

    async fn pass(&self, to: To, datagram: &[u8]) {
        let _ = match (to, self.device) {
            (To::Server, _) => self.outside.send(datagram).await,
            (To::Device, Some(device)) => self.inside.send_to(datagram, device).await,
            (To::Device, None) => Ok(0),
        };
    }

    /// True for so many of a hundred.
    fn strikes(&mut self, percent: u64) -> bool {
        // SplitMix64.
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.dice;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % 100 < percent
    }
}

/// Long enough to be overtaken, short enough to be no loss.
const LATER: Duration = Duration::from_millis(30);
