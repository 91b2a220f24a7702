//! Statements for many rows at once: the hot path of the writer.
//!
//! A statement is a head, one group of placeholders for each row, and a tail. Rows are cut into
//! chunks of few fixed sizes, so that the databases meet the same few statements again and again
//! and keep them prepared.

use std::collections::HashMap;
use std::sync::Arc;

use sea_orm::{DbBackend, DbErr, Value as Bind};

use super::transaction::Target;

/// Rows in one statement, largest first. With 19 columns the largest takes 9,728 variables; SQLite
/// allows 32,766, PostgreSQL 65,535.
const CHUNKS: [usize; 5] = [512, 128, 32, 8, 1];

/// A statement for many rows.
#[derive(Debug)]
pub(super) struct Rows {
    head: &'static str,
    columns: usize,
    tail: &'static str,
}

/// The statements that were built already.
#[derive(Debug, Default)]
pub(super) struct Statements {
    /// By head, tail and number of rows: heads alone are not unique.
    built: HashMap<(&'static str, &'static str, usize), Arc<str>>,
}

impl Statements {
    /// Runs a statement for all of these rows, one after the other in `values`.
    pub(super) async fn run(
        &mut self,
        target: &mut impl Target,
        rows: &Rows,
        values: Vec<Bind>,
    ) -> Result<(), DbErr> {
        let backend = target.backend();
        let mut left = values.len() / rows.columns;
        debug_assert_eq!(left * rows.columns, values.len(), "{}", rows.head);
        let mut values = values.into_iter();
        for chunk in CHUNKS {
            while left >= chunk {
                let sql = self
                    .built
                    .entry((rows.head, rows.tail, chunk))
                    .or_insert_with(|| rows.sql(backend, chunk).into());
                let values = values.by_ref().take(chunk * rows.columns);
                target.execute(sql, values).await?;
                left -= chunk;
            }
        }
        Ok(())
    }
}

impl Rows {
    /// How many values each row has.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    fn sql(&self, backend: DbBackend, rows: usize) -> String {
        use std::fmt::Write as _;
        let mut sql = String::with_capacity(self.head.len() + rows * self.columns * 4);
        sql.push_str(self.head);
        let mut variable = 0;
        for row in 0..rows {
            sql.push_str(if row == 0 { "(" } else { ",(" });
            for column in 0..self.columns {
                variable += 1;
                if column > 0 {
                    sql.push(',');
                }
                match backend {
                    DbBackend::Postgres => _ = write!(sql, "${variable}"),
                    _ => sql.push('?'),
                }
            }
            sql.push(')');
        }
        sql.push_str(self.tail);
        sql
    }
}

/// Ends registrations with their observations: endpoint, location. This one the observations…
pub(super) const END_OBSERVATIONS: Rows = Rows {
    head: "WITH ended (endpoint_id, location) AS (VALUES ",
    columns: 2,
    tail: ") DELETE FROM observation WHERE endpoint_id IN (\
        SELECT registration.endpoint_id FROM registration JOIN ended \
        ON registration.endpoint_id = ended.endpoint_id AND registration.location = ended.location)",
};

/// … and this one the registrations: endpoint, location.
pub(super) const END_REGISTRATIONS: Rows = Rows {
    head: "WITH ended (endpoint_id, location) AS (VALUES ",
    columns: 2,
    tail: ") DELETE FROM registration WHERE (endpoint_id, location) IN (\
        SELECT endpoint_id, location FROM ended)",
};

/// Observations of an earlier registration: endpoint.
pub(super) const FORGET_OBSERVATIONS: Rows = Rows {
    head: "DELETE FROM observation WHERE endpoint_id IN (VALUES ",
    columns: 1,
    tail: ")",
};

/// id, name, search name, created at, last seen at.
pub(super) const ENDPOINTS: Rows = Rows {
    head: "INSERT INTO endpoint (id, name, search_name, created_at, last_seen_at) VALUES ",
    columns: 5,
    tail: " ON CONFLICT (id) DO UPDATE SET last_seen_at = excluded.last_seen_at \
        WHERE endpoint.last_seen_at IS NULL OR endpoint.last_seen_at < excluded.last_seen_at",
};

