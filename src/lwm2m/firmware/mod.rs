//! The state machine of object 5, as the server follows it (OMA-TS-LightweightM2M Core E.6), for versions 1.0 and 1.1
//! of the object and for devices that skip, repeat or forget reports.
//!
//! [`advance`] is the whole interface: what happened goes in, the [`FirmwareUpdate`] is changed in place, and what is to
//! be asked of the device and told in the timeline comes out. At most one operation of an update is outstanding. It
//! reads no clock and does no I/O; whoever drives it stores the update, its new lines and its operation in one commit.
//!
//! ```text
//! Examine -> ExamineVersion -> [Reset] -> WatchState -> WatchResult -> Deliver -> Download -> Install
//!                                                                         ^          |
//!                                                                         +----------+ (it never began, it fell back)
//! Install -> Restart -> Verify -> VerifyVersion -> Over          anywhere before Restart: Cancel -> Over
//! ```
//!
//! Nothing that a device says keeps an update alive for ever: every wait has an end ([`UpdateLimits`]), after which the
//! device is asked, and so often asked without news the update is given up in words that say why.

mod begin;
mod download;
mod install;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::domain::{
    self, FirmwareUpdate, Node, OperationKind, OperationRequest, OperationStatus, Path, Progress,
    Timestamp, UpdateLimits, UpdateMethod, UpdatePhase, UpdateResult, UpdateState, Value,
};

/// 5/0, the instance.
pub const INSTANCE: Path = Path::instance(5, 0);
/// 5/0/0, what a push writes.
pub const PACKAGE: Path = Path::resource(5, 0, 0);
/// 5/0/1, where the device finds the image.
pub const PACKAGE_URI: Path = Path::resource(5, 0, 1);
/// 5/0/2, executed to install.
pub const UPDATE: Path = Path::resource(5, 0, 2);
/// 5/0/3, where the device stands.
pub const STATE: Path = Path::resource(5, 0, 3);
/// 5/0/5, how it went.
pub const RESULT: Path = Path::resource(5, 0, 5);
/// 3/0/3, which firmware runs.
pub const RUNNING: Path = Path::resource(3, 0, 3);

const PACKAGE_VERSION: Path = Path::resource(5, 0, 7);
const PROTOCOLS: Path = Path::resource(5, 0, 8);
const DELIVERY: Path = Path::resource(5, 0, 9);

/// What happened.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The update was asked for.
    Begun,
    /// Somebody has given it up.
    Cancelled {
        /// Who, for the timeline.
        by: &'a str,
    },
    /// [`FirmwareUpdate::until`] is reached.
    Due,
    /// The operation that the update waits for has its final status. The values that it brought were told before.
    Ended {
        /// How it ended.
        status: OperationStatus,
        /// The CoAP code that the device answered with; none when it did not.
        code: Option<&'a str>,
        /// What is said of a failure.
        error: Option<&'a str>,
    },
    /// What was to be asked cannot be asked.
    Impossible {
        /// Why, for the timeline.
        why: &'a str,
    },
    /// The device has registered anew: its observations are gone, and it may run something else.
    Registered {
        /// Whether it announces object 5.
        has_object: bool,
    },
    /// So much of the image has gone to the device.
    Served(Progress),
    /// Values of the device have arrived, by whatever way.
    Values(&'a [Node]),
}

/// What the device is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To install (executes 5/0/2).
    Install,
    /// To fetch the image (writes its URI to 5/0/1).
    Offer(UpdateMethod),
    /// To tell of a resource by itself (observes it).
    Observe(Path),
    /// To take the image block by block (writes 5/0/0).
    Push,
    /// What it is (reads it).
    Read(Path),
    /// To forget the image (writes nothing to 5/0/1).
    Reset,
}

impl Ask {
    /// The operation; `uri` is the Package URI of an offer.
    pub fn request(self, update: &FirmwareUpdate, uri: String) -> OperationRequest {
        let write = |uri: String| {
            let mut request = OperationRequest::new(OperationKind::Write, vec![PACKAGE_URI]);
            request.values = vec![Node {
                path: PACKAGE_URI,
                value: Value::String(uri),
                time: None,
            }];
            request
        };
        match self {
            Self::Install => OperationRequest::new(OperationKind::Execute, vec![UPDATE]),
            Self::Offer(_) => write(uri),
            Self::Observe(path) => OperationRequest::new(OperationKind::Observe, vec![path]),
            Self::Push => {
                let mut request = OperationRequest::new(OperationKind::Write, vec![PACKAGE]);
                request.image = Some(update.firmware_id);
                request
            }
            Self::Read(path) => OperationRequest::new(OperationKind::Read, vec![path]),
            Self::Reset => write(String::new()),
        }
    }
}

