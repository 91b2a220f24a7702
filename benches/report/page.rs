//! The report as a page.

use std::fs;

use crate::goals::{Cost, Goal, grouped};
use crate::support::Result;
use crate::{Plan, Report};

/// Writes `report.md` and its plots.
pub(crate) fn write(plan: &Plan, report: &Report) -> Result<()> {
    fs::create_dir_all(&plan.out)?;
    report.curves.draw(&plan.out)?;
    let parts = [
        head(plan, report),
        goals(plan, report),
        limits(report),
        costs(report),
    ];
    let mut text = parts.join("\n");
    for (title, chapter) in &report.chapters {
        text.push_str(&format!("\n## {title}\n\n{chapter}"));
    }
    fs::write(plan.out.join("report.md"), text)?;
    Ok(())
}

fn head(plan: &Plan, report: &Report) -> String {
    let machine = &report.machine;
    let (half, most) = machine.sync_ms;
    let mut text = format!(
        "# Report of a run\n\n\
        Written by `cargo bench --bench report`; what the figures mean and what binds them is in\n\
        [Performance](../performance.md). Everything was measured in one run of {:.0} minutes, against the program as it\n\
        is released, in a process of its own, with its data in a temporary folder and the generator on the same machine.\n\n\
        | | |\n|---|---|\n\
        | processor | {}, {} cores, shared with the generator |\n\
        | memory | {:.0} GB |\n\
        | kernel | {} |\n\
        | file system | {} |\n\
        | 4 KiB appended and `fdatasync` | p50 {half:.2} ms, p99 {most:.2} ms |\n\
        | commit | {} |\n\
        | date | {} |\n\
        | load average before | {} |\n",
        (report.took.as_secs_f64() / 60.0).max(1.0),
        machine.processor,
        machine.cores,
        machine.memory_gb,
        machine.kernel,
        machine.file_system,
        machine.commit,
        machine.date,
        machine.load,
    );
    if machine.load.parse::<f64>().is_ok_and(|load| load > 0.5) {
        text.push_str(
            "\n**Something else was running on the machine before this run began**, so that figures by the clock are too \
            low; processor time and ratios say more.\n",
        );
    }
    if plan.quick {
        text.push_str(
            "\n**A quick run**: short, with small fleets. It shows that the report works, and is no measurement.\n",
        );
    }
    text
}

fn goals(plan: &Plan, report: &Report) -> String {
    let mut text = "## Goals\n\n\
        | what | figure | goal | reached | share of its limit | beside |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for goal in Goal::ALL {
        let (what, wanted, part) = goal.words();
        let Some(row) = report.row(goal) else {
            let why = why(plan, report, goal, part);
            text.push_str(&format!(
                "| {what} | | {wanted} | not measured | | {why} |\n"
            ));
            continue;
        };
        let reached = if row.reached { "yes" } else { "**no**" };
        let share = row.of_limit.map_or_else(String::new, |(share, which)| {
            format!("{share:.2} of {which}")
        });
        text.push_str(&format!(
            "| {what} | {} | {wanted} | {reached} | {share} | {} |\n",
            row.figure, row.note
        ));
    }
    text
}

/// Why there is no figure.
fn why(plan: &Plan, report: &Report, goal: Goal, part: &str) -> String {
    let needs_all = matches!(goal, Goal::Million | Goal::MillionUpdates);
    if needs_all && !plan.full {
        return "Only with `--full`, which takes half an hour more".to_owned();
    }
    let missing = report.missing.iter().find(|(name, _)| *name == part);
    if let Some((_, error)) = missing {
        return format!("The run of `{part}` failed: {}", error.replace('\n', " "));
    }
    if !plan.wants(part) {
        return format!("`{part}` was not asked for (`--only`)");
    }
    "It was not measured in this run".to_owned()
}

fn limits(report: &Report) -> String {
    let limits = &report.limits;
    let mut text = format!(
        "## Limits of the machine, in the same run\n\n\
        | what | a second |\n|---|---|\n\
        | echo of an Update over UDP, generator included | {} |\n",
        shown(limits.echo)
    );
    for (what, figure) in [
        (
            "bare SQLite: a value with its indices, the latest of its path, its observation",
            limits.notifications,
        ),
        (
            "bare SQLite: what an Update changes of a registration and its device",
            limits.updates,
        ),
        (
            "bare SQLite: a registration of 20 objects, and four observations",
            limits.registrations,
        ),
        (
            "bare SQLite: 60 values with their indices, the latest of their path",
            limits.sends,
        ),
        (
            "bare SQLite: 100 bytes appended to a table without an index",
            limits.appended,
        ),
    ] {
        text.push_str(&format!("| {what} | {} |\n", shown(figure)));
    }
    match &limits.no_openssl {
        Some(why) => text.push_str(&format!(
            "| `openssl speed` | not measured: {} |\n",
            why.replace('\n', " ")
        )),
        None => text.push_str(&format!(
            "| one core of `openssl speed`: records of 128 bytes, AES-128-CCM | {} |\n\
            | one core of `openssl speed`: ECDSA P-256, signatures | {} |\n\
            | one core of `openssl speed`: ECDSA P-256, verifications | {} |\n",
            shown(limits.records),
            shown(limits.signatures),
            shown(limits.verifications)
        )),
    }
    text.push_str(
        "\nBare SQLite inserts from prepared statements, one thread, in transactions of 1,000 requests as the server \
        has them at most, `synchronous=FULL` with the write-ahead log, into tables and indices as the program has them.\n",
    );
    text
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or_else(|| "not measured in this run".to_owned(), grouped)
}

fn costs(report: &Report) -> String {
    let mut text = "## Where the processor time goes\n\n\
        In µs for each request, by the threads of the server, and of the generator, which is no part of it.\n\n\
        | requests | server | devices | journal | writer | SQLite | handshakes | others | generator |\n\
        |---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for goal in Goal::ALL {
        let Some((row, cost)) = report.row(goal).and_then(|row| Some((row, row.cost?))) else {
            continue;
        };
        let (what, ..) = row.goal.words();
        let Cost {
            server,
            devices,
            journal,
            writer,
            sqlite,
            handshakes,
            generator,
        } = cost;
        let rest = cost.rest();
        text.push_str(&format!(
            "| {what} | {server:.1} | {devices:.1} | {journal:.1} | {writer:.1} | {sqlite:.1} | {handshakes:.1} | {rest:.1} | \
            {generator:.1} |\n"
        ));
    }
    text.push_str(
        "\n`devices` are the threads of actix, with the sockets, the registry and the actors; those of the web are among \
        them, and have something to do in the line of live values only. `journal` makes records of what waits and \
        waits for the disk, `writer` makes statements of them later, and `SQLite` works in threads of its own.\n",
    );
    text
}
