//! Box plots: how measured values are distributed, in groups beside each other.

use crate::sheet::{Drawn, FAINT, GRID, INK, SMALL, Sheet, Sign, TEXT, colour, number, tick};
use plotters::{
    prelude::{
        ChartBuilder, Color as _, DrawingBackend, PathElement, RGBColor, Rectangle, TRANSPARENT,
    },
    style::text_anchor::{HPos, VPos},
};

/// Width and height.
const SIZE: (u32, u32) = (900, 540);
/// The part of a group's place that is left free.
const GAP: f64 = 0.22;
/// The part of a box's place that the box takes.
const WIDTH: f64 = 0.72;

/// A box plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Boxes {
    /// What it shows.
    pub title: String,
    /// How that was measured, and what the whiskers mean.
    pub caption: String,
    /// What the values are, with their unit.
    pub axis: String,
    /// The names of a group's boxes, in their order.
    pub series: Vec<String>,
    /// The groups, from left to right.
    pub groups: Vec<BoxGroup>,
}

/// Boxes that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct BoxGroup {
    /// What they have in common.
    pub label: String,
    /// One box a series; nothing where there are no values.
    pub boxes: Vec<Option<Spread>>,
}

/// A distribution in five numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Where the lower whisker ends.
    pub low: f64,
    /// The lower quartile.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The upper quartile.
    pub upper: f64,
    /// Where the upper whisker ends; written above it.
    pub high: f64,
}

impl Boxes {
    pub(crate) fn is_empty(&self) -> bool {
        self.spreads().next().is_none()
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        SIZE
    }

    fn spreads(&self) -> impl Iterator<Item = &Spread> {
        self.groups
            .iter()
            .flat_map(|group| group.boxes.iter().flatten())
    }

    pub(crate) fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<'_, DB>) -> Drawn<DB> {
        let series = self.series.iter().enumerate();
        let legend = series.map(|(index, name)| (name.as_str(), colour(index), Sign::Square));
        let top = sheet.head(&self.title, &self.caption, legend)?;
        let highs = self.spreads().map(|spread| spread.high);
        // Room for what is written above the highest.
        let highest = highs.fold(f64::MIN_POSITIVE, f64::max) * 1.1;
        let mut chart = ChartBuilder::on(sheet.area)
            .margin_top(top)
            .margin_right(sheet.px(16))
            .margin_bottom(sheet.px(34))
            .margin_left(sheet.px(12))
            .y_label_area_size(sheet.px(62))
            .build_cartesian_2d(0.0..self.groups.len() as f64, 0.0..highest)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .disable_x_axis()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .y_labels(8)
            .y_label_formatter(&|value| tick(*value))
            .y_label_style(sheet.font(SMALL, INK))
            .axis_desc_style(sheet.font(TEXT, INK))
            .y_desc(&self.axis)
            .draw()?;
        let at = |x: f64, y: f64| chart.backend_coord(&(x, y));
        for (index, group) in self.groups.iter().enumerate() {
            let place = index as f64;
            let width = (1.0 - GAP) / group.boxes.len().max(1) as f64;
            for (series, spread) in group.boxes.iter().enumerate() {
                let middle = place + GAP / 2.0 + width * (series as f64 + 0.5);
                let half = width * WIDTH / 2.0;
                if let Some(spread) = spread {
                    one(sheet, &at, (middle, half), spread, colour(series))?;
                }
            }
            let (x, y) = at(place + 0.5, 0.0);
            let style = sheet.font(TEXT, INK);
            let below = (x, y + sheet.px(8));
            sheet.write(&group.label, below, &style, (HPos::Center, VPos::Top))?;
        }
        Ok(())
    }
}

fn one<DB: DrawingBackend>(
    sheet: &Sheet<'_, DB>,
    at: &dyn Fn(f64, f64) -> (i32, i32),
    (middle, half): (f64, f64),
    spread: &Spread,
    colour: RGBColor,
) -> Drawn<DB> {
    let stroke = INK.stroke_width(sheet.px(1) as u32);
    let line = |from: (f64, f64), to: (f64, f64)| {
        let points = vec![at(from.0, from.1), at(to.0, to.1)];
        sheet.area.draw(&PathElement::new(points, stroke))
    };
    line((middle, spread.low), (middle, spread.lower))?;
    line((middle, spread.upper), (middle, spread.high))?;
    for end in [spread.low, spread.high] {
        line((middle - half / 2.0, end), (middle + half / 2.0, end))?;
    }
    let corners = [
        at(middle - half, spread.lower),
        at(middle + half, spread.upper),
    ];
    sheet.area.draw(&Rectangle::new(corners, colour.filled()))?;
    let median = vec![
        at(middle - half, spread.median),
        at(middle + half, spread.median),
    ];
    let thick = INK.stroke_width(sheet.px(2) as u32);
    sheet.area.draw(&PathElement::new(median, thick))?;
    let (x, y) = at(middle, spread.high);
    let above = (x, y - sheet.px(4));
    let style = sheet.font(SMALL, INK);
    sheet.write(
        &number(spread.high),
        above,
        &style,
        (HPos::Center, VPos::Bottom),
    )
}