/// What follows from something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What to ask of the device now; the operation that was awaited before, if there is one, is not any more.
    pub ask: Option<Ask>,
    /// New lines of the timeline, each with the step that it belongs to.
    pub told: Vec<(UpdatePhase, String)>,
    /// True when the update is to be stored, as something in it has changed.
    pub changed: bool,
}

/// What an update cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLate {
    /// It is over.
    #[error("the update is over")]
    Over,
    /// The device is installing.
    #[error("the device installs the image already; that cannot be taken back")]
    Installing,
    /// It was given up before.
    #[error("the update is being cancelled already")]
    Cancelling,
}

/// Whether an update can be given up as things are.
///
/// # Errors
/// It is too late.
pub fn may_cancel(update: &FirmwareUpdate) -> Result<(), TooLate> {
    match update.phase {
        _ if !update.is_active() => Err(TooLate::Over),
        UpdatePhase::Cancel => Err(TooLate::Cancelling),
        // It was told to install, and perhaps does.
        UpdatePhase::Check
        | UpdatePhase::Restart
        | UpdatePhase::Verify
        | UpdatePhase::VerifyVersion => Err(TooLate::Installing),
        _ => Ok(()),
    }
}

/// Takes an update on by what happened.
pub fn advance(
    update: &mut FirmwareUpdate,
    limits: &UpdateLimits,
    now: Timestamp,
    event: Event<'_>,
) -> Turn {
    let before = update.clone();
    let mut machine = Machine {
        update,
        limits,
        now,
        turn: Turn::default(),
    };
    if machine.update.is_active() {
        machine.handle(event);
    }
    let mut turn = machine.turn;
    turn.changed = *update != before || turn.ask.is_some() || !turn.told.is_empty();
    if turn.changed {
        update.updated_at = now;
    }
    turn
}

struct Machine<'a> {
    update: &'a mut FirmwareUpdate,
    limits: &'a UpdateLimits,
    now: Timestamp,
    turn: Turn,
}

/// How an operation of ours ended, in the words of the machine.
#[derive(Clone, Copy, Debug)]
enum End<'a> {
    /// The device did it.
    Done,
    /// The device answered with this code.
    Refused(&'a str),
    /// No answer came, and the operation was tried as often as it may be.
    Lost,
    /// The device was not heard of for as long as is waited.
    Gone,
    /// Somebody took the operation back.
    TakenBack,
}

