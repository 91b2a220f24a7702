//! The sockets and the clock of a run.

use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::time::{TimeSpec, TimeValLike as _};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::crowd::{Crowd, Request, sockets};
use super::echo::Echo;
use super::report::{Report, Tally};
use super::socket::Socket;
use super::{LoadSettings, Mode};
use crate::net::batch::{Inbox, Outbox};
use crate::net::dtls::ClientError;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The system refuses something.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A client cannot prove itself.
    #[error("{0}")]
    Credentials(String),
    /// No DTLS session.
    #[error("no DTLS session: {0}")]
    Dtls(#[from] ClientError),
    /// Nothing to put load on.
    #[error("{failed} of {clients} clients could not register: {why}")]
    NotRegistered {
        /// How many.
        failed: u64,
        /// Of how many.
        clients: u32,
        /// What the server said of the last one.
        why: String,
    },
    /// Nothing to notify.
    #[error(
        "the server observes nothing of {unobserved} of {clients} clients: it needs an observation template for /3303/0/5700"
    )]
    NotObserved {
        /// How many.
        unobserved: usize,
        /// Of how many.
        clients: u32,
    },
}

impl From<nix::Error> for LoadError {
    fn from(error: nix::Error) -> Self {
        Self::Io(error.into())
    }
}

/// Does what is asked, in this thread. `tell` hears in words how far it is.
///
/// # Errors
/// The clients could not be made ready.
pub fn run(settings: &LoadSettings, tell: &mut dyn FnMut(&str)) -> Result<Report, LoadError> {
    // A socket for each client; what is not granted is told by the first that is missing.
    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
    let ceiling = match settings.ceiling.is_zero() {
        true => None,
        false => Some(ceiling(settings)?),
    };
    if let Some(ceiling) = ceiling {
        tell(&format!(
            "This generator gets {ceiling:.0} answers a second from an echo"
        ));
    }
    let mut engine = Engine::new(settings.clone())?;
    let begun = Instant::now();
    if settings.mode != Mode::Register {
        tell(&format!("Registering {} clients", settings.clients));
        engine.register()?;
    }
    let set_up = (settings.mode != Mode::Register).then(|| begun.elapsed());
    tell(&format!(
        "Load for {} s: {}",
        settings.duration.as_secs_f64(),
        settings.mode.name()
    ));
    let (tally, in_time, lasted) = engine.measure(settings.mode.into())?;
    if !settings.stay {
        tell("Deregistering");
        engine.deregister()?;
    }
    engine.close();
    let latency_ms = tally.latencies();
    Ok(Report {
        mode: settings.mode.name(),
        clients: settings.clients,
        duration_s: lasted.as_secs_f64(),
        requests: tally.answers,
        acknowledged: tally.acknowledged,
        errors: tally.errors,
        retransmissions: tally.retransmissions,
        rate_per_s: in_time as f64 / lasted.as_secs_f64(),
        latency_ms,
        offered_per_s: settings.rate,
        ceiling_per_s: ceiling,
        set_up_s: set_up.map(|set_up| set_up.as_secs_f64()),
        last_error: tally.last_error,
    })
}

/// Answers a second from an echo of the size of these requests.
fn ceiling(settings: &LoadSettings) -> Result<f64, LoadError> {
    let echo = Echo::start()?;
    let mut engine = Engine::new(LoadSettings {
        server: echo.address,
        mode: Mode::Update,
        clients: settings.clients.min(ECHO_CLIENTS),
        duration: settings.ceiling,
        rate: None,
        security: None,
        ..settings.clone()
    })?;
    let (_, in_time, lasted) = engine.measure(Request::Update)?;
    Ok(in_time as f64 / lasted.as_secs_f64())
}

struct Engine {
    settings: LoadSettings,
    crowd: Crowd,
    sockets: Vec<Socket>,
    /// Those with something to send.
    full: Vec<u32>,
    /// Those that may be shaking hands.
    shaking: Vec<u32>,
    epoll: Epoll,
    timer: TimerFd,
    events: Vec<EpollEvent>,
    inbox: Inbox,
    outbox: Outbox,
}