/// id, name, search name, created at, and what is remembered of a gateway.
pub(super) const GATEWAYS: Rows = Rows {
    head: "INSERT INTO endpoint (id, name, search_name, created_at, gateway_registered_at, \
        gateway_unregistered_at, gateway_warnings) VALUES ",
    columns: 7,
    tail: " ON CONFLICT (id) DO UPDATE SET \
        gateway_registered_at = excluded.gateway_registered_at, \
        gateway_unregistered_at = excluded.gateway_unregistered_at, \
        gateway_warnings = excluded.gateway_warnings",
};

/// The columns of the table.
pub(super) const REGISTRATIONS: Rows = Rows {
    head: "INSERT INTO registration (endpoint_id, location, transport, address, lwm2m_version, \
        binding, queue_mode, lifetime_ms, sms_number, root, objects, formats, attributes, warnings, \
        raw_links, registered_at, updated_at, expires_at, message_id_mark) VALUES ",
    columns: 19,
    tail: " ON CONFLICT (endpoint_id) DO UPDATE SET location = excluded.location, \
        transport = excluded.transport, address = excluded.address, \
        lwm2m_version = excluded.lwm2m_version, binding = excluded.binding, \
        queue_mode = excluded.queue_mode, lifetime_ms = excluded.lifetime_ms, \
        sms_number = excluded.sms_number, root = excluded.root, objects = excluded.objects, \
        formats = excluded.formats, attributes = excluded.attributes, \
        warnings = excluded.warnings, raw_links = excluded.raw_links, \
        registered_at = excluded.registered_at, updated_at = excluded.updated_at, \
        expires_at = excluded.expires_at, message_id_mark = excluded.message_id_mark",
};

/// The columns of the table. A registration that ended meanwhile does not come back.
pub(super) const REGISTRATION_UPDATES: Rows = Rows {
    head: "WITH fresh (endpoint_id, location, transport, address, lwm2m_version, \
        binding, queue_mode, lifetime_ms, sms_number, root, objects, formats, attributes, warnings, \
        raw_links, registered_at, updated_at, expires_at, message_id_mark) AS (VALUES ",
    columns: 19,
    tail: ") UPDATE registration SET \
        transport = fresh.transport, address = fresh.address, \
        lwm2m_version = fresh.lwm2m_version, binding = fresh.binding, \
        queue_mode = fresh.queue_mode, lifetime_ms = fresh.lifetime_ms, \
        sms_number = fresh.sms_number, root = fresh.root, objects = fresh.objects, \
        formats = fresh.formats, attributes = fresh.attributes, \
        warnings = fresh.warnings, raw_links = fresh.raw_links, \
        registered_at = fresh.registered_at, updated_at = fresh.updated_at, \
        expires_at = fresh.expires_at, message_id_mark = fresh.message_id_mark FROM fresh \
        WHERE registration.endpoint_id = fresh.endpoint_id \
        AND registration.location = fresh.location",
};

/// endpoint, location, transport, address, updated at, expires at. A registration that ended meanwhile
/// does not come back.
pub(super) const EXTENSIONS: Rows = Rows {
    head: "WITH fresh (endpoint_id, location, transport, address, updated_at, expires_at) AS (VALUES ",
    columns: 6,
    tail: ") UPDATE registration SET transport = fresh.transport, address = fresh.address, \
        updated_at = fresh.updated_at, expires_at = fresh.expires_at FROM fresh \
        WHERE registration.endpoint_id = fresh.endpoint_id \
        AND registration.location = fresh.location",
};

/// endpoint, transport, address.
pub(super) const MOVES: Rows = Rows {
    head: "WITH fresh (endpoint_id, transport, address) AS (VALUES ",
    columns: 3,
    tail: ") UPDATE registration SET transport = fresh.transport, address = fresh.address \
        FROM fresh WHERE registration.endpoint_id = fresh.endpoint_id",
};

/// endpoint, mark.
pub(super) const MESSAGE_ID_MARKS: Rows = Rows {
    head: "WITH fresh (endpoint_id, mark) AS (VALUES ",
    columns: 2,
    tail: ") UPDATE registration SET message_id_mark = fresh.mark \
        FROM fresh WHERE registration.endpoint_id = fresh.endpoint_id",
};

