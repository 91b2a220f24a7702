//! Which devices are next.

use super::{Begin, MAX_BEGIN, Plan, Turn};
use crate::domain::{
    FirmwareId, FirmwareImage, Opening, RolloutState, RolloutTarget, TargetStatus, Timestamp,
};

impl Plan {
    /// Chooses the devices that are begun now, and notes when there is something to do without anything having
    /// happened.
    pub(super) fn pick(
        &mut self,
        now: Timestamp,
        images: Option<&[FirmwareImage]>,
        turn: &mut Turn,
    ) {
        let Some(images) = images.or_else(|| (!self.rollout.is_back).then_some(&[])) else {
            turn.due = Some(now);
            return;
        };
        self.begin_again(now, images, turn);
        let is_back = match self.rollout.state {
            RolloutState::Running => false,
            RolloutState::RollingBack => true,
            _ => return,
        };
        if !is_back && !self.may_begin(now, turn) {
            return;
        }
        let at_once = self.rollout.spec.at_once as usize;
        // On the way back, what was under way on the way there keeps nobody from it.
        let status = TargetStatus::under_way(is_back);
        let active = self.active().filter(|target| target.status == status);
        let free = at_once.saturating_sub(active.count());
        let free = free.min(MAX_BEGIN.saturating_sub(turn.begin.len()));
        let mut next = Vec::new();
        let places = match is_back {
            false => &self.places.waiting,
            true => &self.places.to_go_back,
        };
        // In the order of the groups.
        for &index in places {
            let Some(target) = self.targets.get(index) else {
                continue;
            };
            let group = self.run(usize::from(target.group), is_back);
            if group.begun_at.is_none() || next.len() >= free {
                break;
            }
            match self.retry_at.get(&target.endpoint_id) {
                Some(retry_at) if now < *retry_at => {
                    turn.due = Some(turn.due.map_or(*retry_at, |due| due.min(*retry_at)));
                }
                _ => next.push(index),
            }
        }
        for index in next {
            self.begin(now, index, is_back, images, turn);
        }
    }

    /// True when the start has come and the window is open; otherwise something is due then.
    fn may_begin(&self, now: Timestamp, turn: &mut Turn) -> bool {
        let spec = &self.rollout.spec;
        if let Some(start_at) = spec.start_at.filter(|start_at| now < *start_at) {
            turn.due = Some(start_at);
            return false;
        }
        match spec.window.as_ref().map(|window| window.at(now)) {
            Some(Opening::ClosedUntil(opens)) => {
                turn.due = Some(opens);
                false
            }
            Some(Opening::OpenUntil(_)) | None => true,
        }
    }

    /// Begins a device, unless it cannot be given back what it ran.
    fn begin(
        &mut self,
        now: Timestamp,
        index: usize,
        is_back: bool,
        images: &[FirmwareImage],
        turn: &mut Turn,
    ) {
        let Some(target) = self.targets.get(index) else {
            return;
        };
        let image = match is_back {
            false => Ok(self.rollout.spec.firmware),
            true => self.image_before(target, images),
        };
        let firmware = match image {
            Ok(firmware) => firmware,
            Err(why) => {
                return self.set(now, index, TargetStatus::RollBackFailed, Some(why));
            }
        };
        turn.begin.push(Begin {
            device: target.endpoint_id,
            endpoint: target.endpoint.clone(),
            firmware,
            is_back,
        });
        self.retry_at.remove(&target.endpoint_id);
        let status = TargetStatus::under_way(is_back);
        if target.status != status {
            self.set(now, index, status, None);
        }
    }

    /// Which image a device gets on its way back.
    fn image_before(
        &self,
        target: &RolloutTarget,
        images: &[FirmwareImage],
    ) -> Result<FirmwareId, String> {
        if let Some(image) = self.rollout.spec.roll_back_to {
            return Ok(image);
        }
        let Some(version) = &target.version_before else {
            return Err("it did not say which firmware it ran before (3/0/3), and the rollout names no image to go back to".to_owned());
        };
        image_of(version, images)
            .map(|image| image.id)
            .ok_or_else(|| format!("it ran {version} before, and there is no image of that here"))
    }

    /// Begins those again whose beginning is known not to have happened.
    fn begin_again(&mut self, now: Timestamp, images: &[FirmwareImage], turn: &mut Turn) {
        for index in std::mem::take(&mut self.again) {
            let Some(target) = self.targets.get(index) else {
                continue;
            };
            match (target.status, self.rollout.state) {
                (TargetStatus::Updating, RolloutState::Running) => {
                    let mut ignored = Turn::default();
                    if self.may_begin(now, &mut ignored) {
                        self.begin(now, index, false, images, turn);
                    } else {
                        self.set(now, index, TargetStatus::Waiting, None);
                    }
                }
                (TargetStatus::RollingBack, RolloutState::RollingBack) => {
                    self.begin(now, index, true, images, turn);
                }
                (TargetStatus::Updating, RolloutState::Paused) => {
                    self.set(now, index, TargetStatus::Waiting, None);
                }
                (TargetStatus::Updating, _) => {
                    self.set(now, index, TargetStatus::Cancelled, None);
                }
                (TargetStatus::RollingBack, _) => self.put_back(now, index, true, None),
                _ => {}
            }
        }
    }
}

/// The image of what a device said that it ran: of exactly this version, or else the newest that fits.
pub(in crate::rollout) fn image_of<'a>(
    version: &str,
    images: &'a [FirmwareImage],
) -> Option<&'a FirmwareImage> {
    let exact = images.iter().find(|image| image.version == version);
    let fits = |image: &&FirmwareImage| FirmwareImage::is_what_runs(&image.version, version);
    exact.or_else(|| images.iter().filter(fits).max_by_key(|image| image.id))
}
