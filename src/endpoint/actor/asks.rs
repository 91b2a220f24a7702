//! Operations: somebody asks for one, takes one back, or waits for the end of one.

use actix::prelude::*;

use super::EndpointActor;
use crate::endpoint::messages::{AwaitEnd, Cancel, Operate};
use crate::endpoint::session::Input;
use crate::registry::OperateError;

impl Handler<Operate> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: Operate, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_none() {
            let _ = message.accepted.send(Err(OperateError::Busy));
            return;
        }
        let ticket = self.waiters.add(message.accepted, message.finished);
        self.feed(
            Input::Operate {
                operation: Box::new(message.operation),
                ticket,
            },
            ctx,
        );
    }
}

impl Handler<Cancel> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: Cancel, ctx: &mut Self::Context) {
        self.taken();
        if self.session.is_none() {
            let _ = message.answer.send(Err(OperateError::Busy));
            return;
        }
        let ticket = self.waiters.add(message.answer, None);
        self.feed(
            Input::Cancel {
                id: message.id,
                by: message.by,
                ticket,
            },
            ctx,
        );
    }
}

impl Handler<AwaitEnd> for EndpointActor {
    type Result = ();

    fn handle(&mut self, message: AwaitEnd, _: &mut Self::Context) {
        self.taken();
        self.waiters.add_end(message.id, message.finished);
    }
}