/// endpoint, time.
pub(super) const SEEN: Rows = Rows {
    head: "WITH fresh (endpoint_id, seen_at) AS (VALUES ",
    columns: 2,
    tail: ") UPDATE endpoint SET last_seen_at = fresh.seen_at FROM fresh \
        WHERE endpoint.id = fresh.endpoint_id \
        AND (endpoint.last_seen_at IS NULL OR endpoint.last_seen_at < fresh.seen_at)",
};

/// endpoint, what was learnt, from when on it is late.
pub(super) const LEARNED: Rows = Rows {
    head: "WITH fresh (endpoint_id, learned, late_at) AS (VALUES ",
    columns: 3,
    tail: ") UPDATE endpoint SET learned = fresh.learned, late_at = fresh.late_at FROM fresh \
        WHERE endpoint.id = fresh.endpoint_id",
};

/// endpoint, tags, awake window, eDRX cycle.
pub(super) const PROFILES: Rows = Rows {
    head: "WITH fresh (endpoint_id, tags, awake_s, edrx_cycle_s) AS (VALUES ",
    columns: 4,
    tail: ") UPDATE endpoint SET tags = fresh.tags, awake_s = fresh.awake_s, \
        edrx_cycle_s = fresh.edrx_cycle_s FROM fresh WHERE endpoint.id = fresh.endpoint_id",
};

/// endpoint, periods.
pub(super) const PERIODS: Rows = Rows {
    head: "WITH fresh (endpoint_id, periods) AS (VALUES ",
    columns: 2,
    tail: ") UPDATE endpoint SET periods = fresh.periods FROM fresh \
        WHERE endpoint.id = fresh.endpoint_id",
};

/// The columns of the table.
pub(super) const OBSERVATIONS: Rows = Rows {
    head: "INSERT INTO observation (id, endpoint_id, token, paths, composite, format, state, \
        last_sequence, last_message_id, last_hash, notified_at, staged, created_at, \
        notifications) VALUES ",
    columns: 14,
    tail: " ON CONFLICT (id) DO UPDATE SET token = excluded.token, paths = excluded.paths, \
        composite = excluded.composite, format = excluded.format, state = excluded.state, \
        last_sequence = excluded.last_sequence, last_message_id = excluded.last_message_id, \
        last_hash = excluded.last_hash, notified_at = excluded.notified_at, \
        staged = excluded.staged, notifications = excluded.notifications",
};

/// id, last sequence, last message id, last hash, notified at, notifications.
pub(super) const NOTIFIED: Rows = Rows {
    head: "WITH fresh (id, last_sequence, last_message_id, last_hash, notified_at, notifications) \
        AS (VALUES ",
    columns: 6,
    tail: ") UPDATE observation SET state = 'active', last_sequence = fresh.last_sequence, \
        last_message_id = fresh.last_message_id, last_hash = fresh.last_hash, \
        notified_at = fresh.notified_at, notifications = fresh.notifications \
        FROM fresh WHERE observation.id = fresh.id",
};

/// endpoint, token.
pub(super) const OBSERVATIONS_REMOVED: Rows = Rows {
    head: "WITH gone (endpoint_id, token) AS (VALUES ",
    columns: 2,
    tail: ") DELETE FROM observation WHERE (endpoint_id, token) IN (\
        SELECT endpoint_id, token FROM gone)",
};

/// The columns of the table.
pub(super) const WANTED: Rows = Rows {
    head: "INSERT INTO wanted_observation (id, endpoint_id, paths, composite, template_id, \
        template_revision, user_name, cancelled_by, attributes, withdrawn, attributes_asked, \
        attributes_error, format, state, reason, since, retry_at, losses) VALUES ",
    columns: 18,
    tail: " ON CONFLICT (id) DO UPDATE SET paths = excluded.paths, \
        composite = excluded.composite, template_id = excluded.template_id, \
        template_revision = excluded.template_revision, user_name = excluded.user_name, \
        cancelled_by = excluded.cancelled_by, attributes = excluded.attributes, \
        withdrawn = excluded.withdrawn, attributes_asked = excluded.attributes_asked, \
        attributes_error = excluded.attributes_error, format = excluded.format, state = excluded.state, reason = excluded.reason, \
        since = excluded.since, retry_at = excluded.retry_at, losses = excluded.losses",
};

