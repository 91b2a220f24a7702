//! DTLS sessions that go on after a restart.

use std::collections::HashMap;

use async_trait::async_trait;
use flownexus_entity::{dtls_session, server_state};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, EntityTrait as _, Value as Bind};

use super::fleet::BEATS;
use super::records::{parse, time};
use super::sequence::save;
use super::sql::statement;
use super::{SecureSessionLoader, Store, StoreError, Witness};
use crate::domain::{KeptSession, ReceiveWindow, SessionId, SessionMark, Timestamp};

/// The key in `server_state` of the file that was compared with last.
const WITNESS: &str = "dtls_witness";

/// The last state of each session in a batch.
#[derive(Debug, Default)]
pub(super) struct SessionChanges<'a>(HashMap<SessionId, Last<'a>>);

/// What is to be written of a session.
#[derive(Clone, Copy, Debug)]
enum Last<'a> {
    /// The row goes.
    Ended,
    /// The whole row, but with this mark.
    Kept(&'a KeptSession, SessionMark),
    /// The mark of a row that may be there.
    Marked(SessionMark),
}

impl<'a> SessionChanges<'a> {
    pub(super) fn keep(&mut self, session: &'a KeptSession) {
        let last = Last::Kept(session, session.mark);
        self.0.insert(session.mark.id, last);
    }

    pub(super) fn mark(&mut self, mark: SessionMark) {
        self.0
            .entry(mark.id)
            .and_modify(|last| match last {
                Last::Ended => {}
                Last::Kept(_, is) | Last::Marked(is) => *is = mark,
            })
            .or_insert(Last::Marked(mark));
    }

    pub(super) fn end(&mut self, id: SessionId) {
        self.0.insert(id, Last::Ended);
    }

    /// Rows for [`rows::SESSIONS`](super::rows::SESSIONS),
    /// [`rows::SESSION_MARKS`](super::rows::SESSION_MARKS) and
    /// [`rows::SESSIONS_ENDED`](super::rows::SESSIONS_ENDED). No session is in two of them, so their
    /// order does not matter.
    pub(super) fn rows(self) -> [Vec<Bind>; 3] {
        let [mut kept, mut marked, mut ended] = [const { Vec::new() }; 3];
        for (id, last) in self.0 {
            match last {
                Last::Ended => ended.push(id.0.cast_signed().into()),
                Last::Kept(session, mark) => {
                    mark_row(mark, &mut kept);
                    kept.extend([
                        session.numbers.cast_signed().into(),
                        session.sealed.clone().into(),
                    ]);
                }
                Last::Marked(mark) => mark_row(mark, &mut marked),
            }
        }
        [kept, marked, ended]
    }
}

/// The columns that a mark sets, in the order of the statements.
fn mark_row(mark: SessionMark, row: &mut Vec<Bind>) {
    row.extend([
        mark.id.0.cast_signed().into(),
        mark.address.to_string().into(),
        mark.is_proven.into(),
        mark.window.highest.cast_signed().into(),
        mark.window.seen.cast_signed().into(),
        mark.heard_at.as_millis().into(),
    ]);
}

#[async_trait]
impl SecureSessionLoader for Store {
    async fn take_up(&self, step: u64, since: Timestamp) -> Result<Vec<KeptSession>, StoreError> {
        self.write(move |transaction| Box::pin(take_up(transaction, step, since)))
            .await
    }

    async fn compare_with(&self, witness: Witness) -> Result<bool, StoreError> {
        self.write(move |transaction| Box::pin(compare(transaction, witness)))
            .await
    }
}

async fn take_up(
    transaction: &DatabaseTransaction,
    step: u64,
    since: Timestamp,
) -> Result<Vec<KeptSession>, StoreError> {
    let sql = "DELETE FROM dtls_session WHERE heard_at < ?";
    transaction
        .execute_raw(statement(transaction, sql, [since.as_millis().into()]))
        .await?;
    let sessions = dtls_session::Entity::find()
        .all(transaction)
        .await?
        .into_iter()
        .map(kept)
        .collect::<Result<_, _>>()?;
    let step = i64::try_from(step).unwrap_or(i64::MAX);
    // Negative ones are beyond i64::MAX already, and must not fall back to it.
    let sql = "UPDATE dtls_session SET numbers = \
        CASE WHEN numbers > ? THEN ? ELSE numbers + ? END WHERE numbers >= 0";
    let values = [(i64::MAX - step).into(), i64::MAX.into(), step.into()];
    transaction
        .execute_raw(statement(transaction, sql, values))
        .await?;
    Ok(sessions)
}

async fn compare(transaction: &DatabaseTransaction, witness: Witness) -> Result<bool, StoreError> {
    let noted = |key: &str| server_state::Entity::find_by_id(key.to_owned()).one(transaction);
    let beats = noted(BEATS).await?;
    let file = noted(WITNESS).await?;
    // The database is told of a heartbeat first, so it is never behind.
    let is_behind = beats.map_or(0, |row| row.value) < witness.seen;
    let is_another = file.is_some_and(|row| row.value != witness.file);
    let was_put_back = is_behind || is_another;
    if was_put_back {
        dtls_session::Entity::delete_many()
            .exec(transaction)
            .await?;
    }
    save(transaction, WITNESS.to_owned(), witness.file).await?;
    Ok(was_put_back)
}

fn kept(row: dtls_session::Model) -> Result<KeptSession, StoreError> {
    Ok(KeptSession {
        mark: SessionMark {
            id: SessionId(row.id.cast_unsigned()),
            address: parse("DTLS session", &row.address)?,
            is_proven: row.is_proven,
            window: ReceiveWindow {
                highest: row.highest.cast_unsigned(),
                seen: row.seen.cast_unsigned(),
            },
            heard_at: time(row.heard_at),
        },
        numbers: row.numbers.cast_unsigned(),
        sealed: row.sealed,
    })
}