impl Engine {
    fn new(settings: LoadSettings) -> Result<Self, LoadError> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let timer = TimerFd::new(
            ClockId::CLOCK_MONOTONIC,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        epoll.add(&timer, EpollEvent::new(EpollFlags::EPOLLIN, TIMER))?;
        let mut all = Vec::new();
        for number in 0..sockets(&settings) {
            let security = match &settings.security {
                Some(security) => {
                    let name = settings.name(number).ok_or_else(|| {
                        LoadError::Credentials(format!("`{}` is no prefix", settings.prefix))
                    })?;
                    let of = security.of(&name, u64::from(number) + 1);
                    Some(of.map_err(LoadError::Credentials)?.client)
                }
                None => None,
            };
            let socket = Socket::open(settings.server, security)?;
            epoll.add(
                &socket,
                EpollEvent::new(EpollFlags::EPOLLIN, u64::from(number)),
            )?;
            all.push(socket);
        }
        let clock = SystemTime::now().duration_since(UNIX_EPOCH);
        let seed = clock.map_or(1, |clock| clock.subsec_micros() as u16);
        Ok(Self {
            crowd: Crowd::new(settings.clone(), seed),
            sockets: all,
            full: Vec::new(),
            shaking: Vec::new(),
            epoll,
            timer,
            events: vec![EpollEvent::empty(); EVENTS],
            inbox: Inbox::new(DATAGRAM),
            outbox: Outbox::default(),
            settings,
        })
    }

    /// All clients register, and are observed if they are to notify.
    fn register(&mut self) -> Result<(), LoadError> {
        self.all(Request::Register)?;
        let tally = &self.crowd.tally;
        if tally.errors > 0 {
            return Err(LoadError::NotRegistered {
                failed: tally.errors,
                clients: self.settings.clients,
                why: tally.last_error.clone().unwrap_or_default(),
            });
        }
        let mut before = (self.crowd.observations, Instant::now());
        while self.crowd.unobserved() > 0 {
            if self.crowd.observations != before.0 {
                before = (self.crowd.observations, Instant::now());
            }
            if before.1.elapsed() > OBSERVED_WITHIN {
                return Err(LoadError::NotObserved {
                    unobserved: self.crowd.unobserved(),
                    clients: self.settings.clients,
                });
            }
            self.step(None)?;
        }
        Ok(())
    }

    fn deregister(&mut self) -> Result<(), LoadError> {
        self.all(Request::Deregister)
    }

    /// Each client does something once.
    fn all(&mut self, what: Request) -> Result<(), LoadError> {
        self.crowd.begin();
        while self.crowd.idle() > 0 || self.crowd.under_way() > 0 {
            self.ask_all(what);
            self.step(None)?;
        }
        Ok(())
    }

    fn ask_all(&mut self, what: Request) {
        let now = Instant::now();
        while self.crowd.can_ask() {
            self.crowd.ask(now, now, what);
        }
    }

