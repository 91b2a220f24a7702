//! A sleeping device under every order of events: whatever happens, one request at a time goes out,
//! never while the device sleeps, in the order asked, and every operation ends in the end.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{Action, Input, Job};
use super::bench::{Bench, content};
use crate::coap::ExchangeFailure;
use crate::domain::{OperationId, OperationKind, OperationStatus};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// Somebody asks for something.
    Ask(OperationKind),
    /// The device answers what it was asked, if anything.
    Answer,
    /// The device does not answer what it was asked, if anything.
    Stay(ExchangeFailure),
    /// The device sends a message of its own: an Update, a Send or a Register.
    Wake(u8),
    /// Nothing, for so many seconds.
    Pass(u16),
    /// Its actor ends, if nothing keeps it, and is made anew.
    Rest,
    /// The server is killed and started again.
    Restart,
    /// The DTLS session of the device ends.
    Lose,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => prop_oneof![Just(OperationKind::Read), Just(OperationKind::Execute)].prop_map(Turn::Ask),
        4 => Just(Turn::Answer),
        2 => prop_oneof![
            Just(ExchangeFailure::WindowClosed),
            Just(ExchangeFailure::NotAnswered),
        ]
        .prop_map(Turn::Stay),
        3 => (0_u8..3).prop_map(Turn::Wake),
        3 => (1_u16..5000).prop_map(Turn::Pass),
        2 => Just(Turn::Rest),
        1 => Just(Turn::Restart),
        2 => Just(Turn::Lose),
    ]
}

/// The bench, and what the test itself knows of the device.
struct Play {
    bench: Bench,
    heard_at: Option<std::time::Instant>,
    /// Its DTLS sessions so far; none: it speaks plain CoAP.
    sessions: Option<u64>,
    /// True while it has none.
    is_lost: bool,
    /// How much of what the session did was looked at.
    seen: usize,
    outstanding: bool,
    /// What was awaited from before a restart.
    awaiting: bool,
    asked: Vec<(OperationId, OperationKind)>,
    /// True once an operation was acknowledged and not answered: it lets the others pass.
    some_may_pass: bool,
}

impl Play {
    fn new(is_secure: bool) -> Self {
        let mut bench = Bench::new();
        if is_secure {
            bench.handshake(1, "thing");
        }
        let register = bench.register("ep=thing&lwm2m=1.1&lt=8640000&Q", "</3/0>");
        bench.feed(register);
        let heard_at = Some(bench.now.instant);
        let mut play = Self {
            bench,
            heard_at,
            sessions: is_secure.then_some(1),
            is_lost: false,
            seen: 0,
            outstanding: false,
            awaiting: false,
            asked: Vec::new(),
            some_may_pass: false,
        };
        play.look();
        play
    }

    /// Checks what the session has done since the last look.
    fn look(&mut self) {
        let window = self.bench.settings.awake;
        let now = self.bench.now.instant;
        let is_awake = self.heard_at.is_some_and(|at| now < at + window);
        let done: Vec<(bool, bool, bool)> = self
            .bench
            .actions()
            .skip(self.seen)
            .map(|action| {
                (
                    matches!(action, Action::Transmit { .. }),
                    matches!(action, Action::Await { .. }),
                    matches!(action, Action::CancelExchange(_)),
                )
            })
            .collect();
        self.seen += done.len();
        for (transmitted, awaits, cancelled) in done {
            if cancelled {
                self.outstanding = false;
                self.awaiting = false;
            }
            if awaits {
                assert!(!self.outstanding, "one exchange at a time");
                self.outstanding = true;
                self.awaiting = true;
            }
            if transmitted {
                assert!(!self.outstanding, "one exchange at a time");
                assert!(is_awake, "nothing is sent to a device that sleeps");
                assert!(!self.is_lost, "nothing is sent where there is no session");
                self.outstanding = true;
                self.check_the_order();
            }
        }
    }

