//! Requests: as many as are answered, at a rate, over DTLS, and with few and many devices.

use crate::goals::{Goal, Row, grouped};
use crate::load::{Figures, Load, NOTIFY, load, secure_load};
use crate::support::{Result, Server, add_credentials};
use crate::{Plan, Report};

/// As many as are answered.
pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let clients = plan.clients();
    for (mode, goal, least, clients, more) in [
        ("notify", Goal::Notifications, 50_000.0, clients, &[][..]),
        ("update", Goal::Updates, 60_000.0, clients, &[]),
        ("register", Goal::Registrations, 15_000.0, clients, &[]),
        // Each with a socket of its own.
        (
            "send",
            Goal::Sends,
            4_000.0,
            clients / 10,
            &["--records", "60"],
        ),
    ] {
        let result = on_a_new_server(plan, mode, clients, more)?;
        let figures = &result.figures;
        let limits = &mut report.limits;
        if mode == "update" {
            limits.echo = figures.ceiling_per_s;
        }
        let limit = match mode {
            "notify" => limits.notifications,
            "update" => limits.updates,
            "register" => limits.registrations,
            _ => limits.sends,
        };
        let rate = figures.rate_per_s;
        let row = Row::new(goal, format!("{}/s", grouped(rate)), rate >= least)
            .of(rate, limit, "bare SQLite, the same rows")
            .cost(result.cost)
            .note(note(figures));
        report.rows.push(row);
    }
    Ok(())
}

/// At 25,000 a second, and where that is too much at the highest rate of some at which the goal holds.
pub(crate) fn latency(plan: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[])?;
    let clients = plan.clients().to_string();
    let seconds = plan.duration().as_secs_f64();
    let at = |rate: u32, seconds: f64| {
        let (rate, seconds) = (rate.to_string(), seconds.to_string());
        load(
            &server,
            &[
                &NOTIFY[..],
                &[
                    "--clients",
                    &clients,
                    "--rate",
                    &rate,
                    "--duration",
                    &seconds,
                    "--ceiling",
                    "0",
                ],
            ]
            .concat(),
        )
    };
    let wanted = at(RATE, seconds)?;
    let reached = holds(&wanted.figures, RATE);
    let mut table = vec![line(&wanted, RATE)];
    let mut note = note(&wanted.figures);
    if !reached {
        // The lowest rate that was too much, and the highest that was not, as places in the list.
        let (mut low, mut high) = (0, RATES.len());
        while low < high {
            let middle = (low + high) / 2;
            let rate = RATES.get(middle).copied().unwrap_or(RATE);
            let result = at(rate, seconds / 2.0)?;
            table.push(line(&result, rate));
            if holds(&result.figures, rate) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        let held = match RATES.get(low) {
            Some(rate) => format!("the goal holds at {}/s", grouped(f64::from(*rate))),
            None => "the goal held at no rate that was tried".to_owned(),
        };
        note = if note.is_empty() {
            held
        } else {
            format!("{held}; {note}")
        };
    }
    let latency = &wanted.figures.latency_ms;
    report.rows.push(
        Row::new(
            Goal::Latency,
            format!("{:.1} / {:.0} ms", latency.p50, latency.p99),
            reached,
        )
        .cost(wanted.cost)
        .note(note),
    );
    let text = format!(
        "Requests are due at even times, and a latency counts from when its request was due: what the server \
        leaves waiting is in it.\n\n\
        | notifications due a second | acknowledged a second | p50, ms | p99, ms | sent again | processor time \
        of the server each, µs |\n|---|---|---|---|---|---|\n{}\n",
        table.join("\n")
    );
    report.chapters.push(("Latency at a rate", text));
    Ok(())
}

fn holds(figures: &Figures, rate: u32) -> bool {
    let latency = &figures.latency_ms;
    figures.rate_per_s >= 0.98 * f64::from(rate) && latency.p50 <= 2.0 && latency.p99 <= 25.0
}

fn line(result: &Load, rate: u32) -> String {
    let figures = &result.figures;
    format!(
        "| {} | {} | {:.2} | {:.1} | {} | {:.1} |",
        grouped(f64::from(rate)),
        grouped(figures.rate_per_s),
        figures.latency_ms.p50,
        figures.latency_ms.p99,
        figures.retransmissions,
        result.cost.server
    )
}

