//! The order in which a session's steps are carried out.

use std::collections::VecDeque;

use super::Step;

/// Steps that are being carried out. To carry one out may ask the session for more, which come after
/// those that were there: the changes of the earlier ones were found earlier, and must not overwrite
/// those of the later ones.
#[derive(Debug, Default)]
pub struct Backlog {
    steps: VecDeque<Step>,
    is_taken: bool,
}

impl Backlog {
    /// Adds steps. True when nobody carries them out yet: the caller is to, until there is nothing
    /// more to [`Backlog::take`].
    #[must_use]
    pub fn add(&mut self, steps: Vec<Step>) -> bool {
        if self.steps.is_empty() {
            self.steps = steps.into();
        } else {
            self.steps.extend(steps);
        }
        !std::mem::replace(&mut self.is_taken, true)
    }

    /// The next step.
    pub fn take(&mut self) -> Option<Step> {
        let next = self.steps.pop_front();
        self.is_taken = next.is_some();
        if next.is_none() {
            // It is empty for most of the time: no room is kept.
            self.steps = VecDeque::new();
        }
        next
    }
}
