//! Whatever happens in whatever order: once the device is willing and time has passed, it observes
//! what is wanted and nothing else, and what is on disk says the same.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::super::Input;
use super::bench::Bench;
use super::wishes::{Willing, attributes, edited, observe, template};
use crate::coap::{Code, ExchangeFailure, Response};
use crate::domain::{OperationKind, OperationRequest, Token, WantedState};
use crate::store::ObservationTemplate;

#[derive(Clone, Copy, Debug)]
enum Turn {
    /// A template is switched on or off, or changed.
    Template(usize, u8),
    /// The device gets other tags.
    Tag(bool),
    /// Somebody observes or cancels, one path of a few.
    Ask {
        what: u8,
        passive: bool,
    },
    /// The device does what it was asked.
    Answer,
    /// It says no.
    Refuse,
    /// It does not answer.
    Stay,
    /// It resets.
    Reset,
    /// It ends an observation by an error.
    Lose,
    Register(bool),
    Update,
    Deregister,
    Pass(u16),
    Restart,
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        3 => (0_usize..4, 0_u8..4).prop_map(|(at, how)| Turn::Template(at, how)),
        1 => any::<bool>().prop_map(Turn::Tag),
        3 => (0_u8..6, any::<bool>()).prop_map(|(what, passive)| Turn::Ask { what, passive }),
        5 => Just(Turn::Answer),
        1 => Just(Turn::Refuse),
        1 => Just(Turn::Stay),
        1 => Just(Turn::Reset),
        2 => Just(Turn::Lose),
        2 => any::<bool>().prop_map(Turn::Register),
        1 => Just(Turn::Update),
        1 => Just(Turn::Deregister),
        2 => (1_u16..2000).prop_map(Turn::Pass),
        1 => Just(Turn::Restart),
    ]
}

struct Play {
    bench: Bench,
    device: Willing,
    templates: Vec<(ObservationTemplate, bool)>,
    query: &'static str,
}

const LINKS: &str = "</3/0>,</3303/0>,</3304/0>";

impl Play {
    fn new(sleeps: bool) -> Self {
        let tagged = edited(&observe(2, "/3304/0/5700"), |template| {
            template.selection.tags = vec!["lab".to_owned()];
        });
        let composite = template(
            3,
            OperationKind::ObserveComposite,
            &["/3303/0/5700", "/3/0"],
        );
        let templates = [
            observe(1, "/3303/0/5700"),
            tagged,
            composite,
            observe(4, "/3/0"),
        ];
        let query = if sleeps {
            "ep=thing&lwm2m=1.1&lt=8640000&Q"
        } else {
            "ep=thing&lwm2m=1.1&lt=8640000"
        };
        Self {
            bench: Bench::new(),
            device: Willing::default(),
            templates: templates.into_iter().map(|one| (one, false)).collect(),
            query,
        }
    }

    fn is_registered(&self) -> bool {
        self.bench.session.registration.is_some()
    }

    fn is_asked(&self) -> bool {
        self.bench.session.exchange().is_some()
    }

    fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Template(at, how) => {
                if let Some((template, is_there)) = self.templates.get_mut(at) {
                    match how {
                        0 => *is_there = !*is_there,
                        1 => *template = edited(template, |one| one.enabled = !one.enabled),
                        2 => {
                            *template = edited(template, |one| {
                                one.attributes = if one.attributes.is_empty() {
                                    attributes(&[("pmax", "60"), ("pmin", "1")])
                                } else {
                                    Vec::new()
                                };
                            });
                        }
                        _ => *template = edited(template, |_| {}),
                    }
                }
                let there = self.templates.iter().filter(|(_, is_there)| *is_there);
                let templates = there.map(|(template, _)| template.clone()).collect();
                self.bench.tell(templates);
            }
            Turn::Tag(lab) => self.bench.tag(if lab { &["lab"] } else { &[] }),
            Turn::Ask { what, passive } => {
                let (observes, paths) = match what {
                    0 => (OperationKind::Observe, vec!["/3303/0/5700"]),
                    1 => (OperationKind::Observe, vec!["/3/0"]),
                    2 => (OperationKind::ObserveComposite, vec!["/3/0", "/3304/0"]),
                    3 => (OperationKind::CancelObserve, vec!["/3303/0/5700"]),
                    4 => (OperationKind::CancelObserve, vec!["/3/0"]),
                    _ => (
                        OperationKind::CancelObserveComposite,
                        vec!["/3/0", "/3304/0"],
                    ),
                };
                let paths = paths.into_iter().map(super::bench::path).collect();
                self.bench.want(OperationRequest {
                    passive: passive && what >= 3,
                    ..OperationRequest::new(observes, paths)
                });
            }
            Turn::Answer => {
                if self.is_asked() {
                    self.answer();
                }
            }
            Turn::Refuse => {
                if self.is_asked() {
                    self.settle_answered();
                    let token = self.newest_token();
                    self.device.observes.remove(&token);
                    self.bench.answer(Response::new(Code::NOT_FOUND));
                }
            }
            Turn::Stay | Turn::Reset => {
                if self.is_asked() {
                    self.settle_answered();
                    let failure = if matches!(turn, Turn::Stay) {
                        ExchangeFailure::NotAcknowledged
                    } else {
                        ExchangeFailure::Reset
                    };
                    self.bench.fail(failure);
                }
            }
            Turn::Lose => {
                let first = self.device.observes.keys().next().copied();
                if let Some(token) = first.filter(|_| self.is_registered()) {
                    self.device.observes.remove(&token);
                    self.notify(token, Code::NOT_FOUND);
                }
            }
            Turn::Register(short) => {
                let links = if short { "</3/0>,</3303/0>" } else { LINKS };
                self.device.observes.clear();
                let register = self.bench.register(self.query, links);
                self.bench.feed(register);
            }
            Turn::Update if self.is_registered() => {
                let update = self.bench.update("");
                self.bench.feed(update);
            }
            Turn::Deregister if self.is_registered() => {
                self.device.observes.clear();
                let deregister = self.bench.deregister();
                self.bench.feed(deregister);
            }
            Turn::Update | Turn::Deregister => {}
            Turn::Pass(seconds) => {
                self.bench.wait(Duration::from_secs(u64::from(seconds)));
                self.bench.feed(Input::Tick);
            }
            Turn::Restart => {
                self.bench.restart();
                let templates = self.bench.templates.clone();
                self.bench.tell(templates);
            }
        }
    }

    fn newest_token(&self) -> Token {
        let sent = self.bench.sent();
        sent.last().map(|(_, sent)| sent.token).unwrap_or_default()
    }

    /// However the exchange ends, it is the newest one.
    fn settle_answered(&mut self) {
        self.device.answered = self.bench.sent().len();
    }

    fn answer(&mut self) {
        self.device.answered = self.bench.sent().len().saturating_sub(1);
        self.device.answer_one(&mut self.bench);
    }

    /// A notification of the device, which knows what a Reset means.
    fn notify(&mut self, token: Token, code: Code) {
        use super::super::Action;
        use super::bench::Done;
        let Input::Notification { key, response, .. } = self.bench.notification(token, 1, "1")
        else {
            return;
        };
        let response = if code == Code::CONTENT {
            response
        } else {
            Response::new(code)
        };
        let before = self.bench.done.len();
        // The registry rejects what no session watches.
        let is_watched = self.bench.session.tokens().any(|known| known == token);
        self.bench.feed(Input::Notification {
            key,
            response,
            more: None,
        });
        let rejected = self
            .bench
            .done
            .iter()
            .skip(before)
            .any(|done| matches!(done, Done::Acted(Action::Reject(key)) if key.token == token));
        assert_eq!(rejected, !is_watched);
        if rejected {
            self.device.observes.remove(&token);
        }
    }

    /// The device is there, awake and willing, and has all the time that is needed.
    fn meet(&mut self) {
        if !self.is_registered() {
            self.take(Turn::Register(false));
        }
        for _ in 0..12 {
            self.bench.wait(Duration::from_secs(4_000));
            self.bench.feed(Input::Tick);
            self.take(Turn::Update);
            let mut rounds = 0;
            while self.is_asked() {
                self.answer();
                rounds += 1;
                assert!(rounds < 100, "{:?}", self.bench.asked());
            }
            // A change, told by everything that observes.
            for token in self.device.observes.keys().copied().collect::<Vec<_>>() {
                self.notify(token, Code::CONTENT);
            }
        }
        let wanted = self.bench.wanted();
        let refused = |state| state == WantedState::Refused;
        for wanted in wanted.iter().filter(|wanted| wanted.is_wanted()) {
            assert!(
                wanted.state == WantedState::Active || refused(wanted.state),
                "{wanted:?}"
            );
        }
        let active = wanted
            .iter()
            .filter(|wanted| wanted.is_wanted() && !refused(wanted.state));
        let mut expected = BTreeSet::new();
        for wanted in active {
            let found = self
                .bench
                .session
                .observation(wanted.composite, &wanted.paths);
            expected.insert(found.expect("an observation").token);
        }
        let held: BTreeSet<Token> = self.bench.session.tokens().collect();
        let observes: BTreeSet<Token> = self.device.observes.keys().copied().collect();
        assert_eq!(
            held, expected,
            "what is kept is what is wanted: {wanted:#?}"
        );
        assert_eq!(observes, expected, "and what the device observes");
        let stored: BTreeSet<Token> = self
            .bench
            .on_disk()
            .observations
            .iter()
            .map(|observation| observation.token)
            .collect();
        assert_eq!(stored, expected, "and what is on disk");
        // What the templates want of it is wanted.
        let env_templates = self.bench.templates.iter().filter(|one| one.enabled);
        for template in env_templates.filter(|one| one.selection.is_everyone()) {
            assert!(
                wanted.iter().any(|wanted| wanted
                    .template
                    .is_some_and(|version| version.id == template.id)
                    || wanted
                        .paths
                        .iter()
                        .all(|path| template.paths.contains(path))),
                "{template:?} is forgotten"
            );
        }
    }
}

/// The cancel has no longer anything to do when it is looked at, after what the loss changed was
/// found and before it was written: once it was written last, and the wish came back after a restart.
#[test]
fn a_wish_that_is_cancelled_while_its_observation_is_lost_is_gone_from_the_disk_too() {
    let mut play = Play::new(false);
    let ask = |what| Turn::Ask {
        what,
        passive: false,
    };
    for turn in [
        Turn::Register(false),
        ask(1),
        ask(4),
        Turn::Answer,
        Turn::Restart,
        Turn::Lose,
    ] {
        play.take(turn);
    }
    assert_eq!(play.bench.wanted(), []);
    play.meet();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn in_the_end(sleeps in any::<bool>(), turns in prop::collection::vec(turn(), 1..50)) {
        let mut play = Play::new(sleeps);
        play.take(Turn::Register(false));
        for turn in turns {
            play.take(turn);
        }
        play.meet();
    }
}
