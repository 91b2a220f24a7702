//! While the image is on its way: what the device tells, what was served, and when it stands still.

use super::{Ask, End, INSTANCE, Machine, span};
use crate::domain::{Progress, UpdateMethod, UpdatePhase, UpdateResult, UpdateState};

impl Machine<'_> {
    /// The device has said something while it downloads, or should.
    pub(super) fn downloading(&mut self) {
        let before = self.update.state;
        let state = self.note_state();
        if let Some(code) = self.failure() {
            return self.fail_as_said(code);
        }
        if self.takes_too_long() {
            return;
        }
        match state {
            Some(UpdateState::Downloading) if before != UpdateState::Downloading => {
                self.update.tries = 0;
                self.wait_for_the_rest();
            }
            Some(UpdateState::Downloaded) => self.install(),
            Some(UpdateState::Updating) => {
                self.tell("the device installs the image without being told to".to_owned());
                self.wait_for_restart();
            }
            Some(UpdateState::Idle) if self.has_succeeded(before) => self.verify(),
            // Its result is told by a message of its own, or not at all.
            Some(UpdateState::Idle)
                if before != UpdateState::Idle && self.update.operation.is_none() =>
            {
                self.look_at_download();
            }
            _ => {}
        }
    }

    /// 5/0/5 = 1, and not because of the update before this one.
    fn has_succeeded(&self, before: UpdateState) -> bool {
        let device = &self.update.device;
        device.result == Some(1) && (before != UpdateState::Idle || device.stale_result != Some(1))
    }

    pub(super) fn look_at_download(&mut self) {
        self.ask(
            Ask::Read(INSTANCE),
            "nothing was heard of the download; the device is asked where it stands (reads 5/0)",
        );
    }

    /// 5/0 was read because nothing was heard.
    pub(super) fn looked_at_download(&mut self, end: End<'_>, error: &str) {
        match end {
            End::Done => {}
            End::Refused(_) | End::Lost if self.may_try_again() => {
                self.tell(format!("the device does not say where it stands ({error})"));
                return self.wait(self.limits.stall, "the device is asked again");
            }
            _ => {
                return self.finish(
                    UpdateResult::ConnectionLost,
                    format!(
                        "{}, and the device does not say where it stands ({error})",
                        self.so_far()
                    ),
                );
            }
        }
        let state = self.update.state;
        let refusal = self.update.device.refusal.take();
        if let Some((code, error)) = refusal.filter(|_| state == UpdateState::Idle) {
            return self.finish_refused(&code, &error);
        }
        match state {
            UpdateState::Downloading if self.may_try_again() => {
                self.tell(format!(
                    "the device says that it downloads; {}",
                    self.so_far()
                ));
                self.wait_for_the_rest();
            }
            UpdateState::Downloading => self.finish(
                UpdateResult::ConnectionLost,
                format!(
                    "the download stands still: {}, and nothing more came for {} times {}",
                    self.so_far(),
                    self.limits.tries,
                    span(self.limits.stall)
                ),
            ),
            _ if self.update.offers < self.limits.tries => {
                self.tell(format!(
                    "the device is IDLE and gives no result; {}. The image is offered again",
                    self.so_far()
                ));
                self.deliver();
            }
            _ if self.update.device.has_begun => self.finish(
                UpdateResult::ConnectionLost,
                format!(
                    "the device gave up the download {} times without saying why; {}",
                    self.update.offers,
                    self.so_far()
                ),
            ),
            _ => self.finish(
                UpdateResult::UpdateFailed,
                format!(
                    "the device took the offer {} times and never began the download",
                    self.update.offers
                ),
            ),
        }
    }

    /// A block or a part of the file went to the device.
    pub(super) fn served(&mut self, progress: Progress) {
        if !matches!(
            self.update.phase,
            UpdatePhase::Deliver | UpdatePhase::Download
        ) || self.takes_too_long()
        {
            return;
        }
        self.update.device.has_begun = true;
        let before = self.update.progress.replace(progress);
        let quarter = |progress: &Progress| progress.percent() / 25;
        match before {
            None => self.tell(format!("the first part of the image went out: {progress}")),
            Some(before) if progress.done < before.done => {
                self.tell(format!(
                    "the image begins again, after {before}: {progress}"
                ));
            }
            Some(before) if quarter(&progress) > quarter(&before) => {
                self.tell(format!("{progress} ({} %)", progress.percent()));
            }
            Some(_) => {}
        }
        if self.update.phase == UpdatePhase::Download {
            self.update.tries = 0;
            self.wait_for_the_rest();
        } else if self.update.method == Some(UpdateMethod::Push) {
            self.update.awaited = format!("the image is written to the device: {progress}");
        }
    }

    pub(super) fn registered_while_downloading(&mut self) {
        self.tell(format!(
            "the device registered again during the download; {}",
            self.so_far()
        ));
        self.update.device.state = None;
        self.look_at_download();
    }

    fn wait_for_the_rest(&mut self) {
        // The answer to what the device is asked comes first.
        if self.update.operation.is_some() {
            return;
        }
        let time = self.patience(self.limits.stall);
        let awaited = match &self.update.progress {
            Some(progress) if progress.done >= progress.total => {
                "the whole image was fetched; the device is to say that it has it (5/0/3 = 2)"
                    .to_owned()
            }
            Some(progress) => format!("the device downloads: {progress}"),
            None => {
                "the device downloads; it is to say that it has the image (5/0/3 = 2)".to_owned()
            }
        };
        self.wait(time, awaited);
    }

    /// Gives up a download that never comes to an end.
    fn takes_too_long(&mut self) -> bool {
        let longest = self.limits.wait_for_device;
        let is_late = self
            .update
            .offered_at
            .is_some_and(|at| self.now.since(at) > longest);
        if is_late {
            let reason = format!(
                "the download did not come to an end within {}; {}",
                span(longest),
                self.so_far()
            );
            self.finish(UpdateResult::ConnectionLost, reason);
        }
        is_late
    }

    /// How far it came, in words.
    fn so_far(&self) -> String {
        match &self.update.progress {
            Some(progress) if progress.done >= progress.total => {
                "the whole image went out".to_owned()
            }
            Some(progress) => format!("it came as far as {progress}"),
            None => "this server has not seen it fetch anything".to_owned(),
        }
    }
}