    /// Of those that wait, none was asked for before the one that is on its way.
    fn check_the_order(&self) {
        let session = &self.bench.session;
        if let Some(in_flight) = &session.in_flight
            && let Job::Operation(sent) = &in_flight.job
            && !self.some_may_pass
        {
            let overtaken = session.queue.iter().find(|waiting| waiting.id < sent.id);
            assert!(overtaken.is_none(), "{overtaken:?} was asked for earlier");
        }
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Ask(kind) => {
                let path = if kind == OperationKind::Execute {
                    "/3/0/4"
                } else {
                    "/3/0/0"
                };
                let operation = self.bench.operate(kind, path);
                self.asked.push((operation.id, kind));
            }
            Turn::Answer if self.outstanding => {
                self.outstanding = false;
                self.awaiting = false;
                self.heard_at = Some(self.bench.now.instant);
                self.bench.answer(content("x"));
            }
            Turn::Stay(failure) if self.outstanding => {
                self.outstanding = false;
                let failure = if std::mem::take(&mut self.awaiting) {
                    ExchangeFailure::NotAnswered
                } else {
                    failure
                };
                self.some_may_pass |= failure == ExchangeFailure::NotAnswered;
                self.bench.fail(failure);
            }
            Turn::Answer | Turn::Stay(_) => {}
            Turn::Lose if self.sessions.is_some() && !self.is_lost => self.lose(),
            Turn::Lose => {}
            Turn::Wake(how) => {
                if let Some(sessions) = &mut self.sessions
                    && std::mem::take(&mut self.is_lost)
                {
                    *sessions += 1;
                    self.bench.handshake(*sessions, "thing");
                    // A Send does not move the registration: what waits goes on waiting.
                    self.is_lost = how == 1;
                    if self.is_lost {
                        *sessions -= 1;
                    }
                }
                self.heard_at = Some(self.bench.now.instant);
                let input = match how {
                    0 => self.bench.update(""),
                    1 => self.bench.send_temperature(20.0),
                    _ => self
                        .bench
                        .register("ep=thing&lwm2m=1.1&lt=8640000&Q", "</3/0>"),
                };
                self.bench.feed(input);
            }
            Turn::Pass(seconds) => {
                self.bench.wait(Duration::from_secs(u64::from(seconds)));
                self.bench.feed(Input::Tick);
            }
            Turn::Rest => {
                if self.bench.rest() {
                    assert!(!self.outstanding, "its answer would be for nobody");
                }
            }
            Turn::Restart => {
                self.outstanding = false;
                self.awaiting = false;
                self.heard_at = None;
                self.bench.restart();
            }
        }
        self.look();
    }

    fn lose(&mut self) {
        let registered = self.bench.session.registration.as_ref();
        let peer = registered.expect("a registration").peer;
        self.bench.gate.close(peer);
        self.is_lost = true;
        // Its end is told like any other; what waited for an answer from before a restart too.
        if std::mem::take(&mut self.outstanding) {
            self.awaiting = false;
            let learned = self.bench.session.learned.clone();
            self.bench.fail(ExchangeFailure::Disconnected);
            assert_eq!(self.bench.session.learned, learned, "nothing is learnt");
        }
    }

    /// From now on the device is well: it wakes and answers everything.
    fn get_well(&mut self) {
        for _ in 0..self.asked.len() * 5 + 5 {
            self.bench.wait(Duration::from_secs(1000));
            self.look();
            self.take(Turn::Wake(0));
            for _ in 0..=self.asked.len() {
                self.take(Turn::Answer);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_at_a_time_never_to_a_sleeper_and_all_end(
        is_secure in any::<bool>(),
        turns in prop::collection::vec(turn(), 1..60),
    ) {
        let mut play = Play::new(is_secure);
        for turn in turns {
            play.take(turn);
        }
        play.get_well();
        for (id, kind) in play.asked.clone() {
            let operation = play.bench.stored(id);
            prop_assert!(operation.status.is_final(), "{operation:?}");
            prop_assert!(operation.attempts <= operation.max_attempts);
            match operation.status {
                OperationStatus::Confirmed => {}
                OperationStatus::Failed => {
                    let error = operation.error.expect("a reason");
                    let unknown = error.contains("outcome unknown");
                    prop_assert!(unknown == (kind == OperationKind::Execute), "{error}");
                }
                other => prop_assert!(false, "{other}"),
            }
        }
        let waits = play.bench.session.queue.len();
        prop_assert_eq!(waits, 0);
    }
}
