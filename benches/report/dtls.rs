//! DTLS handshakes.

use crate::goals::{Cost, Goal, Row, grouped};
use crate::support::{Result, handshakes};
use crate::{Plan, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let share = if plan.quick { 0.25 } else { 1.0 };
    for (measured, goal, least) in handshakes::measure(share)?
        .into_iter()
        .zip([(Goal::Psk, 9_000.0), (Goal::X509, 1_100.0)])
        .map(|(measured, (goal, least))| (measured, goal, least))
    {
        let ours = measured.at_once;
        let cost = Cost {
            server: 1e6 / ours,
            handshakes: 1e6 / ours,
            ..Cost::default()
        };
        report.rows.push(
            Row::new(goal, grouped(ours), ours >= least)
                .of(
                    ours,
                    Some(measured.bare),
                    "bare OpenSSL in memory, half of both ends",
                )
                .cost(cost)
                .note(format!(
                    "{}, {} at once; one after the other {}; bare {}",
                    measured.name,
                    handshakes::AT_ONCE,
                    grouped(measured.in_turn),
                    grouped(measured.bare)
                )),
        );
    }
    Ok(())
}
