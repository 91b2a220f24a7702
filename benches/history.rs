//! How long a chart of a day and the latest values of a device take when very many values are stored, and
//! what rolling them up costs.
//!
//! `cargo bench --bench history -- [MILLIONS]` fills a database with so many million values (10 when nobody
//! says; 100 need 20 GB) of three days, from devices that report each second, each ten seconds, each minute
//! and each ten minutes; then it asks for charts of 24 hours with 1,000 points and for latest values, before
//! and after the values are rolled up, with warm and with cold caches. Prints tables in Markdown.
//! `HISTORY_DIR` is a folder for the database (a temporary one when nobody says), `HISTORY_URL` a PostgreSQL
//! database to be filled instead; there only caches that are warm are measured.

use std::path::PathBuf;

use support::{Result, history};

mod support;

fn main() -> Result<()> {
    let mut millions = 10;
    for argument in std::env::args().skip(1) {
        if let Ok(number) = argument.parse::<i64>() {
            millions = number;
        }
    }
    let temporary = tempfile::tempdir()?;
    let folder = match std::env::var("HISTORY_DIR") {
        Ok(folder) => PathBuf::from(folder),
        Err(_) => temporary.path().to_owned(),
    };
    let url = std::env::var("HISTORY_URL").unwrap_or_default();
    let figures = history::measure(&folder, &url, millions)?;
    let values = figures.values;
    println!(
        "{values} values in {:.0} s, {} B each with indices\n",
        figures.fill_s, figures.bytes_each
    );
    println!("| what | series | cache | p50, ms | p99, ms | max, ms | points |");
    println!("|---|---|---|---|---|---|---|");
    for line in figures.lines {
        println!(
            "| {} | {} | {} | {:.2} | {:.2} | {:.2} | {} |",
            line.what, line.times, line.cache, line.p50_ms, line.p99_ms, line.max_ms, line.points
        );
    }
    let (wall, cpu, bytes) = figures.rolled;
    println!(
        "\nRolled up in {wall:.0} s: {:.0} values/s, {cpu:.2} µs of CPU and {bytes:.1} B a value",
        values as f64 / wall
    );
    println!("\n| devices | one value in, s | values | minutes | hours | days | rows a value |");
    println!("|---|---|---|---|---|---|---|");
    for table in figures.tables {
        let [minutes, hours, days] = table.rows;
        println!(
            "| {} | {} | {} | {minutes} | {hours} | {days} | {:.3} |",
            table.devices,
            table.seconds,
            table.values,
            (minutes + hours + days) as f64 / table.values.max(1) as f64
        );
    }
    println!("\n{values} values in all");
    Ok(())
}
