//! Reproducible randomness: the same seed gives the same device.

/// Good enough for weather and jitter. Nothing secret comes from it.
#[derive(Clone, Debug)]
pub(super) struct Random(fastrand::Rng);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number from 0 up to but without 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.0.f64()
    }

    /// A number from `low` up to `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }
}
