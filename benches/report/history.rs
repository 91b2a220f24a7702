//! Charts and latest values from very many values.

use crate::goals::{Goal, Row, grouped};
use crate::support::{Result, history};
use crate::{Plan, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let figures = history::measure(folder.path(), "", plan.millions)?;
    let values = format!("{} values", grouped(figures.values as f64));
    let warm = |what: &str| {
        figures
            .lines
            .iter()
            .filter(|line| line.cache == "warm" && line.what.starts_with(what))
            .max_by(|one, other| one.p50_ms.total_cmp(&other.p50_ms))
    };
    for (goal, what, most) in [
        (Goal::Chart, "24 h chart", 50.0),
        (Goal::Latest, "latest", 5.0),
    ] {
        let Some(line) = warm(what) else { continue };
        report.rows.push(
            Row::new(goal, format!("{:.1} ms", line.p50_ms), line.p50_ms <= most).note(format!(
                "{values}; {}; p99 {:.1} ms; caches warm",
                line.what, line.p99_ms
            )),
        );
    }
    let (seconds, cpu, bytes) = figures.rolled;
    let mut text = format!(
        "{values} of three days in SQLite, of devices that report each second, each ten seconds, each minute and \
        each ten minutes. Warm: the second time; cold: after the operating system forgot the file. `--millions 100` \
        measures with as many as the goal names, which takes 20 GB and half an hour.\n\n\
        | what | times | cache | p50, ms | p99, ms | longest, ms |\n|---|---|---|---|---|---|\n"
    );
    for line in &figures.lines {
        text.push_str(&format!(
            "| {} | {} | {} | {:.1} | {:.1} | {:.1} |\n",
            line.what, line.times, line.cache, line.p50_ms, line.p99_ms, line.max_ms
        ));
    }
    text.push_str(&format!(
        "\nA value takes {} bytes with its indices, and {bytes:.1} bytes more for what is computed. Adding them up \
        went at {} values a second and took {cpu:.2} µs of processor time each.\n",
        figures.bytes_each,
        grouped(figures.values as f64 / seconds)
    ));
    report.chapters.push(("History", text));
    Ok(())
}
