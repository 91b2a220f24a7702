//! A relay between one device and its server: two UDP sockets with [`Faults`] between them, and DTLS
//! on the side of the server where the device has credentials. The faults are those of the messages:
//! a copy is a new record.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::faults::Faults;
use super::security::SecureLink;

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
    /// None: what the device says goes out as it is.
    session: RefCell<Option<SecureLink>>,
    rebound: Notify,
    stop: Notify,
}

impl Relay {
    /// A relay to `server`, and the address where the device finds it.
    pub(super) fn start(
        server: SocketAddr,
        faults: Faults,
        session: Option<SecureLink>,
    ) -> io::Result<(Self, SocketAddr)> {
        let inside = bind(here(server))?;
        let address = inside.local_addr()?;
        let outside = outside(server)?;
        let inner = Inner {
            inside,
            outside: RefCell::new(Rc::new(outside)),
            server,
            faults: RefCell::new(faults),
            session: RefCell::new(session),
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

    /// Takes another port towards the server, as a NAT does that has forgotten the old one. Where the
    /// device notices, a DTLS session without connection ids is given up.
    pub(super) fn rebind(&self, is_noticed: bool) -> io::Result<()> {
        if is_noticed && let Some(session) = &mut *self.inner.session.borrow_mut() {
            session.move_on();
        }
        let outside = outside(self.inner.server)?;
        self.inner.outside.replace(Rc::new(outside));
        self.inner.rebound.notify_one();
        Ok(())
    }

    /// A DTLS session is worth nothing any more.
    pub(super) fn renew_session(&self) {
        if let Some(session) = &mut *self.inner.session.borrow_mut() {
            session.renew();
        }
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
            let timeout = inner.next_timeout();
            // What cannot be sent is lost, which CoAP is made for.
            tokio::select! {
                () = inner.stop.notified() => {
                    if let Some(session) = &mut *inner.session.borrow_mut() {
                        session.close();
                    }
                    return inner.transmit(&outside).await;
                }
                () = inner.rebound.notified() => {}
                received = inner.inside.recv_from(&mut up) => {
                    let Ok((length, from)) = received else { continue };
                    device = Some(from);
                    let datagram = up.get(..length).unwrap_or_default().to_vec();
                    let sent = inner.faults.borrow_mut().take_from_device(Instant::now(), datagram);
                    inner.send(&outside, sent).await;
                }
                received = outside.recv(&mut down) => {
                    let (Ok(length), Some(device)) = (received, device) else { continue };
                    let datagram = down.get(..length).unwrap_or_default();
                    for datagram in inner.opened(datagram) {
                        let passed = inner.faults.borrow_mut().take_from_server(datagram);
                        if let Some(datagram) = passed {
                            let _ = inner.inside.send_to(&datagram, device).await;
                        }
                    }
                    inner.transmit(&outside).await;
                }
                () = super::client::sleep_until(timeout) => {
                    let due = inner.faults.borrow_mut().due(Instant::now());
                    if let Some(session) = &mut *inner.session.borrow_mut() {
                        session.handle_timeout(Instant::now());
                    }
                    inner.send(&outside, due).await;
                }
            }
        }
    }
}

impl Inner {
    fn next_timeout(&self) -> Option<Instant> {
        let session = self.session.borrow();
        let session = session.as_ref().and_then(SecureLink::next_timeout);
        let faults = self.faults.borrow().next_timeout();
        [faults, session].into_iter().flatten().min()
    }

    /// What the device says goes to the server, and with it what DTLS has to say.
    async fn send(&self, outside: &UdpSocket, datagrams: Vec<Vec<u8>>) {
        for datagram in datagrams {
            let plain = match &mut *self.session.borrow_mut() {
                Some(session) => {
                    session.send(Instant::now(), datagram);
                    None
                }
                None => Some(datagram),
            };
            if let Some(datagram) = plain {
                let _ = outside.send(&datagram).await;
            }
        }
        self.transmit(outside).await;
    }

    /// What a datagram of the server says to the device.
    fn opened(&self, datagram: &[u8]) -> Vec<Vec<u8>> {
        match &mut *self.session.borrow_mut() {
            Some(session) => session.handle_datagram(Instant::now(), datagram),
            None => vec![datagram.to_vec()],
        }
    }

    async fn transmit(&self, outside: &UdpSocket) {
        while let Some(datagram) = self.poll_transmit() {
            let _ = outside.send(&datagram).await;
        }
    }

    fn poll_transmit(&self) -> Option<Vec<u8>> {
        self.session.borrow_mut().as_mut()?.poll_transmit()
    }
}

fn outside(server: SocketAddr) -> io::Result<UdpSocket> {
    let from: IpAddr = match server {
        // A port of one address is not one of all.
        _ if server.ip().is_loopback() => server.ip(),
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = std::net::UdpSocket::bind((from, 0))?;
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A free port for a device and its relay to talk to each other, in the server's family. Where the whole of
/// 127.0.0.0/8 is this machine each process takes an address of its own: thousands of devices have more
/// sockets than one address has ports.
pub(super) fn here(server: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match server {
        SocketAddr::V4(_) if cfg!(target_os = "linux") => {
            let [.., high, low] = std::process::id().to_be_bytes();
            Ipv4Addr::new(127, 64 + high % 128, low, 1).into()
        }
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(loopback, 0)
}

/// The largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;
