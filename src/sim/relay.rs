//! A relay between one device and its server: two UDP sockets with [`Faults`] between them.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::faults::Faults;

/// Ends when [`Relay::stop`] is called. Stays on its thread, as the device does.
#[derive(Clone)]
pub(super) struct Relay {
    inner: Rc<Inner>,
}

struct Inner {
    /// The device sends here.
    inside: UdpSocket,
    /// And the server gets it from here.
    outside: RefCell<Rc<UdpSocket>>,
    server: SocketAddr,
    faults: RefCell<Faults>,
    rebound: Notify,
    stop: Notify,
}

impl Relay {
    /// A relay to `server`, and the address where the device finds it.
    pub(super) fn start(server: SocketAddr, faults: Faults) -> io::Result<(Self, SocketAddr)> {
        let inside = bind(here(server))?;
        let address = inside.local_addr()?;
        let outside = outside(server)?;
        let inner = Inner {
            inside,
            outside: RefCell::new(Rc::new(outside)),
            server,
            faults: RefCell::new(faults),
            rebound: Notify::new(),
            stop: Notify::new(),
        };
        Ok((
            Self {
                inner: Rc::new(inner),
            },
            address,
        ))
    }

    /// Changes the faults.
    pub(super) fn with_faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner.faults.borrow_mut());
    }

    /// Takes another port towards the server, as a NAT does that has forgotten the old one.
    pub(super) fn rebind(&self) -> io::Result<()> {
        let outside = outside(self.inner.server)?;
        self.inner.outside.replace(Rc::new(outside));
        self.inner.rebound.notify_one();
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.inner.stop.notify_one();
    }

    pub(super) async fn run(self) {
        let inner = &*self.inner;
        let mut device = None;
        let (mut up, mut down) = (vec![0; MAX_DATAGRAM], vec![0; MAX_DATAGRAM]);
        loop {
            let outside = Rc::clone(&inner.outside.borrow());
            let timeout = inner.faults.borrow().next_timeout();
            // What cannot be sent is lost, which CoAP is made for.
            tokio::select! {
                () = inner.stop.notified() => return,
                () = inner.rebound.notified() => {}
                received = inner.inside.recv_from(&mut up) => {
                    let Ok((length, from)) = received else { continue };
                    device = Some(from);
                    let datagram = up.get(..length).unwrap_or_default().to_vec();
                    let sent = inner.faults.borrow_mut().take_from_device(Instant::now(), datagram);
                    for datagram in sent {
                        let _ = outside.send(&datagram).await;
                    }
                }
                received = outside.recv(&mut down) => {
                    let (Ok(length), Some(device)) = (received, device) else { continue };
                    let datagram = down.get(..length).unwrap_or_default().to_vec();
                    let passed = inner.faults.borrow_mut().take_from_server(datagram);
                    if let Some(datagram) = passed {
                        let _ = inner.inside.send_to(&datagram, device).await;
                    }
                }
                () = super::client::sleep_until(timeout) => {
                    let due = inner.faults.borrow_mut().due(Instant::now());
                    for datagram in due {
                        let _ = outside.send(&datagram).await;
                    }
                }
            }
        }
    }
}

fn outside(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A free port of this machine, in the server's family.
fn here(server: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, 0)
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