    /// Does something over and over. What was counted, how much was acknowledged while requests were made, and
    /// how long that was.
    fn measure(&mut self, what: Request) -> Result<(Tally, u64, Duration), LoadError> {
        self.crowd.begin();
        let begun = Instant::now();
        let end = begun + self.settings.duration;
        let mut asked = 0_u64;
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            let Some(rate) = self.settings.rate else {
                self.ask_all(what);
                self.step(Some(end))?;
                continue;
            };
            let due = |number: u64| begun + Duration::from_secs_f64(number as f64 / rate);
            while due(asked) <= now && self.crowd.can_ask() {
                self.crowd.ask(now, due(asked), what);
                asked += 1;
            }
            // Whoever is late waits for an answer, not for the clock.
            let next = due(asked);
            self.step(Some(if next > now { next.min(end) } else { end }))?;
        }
        let lasted = begun.elapsed();
        let in_time = self.crowd.tally.acknowledged;
        self.crowd.end();
        let patience = Instant::now() + DRAIN;
        while self.crowd.under_way() > 0 && Instant::now() < patience {
            self.step(None)?;
        }
        let mut tally = std::mem::take(&mut self.crowd.tally);
        let unanswered = self.crowd.under_way();
        if unanswered > 0 {
            tally.errors += u64::from(unanswered);
            tally.last_error = Some("no answer".to_owned());
        }
        Ok((tally, in_time, lasted))
    }

    /// Sends what there is, waits for something to happen, but no longer than until then, and takes it.
    fn step(&mut self, until: Option<Instant>) -> Result<(), LoadError> {
        self.send()?;
        let now = Instant::now();
        let timeout = self.crowd.next_timeout();
        let next = [until, timeout, Some(now + TICK)].into_iter().flatten();
        let wait = next.min().unwrap_or(now).saturating_duration_since(now);
        let timeout = if wait < SHORT {
            EpollTimeout::ZERO
        } else {
            let wait = i64::try_from(wait.as_nanos()).unwrap_or(i64::MAX);
            self.timer.set(
                Expiration::OneShot(TimeSpec::nanoseconds(wait)),
                TimerSetTimeFlags::empty(),
            )?;
            EpollTimeout::NONE
        };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let now = Instant::now();
        for event in self.events.get(..count).unwrap_or_default() {
            let number = event.data();
            if number == TIMER {
                let _ = self.timer.wait();
                continue;
            }
            let Some(socket) = self.sockets.get_mut(number as usize) else {
                continue;
            };
            let number = number as u32;
            let crowd = &mut self.crowd;
            while socket.receive(&mut self.inbox, &mut |datagram| {
                crowd.handle_datagram(now, number, datagram);
            })? {}
            if socket.is_full() {
                self.full.push(number);
            }
        }
        self.crowd.handle_timeout(now);
        self.shake(now)
    }

    fn shake(&mut self, now: Instant) -> Result<(), LoadError> {
        let mut shaking = std::mem::take(&mut self.shaking);
        let mut index = 0;
        while let Some(&number) = shaking.get(index) {
            let Some(socket) = self.sockets.get_mut(number as usize) else {
                break;
            };
            if socket.look_at_handshake(now)? {
                index += 1;
            } else {
                shaking.swap_remove(index);
            }
            if socket.is_full() {
                self.full.push(number);
            }
        }
        self.shaking = shaking;
        Ok(())
    }

    fn send(&mut self) -> Result<(), LoadError> {
        for (number, datagram) in self.crowd.take_outgoing() {
            let Some(socket) = self.sockets.get_mut(number as usize) else {
                continue;
            };
            socket.put(datagram)?;
            self.full.push(number);
            if self.settings.security.is_some() && socket.is_shaking() {
                self.shaking.push(number);
            }
        }
        for number in std::mem::take(&mut self.full) {
            if let Some(socket) = self.sockets.get_mut(number as usize)
                && !socket.flush(&mut self.outbox)
            {
                self.full.push(number);
            }
        }
        Ok(())
    }

    /// Ends sessions of DTLS.
    fn close(&mut self) {
        for socket in &mut self.sockets {
            socket.close();
            socket.flush(&mut self.outbox);
        }
    }
}

impl From<Mode> for Request {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Register => Self::Register,
            Mode::Update => Self::Update,
            Mode::Notify => Self::Notify,
            Mode::Send => Self::Send,
        }
    }
}

/// Marks the timer among the sockets.
const TIMER: u64 = u64::MAX;
/// Sockets that are looked at in one go.
const EVENTS: usize = 1024;
/// The largest datagram of a server that these clients understand.
const DATAGRAM: usize = 2048;
/// A wait that is not worth a system call.
const SHORT: Duration = Duration::from_micros(20);
/// How often what has no deadline is looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the server may take from one observation to the next.
const OBSERVED_WITHIN: Duration = Duration::from_secs(10);
/// How long answers are waited for in the end: as long as a request is sent again.
const DRAIN: Duration = Duration::from_secs(30);
/// Clients that are enough to see how fast the generator is.
const ECHO_CLIENTS: u32 = 10_000;
