//! Observation templates: what is read and observed whenever a device registers.

use super::operate::accept;
use super::{Env, Session};
use crate::domain::{
    AnnouncedObject, Lwm2mVersion, NewOperation, OperationKind, OperationRequest, Origin,
};
use crate::store::{Change, Commit, ObservationTemplate};

impl Session {
    /// Asks for what the templates want and the device announced, unless it was announced `before`
    /// already or the same still waits from an earlier registration.
    pub(super) fn apply_templates(
        &mut self,
        env: &Env<'_>,
        before: &[AnnouncedObject],
        commit: &mut Commit,
    ) {
        let Some(registration) = &self.registration else {
            return;
        };
        let mut wanted = Vec::new();
        let selected = |template: &&ObservationTemplate| self.is_selected(&template.selection);
        for template in env.templates.iter().filter(selected) {
            let paths: Vec<_> = template
                .paths
                .iter()
                .copied()
                .filter(|path| registration.announces(path))
                .filter(|path| before.is_empty() || !announced(before, path))
                .collect();
            // A device of LwM2M 1.0 knows no composite operations: it gets one plain one a path.
            let plain = match template.kind {
                OperationKind::ObserveComposite => OperationKind::Observe,
                OperationKind::ReadComposite => OperationKind::Read,
                kind => kind,
            };
            if plain != template.kind && registration.lwm2m_version > Lwm2mVersion::V1_0 {
                if !paths.is_empty() {
                    wanted.push((template.kind, paths));
                }
            } else {
                wanted.extend(paths.into_iter().map(|path| (plain, vec![path])));
            }
        }
        for (kind, paths) in wanted {
            let waits = self.queue.iter().any(|operation| {
                operation.origin == Origin::Template
                    && operation.request.kind == kind
                    && operation.request.paths == paths
            });
            if waits || self.queue.len() >= env.settings.max_operations {
                continue;
            }
            let new = NewOperation {
                request: OperationRequest::new(kind, paths),
                origin: Origin::Template,
                expires_in: None,
                max_attempts: env.settings.max_attempts,
            };
            let operation = accept(env, self.endpoint_id, &self.name, new);
            commit
                .publish
                .push(self.live_operation(&operation, env.now.wall));
            commit
                .changes
                .push(Change::SaveOperation(Box::new(operation.clone())));
            self.queue.push_back(operation);
        }
    }
}

fn announced(objects: &[AnnouncedObject], path: &crate::domain::Path) -> bool {
    let instance = path.truncated(2);
    objects
        .iter()
        .any(|object| object.path.contains(&instance) || instance.contains(&object.path))
}
