//! What the changes of a session come to on disk.

use super::bench::Bench;
use crate::domain::{
    Learned, Observation, ObservationState, Operation, Profile, Registration, Wanted,
};
use crate::store::{Change, StoredEndpoint};

impl Bench {
    /// What the store holds after these changes.
    pub(super) fn on_disk(&self) -> StoredEndpoint {
        let mut stored = StoredEndpoint::default();
        let mut operations: Vec<Operation> = Vec::new();
        let mut observations: Vec<Observation> = Vec::new();
        for change in self.changes() {
            match change {
                Change::Register(registration) => {
                    stored.registration = Some(Registration::clone(registration));
                    observations.clear();
                }
                Change::UpdateRegistration(registration) => {
                    stored.registration = Some(Registration::clone(registration));
                }
                Change::ExtendRegistration {
                    peer,
                    updated_at,
                    expires_at,
                    ..
                } => {
                    if let Some(registration) = &mut stored.registration {
                        registration.peer = *peer;
                        registration.updated_at = *updated_at;
                        registration.expires_at = *expires_at;
                    }
                }
                Change::EndRegistration { .. } => {
                    stored.registration = None;
                    observations.clear();
                }
                Change::RemoveObservation { token, .. } => {
                    observations.retain(|known| known.token != *token);
                }
                Change::SaveWanted(wanted) => {
                    stored.wanted.retain(|known| known.id != wanted.id);
                    stored.wanted.push(Wanted::clone(wanted));
                }
                Change::RemoveWanted { id, .. } => stored.wanted.retain(|known| known.id != *id),
                Change::Profile { profile, .. } => stored.profile = Profile::clone(profile),
                Change::Periods { periods, .. } => stored.periods.clone_from(periods),
                Change::ReserveMessageIds { mark, .. } => {
                    if let Some(registration) = &mut stored.registration {
                        registration.message_id_mark = *mark;
                    }
                }
                Change::Learned { learned, .. } => stored.learned = Learned::clone(learned),
                Change::SaveOperation(operation) => {
                    operations.retain(|known| known.id != operation.id);
                    operations.push(Operation::clone(operation));
                }
                Change::SaveFirmwareUpdate(update) => {
                    stored.update = update.is_active().then(|| (**update).clone());
                }
                Change::SaveObservation(observation) => {
                    observations.retain(|known| known.token != observation.token);
                    observations.push(Observation::clone(observation));
                }
                Change::Notified(notified) => {
                    for known in observations.iter_mut().filter(|it| it.id == notified.id) {
                        *known = Observation {
                            state: ObservationState::Active,
                            last_sequence: notified.last_sequence,
                            last_message_id: notified.last_message_id,
                            last_hash: notified.last_hash,
                            notified_at: notified.notified_at,
                            notifications: notified.notifications,
                            ..known.clone()
                        };
                    }
                }
                _ => {}
            }
        }
        operations.retain(|operation| !operation.status.is_final());
        operations.sort_by_key(|operation| operation.id);
        stored.wanted.sort_by_key(|wanted| wanted.id);
        StoredEndpoint {
            operations,
            observations,
            ..stored
        }
    }
}