/// Notifications over DTLS, each client with a key and a session of its own.
pub(crate) fn secure(plan: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let suite = (
        "FLOWNEXUS__COAPS__CIPHER_SUITES",
        "TLS_PSK_WITH_AES_128_CCM_8",
    );
    let server = Server::start(folder.path(), &[suite])?;
    let clients = plan.clients() / 5;
    let names = (1..=clients).map(|number| format!("load-{number}"));
    add_credentials(folder.path(), &server, names, KEY)?;
    let result = secure_load(
        &server,
        &[
            &NOTIFY[..],
            &[
                "--clients",
                &clients.to_string(),
                "--psk",
                &format!("load-{{n}}:{KEY}"),
                "--duration",
                &plan.duration().as_secs().to_string(),
                "--ceiling",
                "0",
            ],
        ]
        .concat(),
    )?;
    let rate = result.figures.rate_per_s;
    let goal = Goal::SecureNotifications;
    report.rows.push(
        Row::new(goal, format!("{}/s", grouped(rate)), rate >= 35_000.0)
            .of(
                rate,
                report.limits.notifications,
                "bare SQLite, the same rows",
            )
            .cost(result.cost)
            .note(note(&result.figures)),
    );
    Ok(())
}

/// Processor time of a notification and of an Update with few and many devices.
pub(crate) fn curves(plan: &Plan, report: &mut Report) -> Result<()> {
    let seconds = plan.duration().as_secs_f64() / 2.0;
    let mut table = Vec::new();
    for clients in plan.counts() {
        let mut line = vec![grouped(f64::from(clients))];
        let (mut resident, mut memory) = (0.0_f64, 0.0_f64);
        for mode in ["notify", "update"] {
            let folder = tempfile::tempdir()?;
            let server = Server::start(folder.path(), &[])?;
            let result = load(
                &server,
                &[
                    "--mode",
                    mode,
                    "--observations",
                    "4",
                    "--clients",
                    &clients.to_string(),
                    "--duration",
                    &seconds.to_string(),
                    "--ceiling",
                    "0",
                ],
            )?;
            let (rate, cost) = (result.figures.rate_per_s, result.cost.server);
            line.push(grouped(rate));
            line.push(format!("{cost:.1}"));
            line.push(note(&result.figures));
            let point = (f64::from(clients), cost);
            if mode == "notify" {
                report.curves.notification_us.push(point);
            } else {
                report.curves.update_us.push(point);
                memory = server.resident_kib()? as f64 / 1024.0;
                resident = memory * 1_048_576.0 / 1e9;
            }
            if clients == 1_000_000 && mode == "update" {
                report.rows.push(
                    Row::new(
                        Goal::MillionUpdates,
                        format!("{}/s", grouped(rate)),
                        rate >= 30_000.0,
                    )
                    .of(rate, report.limits.updates, "bare SQLite, the same rows")
                    .cost(result.cost)
                    .note(format!(
                        "{resident:.2} GB resident with the load. {}",
                        note(&result.figures)
                    )),
                );
            }
        }
        line.push(grouped(memory));
        table.push(format!("| {} |", line.join(" | ")));
    }
    let text = format!(
        "Each line is of servers of their own. The clients register first, are observed, and then notify or update \
        for {seconds:.0} s, as many as are answered.\n\n\
        | devices | notifications a second | processor time each, µs | beside | Updates a second | processor \
        time each, µs | beside | resident with the Updates, MiB |\n|---|---|---|---|---|---|---|---|\n{}\n\n\
        ![Processor time of a request by the number of devices](cost.svg)\n",
        table.join("\n")
    );
    report
        .chapters
        .push(("Cost with few and many devices", text));
    Ok(())
}

fn on_a_new_server(plan: &Plan, mode: &str, clients: u32, more: &[&str]) -> Result<Load> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[])?;
    let (clients, seconds) = (clients.to_string(), plan.duration().as_secs().to_string());
    let mut arguments = vec![
        "--mode",
        mode,
        "--clients",
        &clients,
        "--duration",
        &seconds,
    ];
    arguments.extend(OBSERVED);
    arguments.extend(more);
    load(&server, &arguments)
}

fn note(figures: &Figures) -> String {
    let latency = &figures.latency_ms;
    let mut text = format!("p50 {:.1}, p99 {:.0} ms", latency.p50, latency.p99);
    let blemish = figures.blemish();
    if !blemish.is_empty() {
        text.push_str("; ");
        text.push_str(&blemish);
    }
    text
}

/// As many as the templates want that are there from the start. Nobody begins before all are made.
const OBSERVED: [&str; 2] = ["--observations", "4"];
/// What the latency is wanted at.
const RATE: u32 = 25_000;
/// What is tried when that is too much, from the highest on.
const RATES: [u32; 11] = [
    22_500, 20_000, 17_500, 15_000, 12_500, 10_000, 7_500, 5_000, 3_000, 2_000, 1_000,
];
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
