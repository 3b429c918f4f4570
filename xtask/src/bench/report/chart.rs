//! Bar charts with one bar for each row of a workload: CPU time with its parts, or one figure.

use std::path::Path;

use anyhow::Context as _;
use plotters::prelude::*;

use crate::bench::results::{Measure, Outcome};

/// Width of the picture, in pixels.
const WIDTH: u32 = 800;
/// Height of one bar with its gaps.
const BAR: u32 = 34;
/// Height of everything else: heading, axis, legend.
const AROUND: u32 = 130;
/// Room for the rows' names.
const NAMES: u32 = 140;
const FONT: &str = "sans-serif";
const USER: RGBColor = RGBColor(31, 119, 180);
const SYSTEM: RGBColor = RGBColor(255, 165, 60);

/// Draws the medians to an SVG file.
///
/// # Errors
/// The file cannot be written.
pub(super) fn draw(outcome: &Outcome, file: &Path) -> anyhow::Result<()> {
    let bars: Vec<Bar> = outcome
        .rows
        .iter()
        .filter_map(|row| {
            let main = row.summary(Measure::Main)?.median;
            let user = row.summary(Measure::User).map(|user| user.median);
            Some(Bar {
                name: if row.errors().next().is_some() {
                    format!("!! {}", row.name)
                } else {
                    row.name.clone()
                },
                // Medians of parts need not add up, so the rest of the bar counts as system time.
                first: user.unwrap_or(main).min(main),
                whole: main,
            })
        })
        .collect();
    // plotters' errors name the type of the drawing area, which is of no use to the reader.
    paint(outcome, &bars, file)
        .map_err(|error| anyhow::anyhow!("{error}"))
        .with_context(|| format!("cannot draw {}", file.display()))
}

/// One row's bar, in one or two parts.
struct Bar {
    name: String,
    first: f64,
    whole: f64,
}

fn paint(outcome: &Outcome, bars: &[Bar], file: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rows = u32::try_from(bars.len())?;
    let area = SVGBackend::new(file, (WIDTH, AROUND + BAR * rows)).into_drawing_area();
    area.fill(&WHITE)?;
    let longest = bars.iter().map(|bar| bar.whole).fold(0.0, f64::max);
    // Leaves room for the legend next to the first bar. An empty axis cannot be drawn.
    let end = if longest > 0.0 { longest * 1.3 } else { 1.0 };
    // The bars are in the order of the table, from the top down.
    let place = |index: usize| bars.len() - 1 - index;
    let mut chart = ChartBuilder::on(&area)
        .margin(14)
        .caption(
            format!("{}: {}", outcome.workload, outcome.unit.label()),
            (FONT, 20),
        )
        .x_label_area_size(34)
        .y_label_area_size(NAMES)
        .build_cartesian_2d(0.0..end, (0..bars.len().saturating_sub(1)).into_segmented())?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(TRANSPARENT)
        .y_labels(bars.len())
        .y_label_formatter(&|value| match value {
            SegmentValue::CenterOf(index) => bars
                .len()
                .checked_sub(index + 1)
                .and_then(|row| bars.get(row))
                .map_or_else(String::new, |bar| bar.name.clone()),
            SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
        })
        .label_style((FONT, 14))
        .draw()?;
    let bar = |index: usize, from: f64, to: f64, colour: RGBColor| {
        let (low, high) = (place(index), place(index) + 1);
        let corners = [
            (from, SegmentValue::Exact(low)),
            (to, SegmentValue::Exact(high)),
        ];
        let mut bar = Rectangle::new(corners, colour.filled());
        bar.set_margin(5, 5, 0, 0);
        bar
    };
    let legend = |colour: RGBColor| {
        move |(x, y): (i32, i32)| Rectangle::new([(x, y - 6), (x + 12, y + 6)], colour.filled())
    };
    let parts = outcome.unit.is_cpu();
    let first = bars.iter().enumerate();
    let series = chart.draw_series(first.map(|(index, one)| bar(index, 0.0, one.first, USER)))?;
    if parts {
        series.label("user").legend(legend(USER));
        let second = bars.iter().enumerate();
        chart
            .draw_series(second.map(|(index, one)| bar(index, one.first, one.whole, SYSTEM)))?
            .label("system")
            .legend(legend(SYSTEM));
    }
    chart.draw_series(bars.iter().enumerate().map(|(index, one)| {
        let end = (one.whole, SegmentValue::CenterOf(place(index)));
        let figure = format!("{:.*}", outcome.unit.digits(), one.whole);
        EmptyElement::at(end) + Text::new(figure, (6, -7), (FONT, 14))
    }))?;
    if parts {
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(TRANSPARENT)
            .label_font((FONT, 14))
            .draw()?;
    }
    area.present()?;
    Ok(())
}