/// row.
pub(super) const WANTED_REMOVED: Rows = Rows {
    head: "DELETE FROM wanted_observation WHERE id IN (VALUES ",
    columns: 1,
    tail: ")",
};

/// The columns of the table.
pub(super) const OPERATIONS: Rows = Rows {
    head: "INSERT INTO endpoint_operation (id, endpoint_id, operation_type, request, origin, \
        status, attempts, max_attempts, result, error, token, created_at, last_attempt_at, \
        finished_at, expires_at) VALUES ",
    columns: 15,
    tail: " ON CONFLICT (id) DO UPDATE SET request = excluded.request, \
        status = excluded.status, attempts = excluded.attempts, \
        max_attempts = excluded.max_attempts, result = excluded.result, error = excluded.error, \
        token = excluded.token, last_attempt_at = excluded.last_attempt_at, \
        finished_at = excluded.finished_at, expires_at = excluded.expires_at",
};

/// The columns of the table.
pub(super) const FIRMWARE_UPDATES: Rows = Rows {
    head: "INSERT INTO firmware_update (id, endpoint_id, firmware_id, rollout_id, is_roll_back, version, \
        method, state, result, detail, created_at, finished_at) VALUES ",
    columns: 12,
    tail: " ON CONFLICT (id) DO UPDATE SET method = excluded.method, state = excluded.state, \
        result = excluded.result, detail = excluded.detail, finished_at = excluded.finished_at",
};

/// The columns of the table.
pub(super) const FIRMWARE_STEPS: Rows = Rows {
    head: "INSERT INTO firmware_step (id, endpoint_id, update_id, phase, \"text\", \"at\") VALUES ",
    columns: 6,
    tail: "",
};

/// The columns of the table.
pub(super) const ROLLOUT_TARGETS: Rows = Rows {
    head: "INSERT INTO rollout_target (rollout_id, endpoint_id, endpoint, group_index, status, detail, \
        changed_at) VALUES ",
    columns: 7,
    tail: " ON CONFLICT (rollout_id, endpoint_id) DO UPDATE SET endpoint = excluded.endpoint, \
        group_index = excluded.group_index, status = excluded.status, detail = excluded.detail, \
        changed_at = excluded.changed_at",
};

/// The columns of the table.
pub(super) const RESOURCES: Rows = Rows {
    head: "INSERT INTO resource (id, endpoint_id, object_id, object_instance_id, resource_id, \
        resource_instance_id, value_type, value_integer, value_float, value_text, value_boolean, \
        value_time, value_opaque, value_objlnk, measured_at, measured_by_device, received_at) \
        VALUES ",
    columns: 17,
    tail: "",
};

/// The columns of the table.
pub(super) const LATEST: Rows = Rows {
    head: "INSERT INTO latest_resource (endpoint_id, path, resource_row, \"at\") VALUES ",
    columns: 4,
    tail: " ON CONFLICT (endpoint_id, path) DO UPDATE SET \
        resource_row = excluded.resource_row, \"at\" = excluded.\"at\" \
        WHERE excluded.\"at\" >= latest_resource.\"at\"",
};

/// Endpoints of whose object 3 something came: what the list of devices is searched and sorted by.
pub(super) const DESCRIBED: Rows = Rows {
    head: "UPDATE endpoint SET \
        manufacturer = (SELECT substr(value_text, 1, 255) FROM resource WHERE id = (\
            SELECT resource_row FROM latest_resource \
            WHERE latest_resource.endpoint_id = endpoint.id AND path = '/3/0/0')), \
        model_number = (SELECT substr(value_text, 1, 255) FROM resource WHERE id = (\
            SELECT resource_row FROM latest_resource \
            WHERE latest_resource.endpoint_id = endpoint.id AND path = '/3/0/1')), \
        firmware_version = (SELECT substr(value_text, 1, 255) FROM resource WHERE id = (\
            SELECT resource_row FROM latest_resource \
            WHERE latest_resource.endpoint_id = endpoint.id AND path = '/3/0/3')) \
        WHERE id IN (VALUES ",
    columns: 1,
    tail: ")",
};

