//! Observation templates: what is read once, and what is wanted to be observed.

use super::attempt::starts_observation;
use super::operate::accept;
use super::{Env, Session};
use crate::domain::{
    AnnouncedObject, ContentFormat, Lwm2mVersion, NewOperation, OperationKind, OperationRequest,
    Origin, Path, Profile, TemplateVersion,
};
use crate::store::{Commit, ObservationTemplate};

/// One observation that a template wants of this device.
#[derive(Debug)]
pub(super) struct Target {
    /// Sorted.
    pub(super) paths: Vec<Path>,
    pub(super) composite: bool,
    pub(super) template: TemplateVersion,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) format: Option<ContentFormat>,
}

/// Why templates are asked what they want to be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reading<'a> {
    /// The device registered: all of it.
    Registered,
    /// It announced something else than this before: what is new.
    Announced(&'a [AnnouncedObject]),
    /// These templates are new or were changed.
    Changed(&'a [i64]),
    /// This was said of the device before: by the templates that choose it since.
    Profiled(&'a Profile),
}

impl Session {
    /// What the templates want to be observed of what the device announced. Of several that want
    /// the same, the oldest says how.
    pub(super) fn targets(&self, env: &Env<'_>) -> Vec<Target> {
        let mut targets: Vec<Target> = Vec::new();
        for template in env.templates.iter().filter(|one| self.is_for_us(one)) {
            for (kind, mut paths) in self.questions(template, |_| true) {
                let composite = kind == OperationKind::ObserveComposite;
                paths.sort_unstable();
                paths.dedup();
                let known = targets
                    .iter()
                    .any(|target| target.composite == composite && target.paths == paths);
                if !starts_observation(kind) || known {
                    continue;
                }
                targets.push(Target {
                    paths,
                    composite,
                    template: TemplateVersion {
                        id: template.id,
                        revision: template.revision,
                    },
                    attributes: template.attributes.clone(),
                    format: template.format,
                });
            }
        }
        targets
    }

    /// Asks for what the templates want to be read, unless the same still waits from before.
    pub(super) fn read_by_templates(
        &mut self,
        env: &Env<'_>,
        why: Reading<'_>,
        commit: &mut Commit,
    ) {
        let mut questions = Vec::new();
        for template in env.templates.iter().filter(|one| self.is_for_us(one)) {
            let due = match why {
                Reading::Registered | Reading::Announced(_) => true,
                Reading::Changed(ids) => ids.contains(&template.id),
                Reading::Profiled(before) => !template.selection.selects(&self.name, &before.tags),
            };
            let is_new = |path: &Path| match why {
                Reading::Announced(before) => !announced(before, path),
                _ => true,
            };
            if due {
                let asked = self.questions(template, is_new);
                let reads = asked
                    .into_iter()
                    .filter(|(kind, _)| !starts_observation(*kind));
                questions.extend(reads.map(|(kind, paths)| OperationRequest {
                    format: template.format,
                    ..OperationRequest::new(kind, paths)
                }));
            }
        }
        for request in questions {
            let waits = self.queue.iter().any(|operation| {
                operation.origin == Origin::Template
                    && operation.request.kind == request.kind
                    && operation.request.paths == request.paths
            });
            if !waits {
                self.ask(env, request, commit);
            }
        }
    }

    /// Puts an operation of a template into the queue; false when there is no room for it.
    pub(super) fn ask(
        &mut self,
        env: &Env<'_>,
        request: OperationRequest,
        commit: &mut Commit,
    ) -> bool {
        if self.queue.len() >= env.settings.max_operations {
            return false;
        }
        let new = NewOperation {
            request,
            origin: Origin::Template,
            expires_in: None,
            max_attempts: env.settings.max_attempts,
            by: None,
            key: None,
        };
        let operation = accept(env, self.endpoint_id, &self.name, new);
        if starts_observation(operation.request.kind) {
            self.queue.push_unwritten(operation);
        } else {
            self.save_operation(env, &operation, commit);
            self.queue.push_back(operation);
        }
        true
    }

    fn is_for_us(&self, template: &ObservationTemplate) -> bool {
        template.enabled && self.is_selected(&template.selection)
    }

    /// What a template asks of what the device announced. A device of LwM2M 1.0 knows no composite
    /// operations: it gets one plain one a path.
    fn questions(
        &self,
        template: &ObservationTemplate,
        wanted: impl Fn(&Path) -> bool,
    ) -> Vec<(OperationKind, Vec<Path>)> {
        let Some(registration) = &self.registration else {
            return Vec::new();
        };
        let paths: Vec<Path> = template
            .paths
            .iter()
            .copied()
            .filter(|path| registration.announces(path) && wanted(path))
            .collect();
        if paths.is_empty() {
            return Vec::new();
        }
        let plain = match template.kind {
            OperationKind::ObserveComposite => OperationKind::Observe,
            OperationKind::ReadComposite => OperationKind::Read,
            kind => kind,
        };
        if plain != template.kind && registration.lwm2m_version > Lwm2mVersion::V1_0 {
            vec![(template.kind, paths)]
        } else {
            paths.into_iter().map(|path| (plain, vec![path])).collect()
        }
    }
}

fn announced(objects: &[AnnouncedObject], path: &Path) -> bool {
    let instance = path.truncated(2);
    objects
        .iter()
        .any(|object| object.path.contains(&instance) || instance.contains(&object.path))
}
