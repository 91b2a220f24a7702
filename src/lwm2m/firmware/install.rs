//! From "install it" to "it runs", or not.

use std::time::Duration;

use super::{Ask, End, INSTANCE, Machine, RUNNING, span};
use crate::domain::{FirmwareImage, Timestamp, UpdatePhase, UpdateResult, UpdateState};

impl Machine<'_> {
    /// Tells the device to install what it has.
    pub(super) fn install(&mut self) {
        self.enter(UpdatePhase::Install);
        self.update.state = UpdateState::Downloaded;
        self.update.installs = self.update.installs.saturating_add(1);
        if let Some(version) = &self.update.device.package_version {
            let text = format!("the package that the device has calls itself {version} (5/0/7)");
            self.tell(text);
        }
        self.ask(
            Ask::Install,
            "the device is told to install (executes 5/0/2)",
        );
    }

    /// The device has said something before it answered.
    pub(super) fn installing(&mut self) {
        self.note_state();
        if let Some(code) = self.failure() {
            self.fail_as_said(code);
        }
    }

    pub(super) fn told_to_install(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {
                self.tell("the device was told to install and agreed".to_owned());
                self.wait_for_restart();
            }
            End::Refused(_) => {
                let reason = format!("the device refused to install: {error}");
                self.tell(reason.clone());
                self.update.because = Some(reason);
                self.check(
                    "the device refused to install; it is asked where it stands (reads 5/0)",
                );
            }
            _ => {
                self.tell(format!("no answer to the order to install ({error})"));
                self.update.because = None;
                self.check(
                    "no answer to the order to install; before it is given again, the device is asked where it stands (reads 5/0)",
                );
            }
        }
    }

    fn check(&mut self, awaited: &str) {
        self.enter(UpdatePhase::Check);
        self.ask(Ask::Read(INSTANCE), awaited);
    }

    /// 5/0 was read because it is not known whether the device installs.
    pub(super) fn checked(&mut self, end: End<'_>, error: &str) {
        if !matches!(end, End::Done) {
            return self.try_again_or_lose(Ask::Read(INSTANCE), "the read of 5/0", error);
        }
        let refusal = self.update.because.take();
        self.note_state();
        if let Some(code) = self.failure() {
            return self.fail_as_said(code);
        }
        match self.update.device.state.and_then(UpdateState::from_code) {
            Some(UpdateState::Downloaded) if self.update.installs >= self.limits.tries => {
                let reason = refusal.unwrap_or_else(|| {
                    format!(
                        "the device has the image and was told {} times to install it, in vain",
                        self.update.installs
                    )
                });
                self.finish(UpdateResult::UpdateFailed, reason);
            }
            Some(UpdateState::Downloaded) => {
                self.tell(
                    "the device has the image and does not install it; it is told again".to_owned(),
                );
                self.install();
            }
            Some(UpdateState::Downloading) => self.download_again(),
            _ if self.update.device.result == Some(1) => self.verify_version(),
            _ => self.wait_for_restart(),
        }
    }

    fn download_again(&mut self) {
        self.enter(UpdatePhase::Download);
        self.wait(
            self.limits.stall,
            "the device downloads again; it is to say that it has the image (5/0/3 = 2)",
        );
    }

    pub(super) fn wait_for_restart(&mut self) {
        self.enter(UpdatePhase::Restart);
        self.update.state = UpdateState::Updating;
        let by = self.now.plus(self.limits.install);
        self.update.install_by = Some(by);
        self.update.device.fell_back_at = None;
        self.update.until = Some(by);
        self.update.awaited =
            "the device installs the image; it is to register again, or to say how it went (5/0/5)"
                .to_owned();
    }

    /// Goes on waiting for what should have come, until the same moment.
    fn go_on_waiting(&mut self, awaited: &str) {
        self.update.device.fell_back_at = None;
        self.wait_until(self.update.install_by, awaited);
    }

    fn wait_until(&mut self, until: Option<Timestamp>, awaited: &str) {
        self.enter(UpdatePhase::Restart);
        self.update.until = until;
        self.update.awaited = awaited.to_owned();
    }

    fn is_past(&self) -> bool {
        self.update.install_by.is_none_or(|by| by <= self.now)
    }

    /// The device registered after it was told to install.
    pub(super) fn restarted(&mut self) {
        let device = &mut self.update.device;
        device.restarts = device.restarts.saturating_add(1);
        // What it said before says nothing of how it came back; a success that it reported stays one.
        device.state = None;
        device.result = device.result.filter(|code| *code != 0);
        // It may be on its way: some register with the old version once and restart again.
        device.fell_back_at = None;
        let restarts = device.restarts;
        self.tell("the device registered again".to_owned());
        if self.update.install_by.is_none() {
            self.update.install_by = Some(self.now.plus(self.limits.install));
        }
        if restarts > self.limits.tries && self.is_past() {
            return self.finish(
                UpdateResult::UpdateFailed,
                format!("the device restarts again and again ({restarts} times) and does not say how the update went"),
            );
        }
        self.verify();
    }

    /// The device has said something while it installs.
    pub(super) fn restarting(&mut self) {
        // A report that comes late is no step back.
        if self.update.device.state != Some(2) {
            self.note_state();
        }
        if let Some(code) = self.failure() {
            return self.fail_as_said(code);
        }
        if self.update.device.result == Some(1) && self.update.operation.is_none() {
            self.tell("the device says that the update went well (5/0/5 = 1)".to_owned());
            self.verify_version();
        }
    }

    pub(super) fn verify(&mut self) {
        self.enter(UpdatePhase::Verify);
        self.ask(
            Ask::Read(INSTANCE),
            "the device is asked how the update went (reads 5/0)",
        );
    }

    pub(super) fn verified(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {}
            End::Refused(_) => {
                self.tell(format!("5/0 cannot be read any more ({error})"));
                return self.verify_version();
            }
            _ if self.is_past() => return self.is_gone(error),
            _ => {
                self.tell(format!(
                    "the device does not say how the update went ({error})"
                ));
                return self.go_on_waiting(
                    "the device did not answer; it is asked again when it registers",
                );
            }
        }
        self.note_state();
        if let Some(code) = self.failure() {
            return self.fail_as_said(code);
        }
        if self.update.device.result == Some(1) {
            return self.verify_version();
        }
        match self.update.device.state.and_then(UpdateState::from_code) {
            Some(UpdateState::Updating) if self.is_past() => self.finish(
                UpdateResult::UpdateFailed,
                format!(
                    "the device still says that it installs (5/0/3 = 3), {} after it was told to",
                    span(self.limits.install)
                ),
            ),
            Some(UpdateState::Updating) => {
                self.go_on_waiting("the device still installs; it is to say how it went (5/0/5)");
            }
            Some(UpdateState::Downloaded) if self.update.installs < self.limits.tries => {
                self.tell(
                    "the device is back, has the image and did not install it; it is told again"
                        .to_owned(),
                );
                self.install();
            }
            Some(UpdateState::Downloaded) => self.finish(
                UpdateResult::UpdateFailed,
                format!(
                    "the device has the image and was told {} times to install it, in vain",
                    self.update.installs
                ),
            ),
            Some(UpdateState::Downloading) => self.download_again(),
            _ => self.verify_version(),
        }
    }

    fn verify_version(&mut self) {
        self.enter(UpdatePhase::VerifyVersion);
        self.update.device.version = None;
        self.update.device.has_no_version = false;
        self.ask(
            Ask::Read(RUNNING),
            "the device is asked which firmware runs now (reads 3/0/3)",
        );
    }

    pub(super) fn version_verified(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {}
            End::Refused(_) => self.update.device.has_no_version = true,
            _ if self.is_past() => return self.is_gone(error),
            _ => {
                self.tell(format!(
                    "the device does not say which firmware runs ({error})"
                ));
                return self.go_on_waiting(
                    "the device did not answer; it is asked again when it registers",
                );
            }
        }
        let wanted = self.update.version.clone();
        let running = self.update.device.version.clone();
        let runs = match &running {
            Some(running) => format!("it runs {running}"),
            None => "which firmware runs cannot be read (3/0/3)".to_owned(),
        };
        let is_new = running
            .as_ref()
            .is_none_or(|running| FirmwareImage::is_what_runs(&wanted, running));
        let has_restarted = self.update.device.restarts > 0;
        let says_so = self.update.device.result == Some(1);
        if !is_new && self.has_fallen_back() {
            return self.fall_back(&runs);
        }
        match (says_so, is_new) {
            (true, true) => self.finish(UpdateResult::Success, format!("{runs} (5/0/5 = 1)")),
            (true, false) if has_restarted || self.is_past() => self.finish(
                UpdateResult::UpdateFailed,
                format!("the device came back with the old version: {runs} and not {wanted}, although it says 5/0/5 = 1"),
            ),
            (true, false) => {
                self.tell(format!("the device says that the update went well, but {runs}"));
                self.go_on_waiting("the device is to restart with the new firmware");
            }
            (false, _) if self.is_past() && has_restarted => self.finish(
                UpdateResult::UpdateFailed,
                format!("the device restarted without a report: 5/0/5 says nothing, and {runs}"),
            ),
            (false, _) if self.is_past() => self.finish(
                UpdateResult::UpdateFailed,
                format!(
                    "the device agreed to install, and neither restarted nor said how it went within {}; {runs}",
                    span(self.limits.install)
                ),
            ),
            (false, _) if has_restarted => {
                self.tell(format!("the device restarted without a report; {runs}"));
                self.go_on_waiting(
                    "the device restarted and does not say how the update went; its report (5/0/5) is awaited",
                );
            }
            (false, _) => self.go_on_waiting(
                "the device is to register again, or to say how the update went (5/0/5)",
            ),
        }
    }

    /// Whether the device came back as it was before: idle, without a result, with the version that it had.
    fn has_fallen_back(&self) -> bool {
        let device = &self.update.device;
        device.restarts > 0
            && device.state.and_then(UpdateState::from_code) == Some(UpdateState::Idle)
            && device.result == Some(UpdateResult::Default.code())
            && device.version.is_some()
            && device.version == device.version_before
    }

    /// Nothing more will come of a device that came back as it was. But its report may come a little later than its
    /// registration, or it restarts a second time, so it is looked at twice while there is time for that.
    fn fall_back(&mut self, runs: &str) {
        let later = match self.update.device.fell_back_at {
            Some(since) => {
                let time = Duration::from_secs(self.now.since(since).as_secs());
                format!(", {} later as well", span(time))
            }
            None if self.is_past() => String::new(),
            None => {
                self.tell(format!(
                    "the device restarted without a report; {runs}, as before"
                ));
                self.update.device.fell_back_at = Some(self.now);
                let again = self.now.plus(self.limits.report);
                let until = self.update.install_by.map_or(again, |by| by.min(again));
                return self.wait_until(
                    Some(until),
                    "the device came back with the old version and without a result; before the update is given up it is asked once more",
                );
            }
        };
        self.finish(
            UpdateResult::UpdateFailed,
            format!("the device came back with the old version and without a report: it is IDLE (5/0/3 = 0), 5/0/5 says nothing, and {runs}, as before{later}"),
        );
    }

    fn is_gone(&mut self, error: &str) {
        self.finish(
            UpdateResult::ConnectionLost,
            format!("the device was told to install and was not heard of since ({error})"),
        );
    }
}