/// The columns of the table.
pub(super) const EVENTS: Rows = Rows {
    head: "INSERT INTO event (id, endpoint_id, event_type, \"time\", rule, severity, message) VALUES ",
    columns: 7,
    tail: "",
};

/// The columns of the table.
pub(super) const AUDIT_LOG: Rows = Rows {
    head: "INSERT INTO audit_log (id, \"at\", actor, remote, action, subject, detail) VALUES ",
    columns: 7,
    tail: "",
};

/// The columns of the table.
pub(super) const EVENT_RESOURCES: Rows = Rows {
    head: "INSERT INTO event_resource (event_id, resource_row) VALUES ",
    columns: 2,
    tail: "",
};

/// The columns of the table.
pub(super) const RULE_STATES: Rows = Rows {
    head: "INSERT INTO rule_state (rule_id, endpoint_id, path, revision, phase, newest_at, since, \
        clock_at, event_at, reported, seen) VALUES ",
    columns: 11,
    tail: " ON CONFLICT (rule_id, endpoint_id, path) DO UPDATE SET revision = excluded.revision, \
        phase = excluded.phase, newest_at = excluded.newest_at, since = excluded.since, \
        clock_at = excluded.clock_at, event_at = excluded.event_at, reported = excluded.reported, \
        seen = excluded.seen",
};

/// The columns of the table.
pub(super) const LOGS: Rows = Rows {
    head: "INSERT INTO device_log (id, endpoint_id, path, level, text, search_text, \"time\", \
        received_at) VALUES ",
    columns: 8,
    tail: "",
};

/// The columns of the table. A key that has expired may come again.
pub(super) const IDEMPOTENCY_KEYS: Rows = Rows {
    head: "INSERT INTO idempotency_key (endpoint_id, key_hash, request_hash, operation_id, expires_at) \
        VALUES ",
    columns: 5,
    tail: " ON CONFLICT (endpoint_id, key_hash) DO UPDATE SET request_hash = excluded.request_hash, \
        operation_id = excluded.operation_id, expires_at = excluded.expires_at",
};

/// The columns of the table.
pub(super) const ANSWERS: Rows = Rows {
    head: "INSERT INTO stored_answer (transport, address, message_id, hash, answer, expires_at) \
        VALUES ",
    columns: 6,
    tail: " ON CONFLICT (transport, address, message_id, hash) DO UPDATE SET \
        answer = excluded.answer, expires_at = excluded.expires_at",
};

/// The columns of the table, those of a mark first.
pub(super) const SESSIONS: Rows = Rows {
    head: "INSERT INTO dtls_session (id, address, is_proven, highest, seen, heard_at, numbers, \
        sealed) VALUES ",
    columns: 8,
    tail: " ON CONFLICT (id) DO UPDATE SET address = excluded.address, \
        is_proven = excluded.is_proven, highest = excluded.highest, seen = excluded.seen, \
        heard_at = excluded.heard_at, numbers = excluded.numbers, sealed = excluded.sealed",
};

/// id, address, is proven, highest, seen, heard at. A session that ended meanwhile does not come
/// back.
pub(super) const SESSION_MARKS: Rows = Rows {
    head: "WITH fresh (id, address, is_proven, highest, seen, heard_at) AS (VALUES ",
    columns: 6,
    tail: ") UPDATE dtls_session SET address = fresh.address, is_proven = fresh.is_proven, \
        highest = fresh.highest, seen = fresh.seen, heard_at = fresh.heard_at \
        FROM fresh WHERE dtls_session.id = fresh.id",
};

/// id.
pub(super) const SESSIONS_ENDED: Rows = Rows {
    head: "DELETE FROM dtls_session WHERE id IN (VALUES ",
    columns: 1,
    tail: ")",
};

/// key, value.
pub(super) const SERVER_STATE: Rows = Rows {
    head: "INSERT INTO server_state (\"key\", \"value\") VALUES ",
    columns: 2,
    tail: " ON CONFLICT (\"key\") DO UPDATE SET \"value\" = excluded.\"value\"",
};
