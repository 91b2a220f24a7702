//! Before the image goes out: what the device can do, what is left of an earlier update, whether it tells of itself.

use std::time::Duration;

use super::{Ask, End, INSTANCE, Machine, RESULT, RUNNING, STATE};
use crate::domain::{FirmwareImage, UpdateMethod, UpdatePhase, UpdateResult, UpdateState};

impl Machine<'_> {
    pub(super) fn begin(&mut self) {
        let version = self.update.version.clone();
        let by = self.update.created_by.clone();
        self.tell(format!("{by} asks for {version}"));
        self.enter(UpdatePhase::Examine);
        self.ask(
            Ask::Read(INSTANCE),
            "the device is asked what it can do and where it stands (reads 5/0)",
        );
    }

    pub(super) fn examined(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {}
            End::Refused("4.04") => {
                return self.finish(
                    UpdateResult::UnsupFw,
                    "the device does not have object 5 (Firmware Update): it answered 4.04 to the read of 5/0"
                        .to_owned(),
                );
            }
            End::Refused(_) => {
                self.tell(format!(
                    "5/0 cannot be read ({error}); the image is offered all the same"
                ));
            }
            _ => {
                return self.try_again_or_lose(Ask::Read(INSTANCE), "the read of 5/0", error);
            }
        }
        if self.update.device.state == Some(3) {
            return self.wait_for_another();
        }
        let device = &self.update.device;
        let said = format!(
            "the device can do: {}; protocols {}; it is {}",
            match device.delivery {
                Some(0) => "pull",
                Some(1) => "push",
                Some(2) => "pull and push",
                _ => "it does not say whether pull or push",
            },
            protocols(&device.protocols),
            match device.state.and_then(UpdateState::from_code) {
                Some(state) => state.name(),
                None => "in no known state",
            }
        );
        self.tell(said);
        self.enter(UpdatePhase::ExamineVersion);
        self.ask(
            Ask::Read(RUNNING),
            "the device is asked which firmware runs (reads 3/0/3)",
        );
    }

    pub(super) fn version_examined(&mut self, end: End<'_>) {
        match end {
            End::Done => {}
            End::Refused(_) => {
                self.update.device.has_no_version = true;
                self.tell("3/0/3 cannot be read: which firmware runs is not known".to_owned());
            }
            _ => {
                return self.try_again_or_lose(Ask::Read(RUNNING), "the read of 3/0/3", "");
            }
        }
        if let Some(running) = self.update.device.version.clone() {
            self.update.device.version_before = Some(running.clone());
            if FirmwareImage::is_what_runs(&self.update.version, &running)
                && self.update.rollout.is_some()
            {
                return self.finish(
                    UpdateResult::Success,
                    format!("the device runs {running} already; nothing was sent"),
                );
            }
            if let Some(expected) = &self.update.only_from
                && !FirmwareImage::is_what_runs(expected, &running)
            {
                let why = format!(
                    "the device runs {running} by now, and not {expected} as the rollout left it: it keeps that"
                );
                return self.finish(UpdateResult::Cancelled, why);
            }
            self.tell(format!("the device runs {running}"));
        }
        match self.update.device.state.unwrap_or(0) {
            0 => self.watch_state(),
            _ => {
                self.enter(UpdatePhase::Reset);
                self.ask(
                    Ask::Reset,
                    "what is left of an earlier update is put away (an empty 5/0/1)",
                );
            }
        }
    }

    /// The device installs something that somebody else gave it.
    fn wait_for_another(&mut self) {
        if !self.may_try_again() {
            return self.finish(
                UpdateResult::UpdateFailed,
                "the device keeps installing something else (5/0/3 = 3)".to_owned(),
            );
        }
        self.tell("the device installs something else at the moment (5/0/3 = 3)".to_owned());
        self.wait(
            self.limits.stall,
            "the device is asked again when it should be through with that",
        );
    }

    pub(super) fn reset(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => self.tell("what was left of an earlier update is put away".to_owned()),
            End::Refused(_) => self.tell(format!(
                "what is left of an earlier update stays ({error}); the image is offered all the same"
            )),
            _ => {
                return self.try_again_or_lose(Ask::Reset, "the write of an empty 5/0/1", error);
            }
        }
        self.watch_state();
    }

    fn watch_state(&mut self) {
        self.enter(UpdatePhase::WatchState);
        self.ask(
            Ask::Observe(STATE),
            "the device is asked to tell of its state (observes 5/0/3)",
        );
    }

    pub(super) fn state_watched(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {
                self.update.device.is_observed = true;
                self.enter(UpdatePhase::WatchResult);
                self.ask(
                    Ask::Observe(RESULT),
                    "the device is asked to tell of the result (observes 5/0/5)",
                );
            }
            End::Refused(_) => {
                self.tell(format!(
                    "the device does not tell of its state by itself ({error}); it is asked from time to time"
                ));
                self.deliver();
            }
            _ => self.try_again_or_lose(Ask::Observe(STATE), "the observation of 5/0/3", error),
        }
    }

    pub(super) fn result_watched(&mut self) {
        // Where it is not observed, it is read when the state says that something has ended.
        self.deliver();
    }

    /// Offers the image.
    pub(super) fn deliver(&mut self) {
        let Some(method) = self.method() else {
            return;
        };
        self.enter(UpdatePhase::Deliver);
        self.update.method = Some(method);
        self.update.offers = self.update.offers.saturating_add(1);
        self.update.offered_at = Some(self.now);
        self.update.progress = None;
        self.update.state = UpdateState::Idle;
        let device = &mut self.update.device;
        // What it says from here on belongs to this image.
        device.stale_result = device.result.take();
        device.state = None;
        device.package_version = None;
        device.has_begun = false;
        device.refusal = None;
        match method {
            UpdateMethod::Push => self.ask(
                Ask::Push,
                "the image is written to the device block by block (5/0/0)",
            ),
            UpdateMethod::PullCoap | UpdateMethod::PullHttps => self.ask(
                Ask::Offer(method),
                "the device is told where the image is (writes 5/0/1)",
            ),
        }
    }

    /// The way of the image: as the operator says, or as the device says that it can.
    fn method(&mut self) -> Option<UpdateMethod> {
        if let Some(method) = self.update.method {
            return Some(method);
        }
        let device = &self.update.device;
        let speaks = |codes: &[i64]| device.protocols.iter().any(|code| codes.contains(code));
        let says_nothing = device.protocols.is_empty();
        let method = match device.delivery {
            Some(1) => UpdateMethod::Push,
            _ if says_nothing || speaks(&[HTTPS]) => UpdateMethod::PullHttps,
            _ if speaks(&[COAP, COAPS]) => UpdateMethod::PullCoap,
            Some(2) | None => UpdateMethod::Push,
            _ => {
                let reason = format!(
                    "the device only pulls, and only over {}, which this server does not serve firmware over",
                    protocols(&device.protocols)
                );
                self.finish(UpdateResult::UnsupProto, reason);
                return None;
            }
        };
        self.tell(format!(
            "the image goes by {method}, as the device says that it can"
        ));
        Some(method)
    }

    pub(super) fn delivered(&mut self, end: End<'_>, error: &str) {
        let is_push = self.update.method == Some(UpdateMethod::Push);
        match end {
            End::Done if is_push => {
                self.tell("the whole image was written to the device".to_owned());
                self.enter(UpdatePhase::Download);
                let time = self.patience(self.limits.start);
                self.wait(
                    time,
                    "the device is to say that it has the image (5/0/3 = 2)",
                );
                self.downloading();
            }
            End::Done => {
                self.tell("the device took the URI (5/0/1)".to_owned());
                self.wait_for_the_begin();
            }
            End::Refused(code) => self.refused(code, error),
            _ if self.update.offers < self.limits.tries => {
                self.tell(format!(
                    "no answer to the offer ({error}); it is made again"
                ));
                self.deliver();
            }
            _ => self.finish(
                UpdateResult::ConnectionLost,
                format!(
                    "the image was offered {} times and the device did not answer ({error})",
                    self.update.offers
                ),
            ),
        }
    }

    fn wait_for_the_begin(&mut self) {
        self.enter(UpdatePhase::Download);
        let time = self.patience(self.limits.start);
        self.wait(time, "the device is to begin the download (5/0/3 = 1)");
        self.downloading();
    }

    fn refused(&mut self, code: &str, error: &str) {
        let is_push = self.update.method == Some(UpdateMethod::Push);
        let what = self.what_was_offered();
        self.tell(format!("the device did not take {what}: {error}"));
        if let Some(code) = self.failure() {
            return self.fail_as_said(code);
        }
        let may_pass = code.starts_with("5.") || code == "4.08" || code == "4.29";
        if may_pass && self.update.offers < self.limits.tries {
            let time = self.limits.start;
            self.wait(time, "the device may take it later; it is offered again");
            return;
        }
        if !is_push && !may_pass {
            // One that downloads already refuses another URI.
            self.enter(UpdatePhase::Download);
            self.update.device.refusal = Some((code.to_owned(), error.to_owned()));
            return self.ask(
                Ask::Read(INSTANCE),
                "the device is asked where it stands, as it may have taken the URI before (reads 5/0)",
            );
        }
        self.finish_refused(code, error);
    }

    fn what_was_offered(&self) -> &'static str {
        match self.update.method {
            Some(UpdateMethod::Push) => "the image (5/0/0)",
            _ => "the URI (5/0/1)",
        }
    }

    /// The device did not take what it was offered, and nothing else came of it.
    pub(super) fn finish_refused(&mut self, code: &str, error: &str) {
        let is_push = self.update.method == Some(UpdateMethod::Push);
        let result = match (code, is_push) {
            ("4.13", true) => UpdateResult::NoStorage,
            ("4.15", true) => UpdateResult::UnsupFw,
            ("4.08", true) => UpdateResult::ConnectionLost,
            ("4.04" | "4.05", _) => UpdateResult::UnsupProto,
            ("4.00" | "4.02" | "4.06" | "4.13" | "4.15", false) => UpdateResult::InvalidUri,
            _ => UpdateResult::UpdateFailed,
        };
        let what = self.what_was_offered();
        self.finish(result, format!("the device did not take {what}: {error}"));
    }

    /// An answer got lost: asks again, or gives up.
    pub(super) fn try_again_or_lose(&mut self, ask: Ask, what: &str, error: &str) {
        if self.may_try_again() {
            self.tell(format!("no answer to {what}; it is asked again ({error})"));
            let awaited = self.update.awaited.clone();
            self.ask(ask, awaited);
            return;
        }
        let times = self.update.tries;
        self.finish(
            UpdateResult::ConnectionLost,
            format!("no answer to {what}, {times} times ({error})"),
        );
    }

    /// How long the device may take to say something by itself; one that does not is asked sooner.
    pub(super) fn patience(&self, time: Duration) -> Duration {
        if self.update.device.is_observed {
            time
        } else {
            time.min(ASK_AFTER)
        }
    }
}

/// The words of 5/0/8.
fn protocols(codes: &[i64]) -> String {
    if codes.is_empty() {
        return "not said".to_owned();
    }
    let names: Vec<String> = codes
        .iter()
        .map(|code| match code {
            0 => "CoAP".to_owned(),
            1 => "CoAPS".to_owned(),
            2 => "HTTP".to_owned(),
            3 => "HTTPS".to_owned(),
            4 => "CoAP over TCP".to_owned(),
            5 => "CoAP over TLS".to_owned(),
            code => format!("{code}"),
        })
        .collect();
    names.join(", ")
}

/// Codes of 5/0/8.
const COAP: i64 = 0;
const COAPS: i64 = 1;
const HTTPS: i64 = 3;

/// A device that does not tell by itself is asked after this time.
const ASK_AFTER: Duration = Duration::from_secs(30);