impl Machine<'_> {
    fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Begun => self.begin(),
            Event::Cancelled { by } => self.cancel(by),
            Event::Due => {
                if self.update.until.is_some_and(|until| until <= self.now) {
                    self.due();
                }
            }
            Event::Ended {
                status,
                code,
                error,
            } => {
                self.update.operation = None;
                let end = match (status, code) {
                    (OperationStatus::Confirmed, _) => End::Done,
                    (OperationStatus::Expired, _) => End::Gone,
                    (OperationStatus::Cancelled, _) => End::TakenBack,
                    // With a 2.xx: it answered, but the answer could not be read.
                    (_, Some(code)) => End::Refused(code),
                    _ => End::Lost,
                };
                self.ended(end, error.unwrap_or_default());
            }
            Event::Impossible { why } => {
                self.finish(UpdateResult::UpdateFailed, why.to_owned());
            }
            Event::Registered { has_object } => self.registered(has_object),
            Event::Served(progress) => self.served(progress),
            Event::Values(nodes) => self.values(nodes),
        }
    }

    fn ended(&mut self, end: End<'_>, error: &str) {
        match end {
            End::TakenBack if self.update.phase != UpdatePhase::Cancel => {
                return self.finish(
                    UpdateResult::Cancelled,
                    "somebody took back the operation that it waited for".to_owned(),
                );
            }
            End::Gone if self.update.phase != UpdatePhase::Cancel => {
                let days = span(self.limits.wait_for_device);
                let version = self.update.version.clone();
                return self.finish(
                    UpdateResult::ConnectionLost,
                    format!("the device did not take the next request for {version} within {days}"),
                );
            }
            _ => {}
        }
        match self.update.phase {
            UpdatePhase::Examine => self.examined(end, error),
            UpdatePhase::ExamineVersion => self.version_examined(end),
            UpdatePhase::Reset => self.reset(end, error),
            UpdatePhase::WatchState => self.state_watched(end, error),
            UpdatePhase::WatchResult => self.result_watched(),
            UpdatePhase::Deliver => self.delivered(end, error),
            UpdatePhase::Download => self.looked_at_download(end, error),
            UpdatePhase::Install => self.told_to_install(end, error),
            UpdatePhase::Check => self.checked(end, error),
            UpdatePhase::Restart | UpdatePhase::Verify => self.verified(end, error),
            UpdatePhase::VerifyVersion => self.version_verified(end, error),
            UpdatePhase::Cancel => self.cancelled(end, error),
            UpdatePhase::Over => {}
        }
    }

    fn due(&mut self) {
        if self.update.operation.is_some() {
            // The operation has an end of its own, which is about to come.
            self.update.until = Some(self.now.plus(self.limits.wait_for_device));
            return;
        }
        self.update.until = None;
        match self.update.phase {
            UpdatePhase::Examine => self.ask(
                Ask::Read(INSTANCE),
                "the device is asked again where it stands",
            ),
            UpdatePhase::Deliver => self.deliver(),
            UpdatePhase::Download => self.look_at_download(),
            UpdatePhase::Restart | UpdatePhase::Verify | UpdatePhase::VerifyVersion => {
                self.verify();
            }
            _ => {}
        }
    }

    /// Takes note of what the device says, and does what follows from it while nothing else is awaited.
    fn values(&mut self, nodes: &[Node]) {
        let mut is_news = false;
        for node in nodes {
            let device = &mut self.update.device;
            match (node.path, &node.value) {
                (path, Value::Integer(code)) if path == STATE => {
                    is_news = true;
                    device.state = Some(*code);
                }
                (path, Value::Integer(code)) if path == RESULT => {
                    is_news = true;
                    device.result = Some(*code);
                    if *code == 0 {
                        device.stale_result = None;
                    }
                }
                (path, Value::String(version)) if path == PACKAGE_VERSION => {
                    device.package_version = Some(shortened(version));
                }
                (path, Value::String(version)) if path == RUNNING => {
                    device.version = Some(shortened(version));
                }
                (path, Value::Integer(method)) if path == DELIVERY => {
                    device.delivery = Some(*method);
                }
                (path, Value::Integer(protocol)) if path.truncated(3) == PROTOCOLS => {
                    let is_new = !device.protocols.contains(protocol);
                    if is_new && device.protocols.len() < MAX_PROTOCOLS {
                        device.protocols.push(*protocol);
                    }
                }
                _ => {}
            }
        }
        if !is_news {
            return;
        }
        match self.update.phase {
            UpdatePhase::Deliver => {
                self.note_state();
                // It did not take the image, and says only now why.
                if self.update.operation.is_none()
                    && let Some(code) = self.failure()
                {
                    self.fail_as_said(code);
                }
            }
            UpdatePhase::Download => self.downloading(),
            UpdatePhase::Install | UpdatePhase::Check => self.installing(),
            UpdatePhase::Restart => self.restarting(),
            _ => {}
        }
    }

    fn registered(&mut self, has_object: bool) {
        if self.update.phase == UpdatePhase::Cancel {
            return;
        }
        let is_installing = matches!(
            self.update.phase,
            UpdatePhase::Install
                | UpdatePhase::Check
                | UpdatePhase::Restart
                | UpdatePhase::Verify
                | UpdatePhase::VerifyVersion
        );
        if is_installing {
            self.restarted();
        } else if !has_object {
            self.finish(
                UpdateResult::UnsupFw,
                "the device does not announce object 5 (Firmware Update)".to_owned(),
            );
        } else if self.update.phase == UpdatePhase::Download {
            self.registered_while_downloading();
        }
    }

    /// Gives it up because somebody says so; [`may_cancel`] was asked before.
    fn cancel(&mut self, by: &str) {
        if may_cancel(self.update).is_err() {
            return;
        }
        self.tell(format!("{by} cancels the update"));
        self.update.because = Some(format!("{by} cancelled it"));
        if self.update.offers == 0 {
            // The device has heard of nothing.
            let reason = format!("{by} cancelled it before the image was offered to the device");
            return self.finish(UpdateResult::Cancelled, reason);
        }
        self.enter(UpdatePhase::Cancel);
        self.ask(
            Ask::Reset,
            "the device is told to forget the image (an empty 5/0/1)",
        );
    }

    fn cancelled(&mut self, end: End<'_>, error: &str) {
        let so = match end {
            End::Done => "the device has forgotten the image".to_owned(),
            End::Refused(_) => format!("the device keeps the image ({error})"),
            End::Lost | End::Gone => "the device could not be told".to_owned(),
            End::TakenBack => "the device was not told".to_owned(),
        };
        let reason = self.update.because.take().unwrap_or_default();
        self.finish(UpdateResult::Cancelled, format!("{reason}; {so}"));
    }

    /// The next step; what was counted for the one before counts no more.
    fn enter(&mut self, phase: UpdatePhase) {
        if self.update.phase != phase {
            self.update.tries = 0;
        }
        self.update.phase = phase;
        self.update.until = None;
    }

    /// Waits for something that the device does by itself.
    fn wait(&mut self, time: Duration, awaited: impl Into<String>) {
        self.update.awaited = awaited.into();
        self.update.until = Some(self.now.plus(time));
    }

    fn ask(&mut self, ask: Ask, awaited: impl Into<String>) {
        self.wait(self.limits.wait_for_device, awaited);
        self.turn.ask = Some(ask);
    }

    /// Counts a try that brought nothing; true when there may be another.
    fn may_try_again(&mut self) -> bool {
        self.update.tries = self.update.tries.saturating_add(1);
        self.update.tries < self.limits.tries
    }

    fn tell(&mut self, text: String) {
        let steps = self.update.steps.saturating_add(1);
        if steps > FirmwareUpdate::MAX_STEPS {
            return;
        }
        self.update.steps = steps;
        let text = if steps == FirmwareUpdate::MAX_STEPS {
            format!("{text} (the timeline ends here: no more lines are kept)")
        } else {
            text
        };
        self.turn.told.push((self.update.phase, text));
    }

    fn finish(&mut self, result: UpdateResult, reason: String) {
        let words = if result == UpdateResult::Success {
            format!("done: {reason}")
        } else {
            format!("over, {result}: {reason}")
        };
        // The last line is always told.
        self.update.steps = self
            .update
            .steps
            .min(FirmwareUpdate::MAX_STEPS.saturating_sub(2));
        self.tell(words);
        self.update.phase = UpdatePhase::Over;
        self.update.state = UpdateState::Idle;
        self.update.result = result;
        self.update.reason = Some(reason);
        self.update.awaited = String::new();
        self.update.until = None;
        self.update.because = None;
        self.update.operation = None;
        self.update.finished_at = Some(self.now);
        self.turn.ask = None;
    }

    /// Ends it with what the device says in 5/0/5.
    fn fail_as_said(&mut self, code: i64) {
        match UpdateResult::from_code(code) {
            Some(result) => {
                let reason = format!("the device says 5/0/5 = {code}: {}", result.meaning());
                self.finish(result, reason);
            }
            None => self.finish(
                UpdateResult::UpdateFailed,
                format!("the device says 5/0/5 = {code}, which means nothing"),
            ),
        }
    }

    /// A result that says that it went wrong, and is not left from the update before.
    fn failure(&self) -> Option<i64> {
        let device = &self.update.device;
        let result = device.result.filter(|code| !matches!(code, 0 | 1))?;
        let is_stale = device.stale_result == Some(result) && !device.has_begun;
        (!is_stale).then_some(result)
    }

    /// Takes over where the device says that it stands, and tells of it when that is new.
    fn note_state(&mut self) -> Option<UpdateState> {
        let code = self.update.device.state?;
        let Some(state) = UpdateState::from_code(code) else {
            self.tell(format!(
                "the device says 5/0/3 = {code}, which means nothing"
            ));
            self.update.device.state = None;
            return None;
        };
        if state != UpdateState::Idle {
            self.update.device.has_begun = true;
        }
        if state != self.update.state {
            self.tell(format!("the device says that it is {state}"));
            self.update.state = state;
        }
        Some(state)
    }
}

/// A time in words.
fn span(time: Duration) -> String {
    domain::span(time.as_secs())
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_VERSION_CHARS).collect()
}

/// Of what a device says of its versions so much is kept.
const MAX_VERSION_CHARS: usize = 255;
/// 5/0/8 knows six.
const MAX_PROTOCOLS: usize = 16;
