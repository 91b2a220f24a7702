//! Plots of cost against the number of devices.

use std::path::Path;

use plotters::prelude::*;

use crate::support::Result;

/// Number of devices and cost.
pub(crate) type Points = Vec<(f64, f64)>;

/// What is drawn.
#[derive(Default)]
pub(crate) struct Curves {
    /// Processor time in µs.
    pub(crate) notification_us: Points,
    pub(crate) update_us: Points,
    /// Resident memory of an idle server for each device.
    pub(crate) endpoint_bytes: Points,
    /// From the start after a `kill -9` to the first answer.
    pub(crate) restart_s: Points,
}

impl Curves {
    /// Draws what there is into this folder.
    pub(crate) fn draw(&self, folder: &Path) -> Result<()> {
        plot(
            &folder.join("cost.svg"),
            "Processor time of the server for a request, µs",
            &[
                ("notification", &self.notification_us),
                ("Update", &self.update_us),
            ],
        )?;
        plot(
            &folder.join("memory.svg"),
            "Resident memory of an idle server for each device, bytes",
            &[("device", &self.endpoint_bytes)],
        )?;
        plot(
            &folder.join("restart.svg"),
            "From the start after kill -9 to the first answer, s",
            &[("start", &self.restart_s)],
        )
    }
}

/// Against the number of devices, by powers of ten.
fn plot(file: &Path, title: &str, lines: &[(&str, &Points)]) -> Result<()> {
    let all = || lines.iter().flat_map(|(_, points)| points.iter());
    let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(0.0_f64, f64::max);
    let few = all().map(|(devices, _)| *devices).fold(f64::MAX, f64::min);
    if all().count() == 0 {
        return Ok(());
    }
    let area = SVGBackend::new(file, (720, 360)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (few * 0.8..most(|(devices, _)| *devices) * 1.25).log_scale(),
            0.0..most(|(_, cost)| *cost) * 1.15,
        )?;
    chart
        .configure_mesh()
        .x_desc("devices")
        .x_label_formatter(&|devices| crate::goals::grouped(*devices))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.15))
        .draw()?;
    for ((name, points), colour) in lines.iter().zip([BLUE, RED]) {
        chart
            .draw_series(LineSeries::new(
                points.iter().copied(),
                colour.stroke_width(2),
            ))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(
            points
                .iter()
                .map(|point| Circle::new(*point, 4, colour.filled())),
        )?;
    }
    if lines.len() > 1 {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK.mix(0.3))
            .draw()?;
    }
    area.present()?;
    Ok(())
}
