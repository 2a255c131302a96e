//! Bar charts: groups of bars, beside each other or piled up, each with its value.

use crate::sheet::{
    Drawn, FAINT, GRID, INK, SMALL, Sheet, Sign, TEXT, colour, ink_on, number, tick,
};
use plotters::{
    prelude::{ChartBuilder, Color as _, DrawingBackend, RGBColor, Rectangle, TRANSPARENT},
    style::text_anchor::{HPos, VPos},
};

/// The least width.
const WIDTH: u32 = 900;
/// The height.
const HEIGHT: u32 = 540;
/// The least width of a bar of several in a group: its value fits.
const BAR: u32 = 27;
/// The part of a group's place that is left free.
const GAP: f64 = 0.22;
/// The least height of a part of a pile whose value is written into it.
const LABELLED: u32 = 15;

/// A bar chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// What it shows.
    pub title: String,
    /// How that was measured.
    pub caption: String,
    /// What the values are, with their unit.
    pub axis: String,
    /// The names of a group's bars, in their order.
    pub series: Vec<String>,
    /// How a group's bars stand.
    pub arrangement: Arrangement,
    /// The groups, from left to right.
    pub groups: Vec<Group>,
}

/// How a group's bars stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrangement {
    /// Beside each other, each with its value on top.
    Beside,
    /// On top of each other, with the sum on top.
    Piled,
}

/// Bars that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub label: String,
    /// One bar a series.
    pub bars: Vec<Bar>,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct Bar {
    /// How high it is, from 0; nothing where there is no value.
    pub value: Option<f64>,
    /// What is written above its value, where the bars are beside each other.
    pub note: String,
}

impl Bar {
    /// A bar of a height.
    pub fn new(value: impl Into<Option<f64>>) -> Self {
        Self {
            value: value.into(),
            note: String::new(),
        }
    }

    /// The bar with a note above its value.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

impl Group {
    /// How much of the axis it takes.
    fn height(&self, arrangement: Arrangement) -> f64 {
        let values = self.bars.iter().filter_map(|bar| bar.value);
        match arrangement {
            Arrangement::Beside => values.fold(0.0, f64::max),
            Arrangement::Piled => values.sum(),
        }
    }
}

/// A figure's plot: where values are on it, in pixels.
struct Plot<'a> {
    /// The pixels of a place, counted in groups, and a value.
    at: &'a dyn Fn(f64, f64) -> (i32, i32),
}

impl Bars {
    pub(crate) fn is_empty(&self) -> bool {
        let mut bars = self.groups.iter().flat_map(|group| &group.bars);
        bars.all(|bar| bar.value.is_none())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        let bars: usize = match self.arrangement {
            Arrangement::Beside => self.groups.iter().map(|group| group.bars.len()).sum(),
            Arrangement::Piled => self.groups.len() * 2,
        };
        let width = f64::from(BAR) * bars as f64 / (1.0 - GAP);
        (WIDTH.max(110 + width as u32), HEIGHT)
    }

    pub(crate) fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<'_, DB>) -> Drawn<DB> {
        let series = self.series.iter().enumerate();
        let legend = series.map(|(index, name)| (name.as_str(), colour(index), Sign::Square));
        let top = sheet.head(&self.title, &self.caption, legend)?;
        let heights = self
            .groups
            .iter()
            .map(|group| group.height(self.arrangement));
        // Room for what is written above the highest.
        let highest = heights.fold(0.0, f64::max).max(f64::MIN_POSITIVE) * 1.14;
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
        let plot = Plot {
            at: &|x, y| chart.backend_coord(&(x, y)),
        };
        for (index, group) in self.groups.iter().enumerate() {
            let place = index as f64;
            match self.arrangement {
                Arrangement::Beside => beside(sheet, &plot, place, group)?,
                Arrangement::Piled => piled(sheet, &plot, place, group)?,
            }
            let (x, y) = (plot.at)(place + 0.5, 0.0);
            let at = (x, y + sheet.px(8));
            let style = sheet.font(TEXT, INK);
            sheet.write(&group.label, at, &style, (HPos::Center, VPos::Top))?;
        }
        Ok(())
    }
}

/// Draws a bar and says where the middle of its top is.
fn bar<DB: DrawingBackend>(
    sheet: &Sheet<'_, DB>,
    plot: &Plot<'_>,
    (left, right): (f64, f64),
    (from, to): (f64, f64),
    colour: RGBColor,
) -> Drawn<DB, (i32, i32)> {
    let (low, high) = ((plot.at)(left, from), (plot.at)(right, to));
    sheet
        .area
        .draw(&Rectangle::new([low, high], colour.filled()))?;
    Ok(((low.0 + high.0) / 2, high.1))
}

fn beside<DB: DrawingBackend>(
    sheet: &Sheet<'_, DB>,
    plot: &Plot<'_>,
    place: f64,
    group: &Group,
) -> Drawn<DB> {
    let width = (1.0 - GAP) / group.bars.len() as f64;
    for (index, one) in group.bars.iter().enumerate() {
        let left = place + GAP / 2.0 + width * index as f64;
        // A hair between neighbours.
        let sides = (left + width * 0.04, left + width * 0.96);
        let value = one.value.unwrap_or_default();
        let (x, y) = bar(sheet, plot, sides, (0.0, value), colour(index))?;
        let label = one.value.map_or_else(|| "–".into(), number);
        let style = sheet.font(SMALL, INK);
        let above = (HPos::Center, VPos::Bottom);
        sheet.write(&label, (x, y - sheet.px(3)), &style, above)?;
        let style = sheet.font(SMALL, FAINT);
        sheet.write(&one.note, (x, y - sheet.px(18)), &style, above)?;
    }
    Ok(())
}

fn piled<DB: DrawingBackend>(
    sheet: &Sheet<'_, DB>,
    plot: &Plot<'_>,
    place: f64,
    group: &Group,
) -> Drawn<DB> {
    let sides = (place + GAP / 2.0, place + 1.0 - GAP / 2.0);
    let mut sum = 0.0;
    for (index, one) in group.bars.iter().enumerate() {
        let Some(value) = one.value else { continue };
        let fill = colour(index);
        let (x, top) = bar(sheet, plot, sides, (sum, sum + value), fill)?;
        let (_, bottom) = (plot.at)(place, sum);
        if bottom - top >= sheet.px(LABELLED) {
            let style = sheet.font(SMALL, ink_on(fill));
            let middle = (x, (top + bottom) / 2);
            sheet.write(&number(value), middle, &style, (HPos::Center, VPos::Center))?;
        }
        sum += value;
    }
    let (x, y) = (plot.at)(place + 0.5, sum);
    let style = sheet.font(TEXT, INK);
    let above = (HPos::Center, VPos::Bottom);
    sheet.write(&number(sum), (x, y - sheet.px(3)), &style, above)
}
