//! What endpoint actors have in common.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::actor::random;
use super::loads::Loads;
use super::metrics::Metrics;
use super::session::{Env, Gate, Images, RuleSet, Shared};
use super::settings::SessionSettings;
use super::wire::Wire;
use crate::domain::{
    EndpointName, Identity, LogResource, Now, Peer, Reach, Timestamp, Unreachable,
};
use crate::lwm2m::{ModelLibrary, Models};
use crate::security::{Keyring, Refusals};
use crate::store::{FleetWriter, ObservationTemplate};

/// What all endpoint actors of an arbiter share.
pub struct Links {
    /// The network.
    pub wire: Rc<dyn Wire>,
    /// The store's writer.
    pub writer: Arc<dyn FleetWriter>,
    /// Where an actor that starts anew gets its state.
    pub loads: Rc<Loads>,
    /// Object models; others may take their place at any time.
    pub models: ModelLibrary,
    /// Which credentials are valid.
    pub keyring: Keyring,
    /// Who was refused.
    pub refusals: Refusals,
    /// What is observed on registration; replaced as a whole when it changes.
    pub templates: RefCell<Arc<Vec<ObservationTemplate>>>,
    /// What makes events of values; replaced as a whole when it changes.
    pub rules: RefCell<Arc<RuleSet>>,
    /// Which values are logs; replaced as a whole when it changes.
    pub log_resources: RefCell<Arc<Vec<LogResource>>>,
    /// What devices of one kind have in common.
    pub shared: RefCell<Shared>,
    /// Since when the devices are listened to.
    pub began: Timestamp,
    /// The images of firmware updates.
    pub images: Rc<dyn Images>,
    /// Limits and times.
    pub settings: SessionSettings,
    /// Messages an actor's mailbox holds.
    pub mailbox: usize,
    /// Counted.
    pub metrics: Metrics,
}

impl Links {
    /// What a session is given at this moment.
    pub(super) fn env<'a>(
        &'a self,
        now: Now,
        models: &'a Models,
        templates: &'a [ObservationTemplate],
        rules: &'a RuleSet,
        log_resources: &'a [LogResource],
    ) -> Env<'a> {
        Env {
            now,
            settings: &self.settings,
            models,
            templates,
            rules,
            log_resources,
            gate: self,
            images: &*self.images,
            ids: self.writer.ids(),
            random,
        }
    }
}

impl Gate for Links {
    fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        self.wire.identity(peer)
    }

    fn reach(&self, peer: Peer) -> Reach {
        self.wire.reach(peer)
    }

    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable> {
        self.wire.connect(peer, endpoint)
    }

    fn has_credentials(&self, endpoint: &EndpointName) -> bool {
        self.keyring.holds(endpoint)
    }
}
