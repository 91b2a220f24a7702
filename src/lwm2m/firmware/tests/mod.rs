//! Updates in virtual time: a script says what the device does, and what is asked and told is looked at.

mod devices_that_do_it_right;
mod devices_that_do_it_wrong;
mod whatever_happens;

use std::time::Duration;

use super::*;
use crate::domain::{
    EndpointId, EndpointName, FirmwareId, FirmwareImage, FirmwareUpdateId, NewUpdate, OperationId,
    RolloutId, RolloutStep, Selection,
};

pub(super) const LIMITS: UpdateLimits = UpdateLimits {
    wait_for_device: Duration::from_secs(604_800),
    start: Duration::from_secs(600),
    stall: Duration::from_secs(900),
    install: Duration::from_secs(1800),
    report: Duration::from_secs(120),
    tries: 3,
};

/// One update with everything that came of it.
pub(super) struct Script {
    pub(super) update: FirmwareUpdate,
    pub(super) now: Timestamp,
    /// What is asked and not answered.
    pub(super) asked: Option<Ask>,
    pub(super) told: Vec<String>,
}

pub(super) fn image(version: &str) -> FirmwareImage {
    FirmwareImage {
        id: FirmwareId(7),
        version: version.to_owned(),
        name: format!("{version}.bin"),
        key: "0".repeat(32),
        sha256: "0".repeat(64),
        size: 1024 * 1024,
        notes: String::new(),
        selection: Selection::default(),
        created_at: Timestamp::clamped_from_millis(0),
        created_by: "admin".to_owned(),
    }
}

impl Script {
    pub(super) fn new(method: Option<UpdateMethod>, rollout: Option<RolloutId>) -> Self {
        let now = Timestamp::clamped_from_millis(1_700_000_000_000);
        let new = NewUpdate {
            image: image("1.2.0"),
            method,
            rollout: rollout.map(|id| RolloutStep {
                id,
                is_back: false,
                device: EndpointId(1),
                only_from: None,
            }),
            created_by: "olga".to_owned(),
            by: None,
        };
        let device = (EndpointId(1), EndpointName::new("a").expect("a name"));
        let update = FirmwareUpdate::new(FirmwareUpdateId(1), device, &new, now);
        let mut script = Self {
            update,
            now,
            asked: None,
            told: Vec::new(),
        };
        script.happens(Event::Begun);
        script
    }

    pub(super) fn happens(&mut self, event: Event<'_>) {
        let turn = advance(&mut self.update, &LIMITS, self.now, event);
        if turn.ask.is_some() {
            self.asked = turn.ask;
            self.update.operation = Some(OperationId(self.told.len() as i64));
        }
        if !self.update.is_active() {
            self.asked = None;
        }
        self.told
            .extend(turn.told.into_iter().map(|(_, text)| text));
    }

    /// The operation that is outstanding ends like this.
    pub(super) fn answers(&mut self, ask: Ask, code: &str) {
        assert_eq!(self.asked.take(), Some(ask), "{}", self.story());
        let (status, error) = if code.starts_with("2.") {
            (OperationStatus::Confirmed, None)
        } else {
            (
                OperationStatus::Failed,
                Some(format!("the device answered {code}")),
            )
        };
        self.happens(Event::Ended {
            status,
            code: Some(code),
            error: error.as_deref(),
        });
    }

    /// The operation that is outstanding is not answered.
    pub(super) fn is_silent(&mut self, ask: Ask) {
        assert_eq!(self.asked.take(), Some(ask), "{}", self.story());
        self.happens(Event::Ended {
            status: OperationStatus::Failed,
            code: None,
            error: Some("the device did not acknowledge the request"),
        });
    }

    /// A read of 5/0 is answered with these values of 5/0/3 and 5/0/5. Whoever drives the machine does not tell of
    /// the end of an operation that is not awaited any more.
    pub(super) fn stands(&mut self, state: i64, result: i64) {
        let ask = Ask::Read(INSTANCE);
        assert_eq!(self.asked.take(), Some(ask), "{}", self.story());
        self.says(&[(STATE, state), (RESULT, result)]);
        if self.update.is_active() && self.asked.is_none() {
            self.asked = Some(ask);
            self.answers(ask, "2.05");
        }
    }

    pub(super) fn runs(&mut self, version: &str) {
        self.happens(Event::Values(&[node(
            RUNNING,
            Value::String(version.to_owned()),
        )]));
        self.answers(Ask::Read(RUNNING), "2.05");
    }

    /// The device tells of integers by itself.
    pub(super) fn says(&mut self, values: &[(Path, i64)]) {
        let nodes: Vec<Node> = values
            .iter()
            .map(|(path, value)| node(*path, Value::Integer(*value)))
            .collect();
        self.happens(Event::Values(&nodes));
    }

    pub(super) fn passes(&mut self, time: Duration) {
        self.now = self.now.plus(time);
        self.happens(Event::Due);
    }

    pub(super) fn registers(&mut self) {
        self.happens(Event::Registered { has_object: true });
    }

    /// Everything up to the offer, by a device that is idle and runs 1.1.0.
    pub(super) fn up_to_the_offer(&mut self) {
        self.stands(0, 0);
        self.runs("1.1.0");
        self.answers(Ask::Observe(STATE), "2.05");
        self.answers(Ask::Observe(RESULT), "2.05");
    }

    /// … and until it is told to install.
    pub(super) fn up_to_the_order(&mut self) {
        self.up_to_the_offer();
        self.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
        self.says(&[(STATE, 1)]);
        self.says(&[(STATE, 2)]);
    }

    /// The device took the URI.
    pub(super) fn offered_by_https() -> Self {
        let mut script = Self::new(None, None);
        script.up_to_the_offer();
        script.answers(Ask::Offer(UpdateMethod::PullHttps), "2.04");
        script
    }

    /// The device has the image and agreed to install it.
    pub(super) fn told_to_install() -> Self {
        let mut script = Self::new(None, None);
        script.up_to_the_order();
        script.answers(Ask::Install, "2.04");
        script
    }

    pub(super) fn story(&self) -> String {
        format!("{}\n{:#?}", self.told.join("\n"), self.update)
    }

    /// It is over like this, and the last line says so with these words.
    pub(super) fn ended(&self, result: UpdateResult, words: &str) {
        assert_eq!(self.update.result, result, "{}", self.story());
        let last = self.told.last().expect("a line");
        assert!(last.contains(words), "{}", self.story());
        let reason = self.update.reason.as_deref().expect("a reason");
        assert!(last.contains(reason), "{}", self.story());
        assert_eq!(self.update.state, UpdateState::Idle);
        assert_eq!(self.update.phase, UpdatePhase::Over);
        assert_eq!((self.update.until, self.asked), (None, None));
        assert_eq!(self.update.finished_at, Some(self.now));
    }

    pub(super) fn has_told(&self, words: &str) {
        assert!(
            self.told.iter().any(|line| line.contains(words)),
            "{words}: {}",
            self.story()
        );
    }
}

pub(super) fn node(path: Path, value: Value) -> Node {
    Node {
        path,
        value,
        time: None,
    }
}

pub(super) fn blocks(done: u64) -> Event<'static> {
    Event::Served(Progress {
        done: done * 1024,
        total: 1024 * 1024,
        block: 1024,
    })
}
