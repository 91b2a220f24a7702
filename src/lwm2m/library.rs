//! The object models in force, which may be replaced while devices are served.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Models;

/// The object models in force. Clones share them: once replaced, everybody's next look sees the new
/// ones.
#[derive(Clone, Debug)]
pub struct ModelLibrary(Arc<ArcSwap<Models>>);

impl ModelLibrary {
    /// The models as they are now. They stay as they are for whoever holds them, so one look serves
    /// for one message; it costs one atomic addition.
    pub fn current(&self) -> Arc<Models> {
        self.0.load_full()
    }

    /// Puts others in their place, for everybody and at once.
    pub fn replace(&self, models: Models) {
        self.0.store(Arc::new(models));
    }
}

impl From<Models> for ModelLibrary {
    fn from(models: Models) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(models)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_sees_the_new_models_and_a_look_keeps_the_old_ones() {
        let library = ModelLibrary::from(Models::builtin());
        let (elsewhere, before) = (library.clone(), library.current());
        library.replace(Models::default());
        assert_eq!(elsewhere.current().objects().count(), 0);
        assert!(before.object(3, None).is_some());
    }
}
