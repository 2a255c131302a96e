//! Line charts: curves through measured points, on linear or logarithmic axes.

use crate::sheet::{Drawn, FAINT, GRID, INK, SMALL, Sheet, Sign, TEXT, colour, tick};
use plotters::{
    chart::ChartContext,
    coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter},
    prelude::{
        Cartesian2d, ChartBuilder, Color as _, DrawingBackend, IntoLogRange as _, LineSeries,
        TRANSPARENT,
    },
};
use std::ops::Range;

/// Width and height.
const SIZE: (u32, u32) = (900, 540);

/// A line chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// What it shows.
    pub title: String,
    /// How that was measured.
    pub caption: String,
    /// The axis from left to right.
    pub x: Axis,
    /// The axis upwards.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What its values are, with their unit.
    pub label: String,
    /// Whether it is logarithmic; what is not above 0 is then not shown. A linear one begins at 0.
    pub logarithmic: bool,
}

/// A curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points (x, y), in the order in which they are connected.
    pub points: Vec<(f64, f64)>,
}

impl Axis {
    /// A linear axis.
    pub fn linear(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            logarithmic: false,
        }
    }

    /// A logarithmic axis.
    pub fn logarithmic(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            logarithmic: true,
        }
    }

    fn shows(&self, value: f64) -> bool {
        value.is_finite() && (value > 0.0 || !self.logarithmic)
    }

    /// From where to where it goes, so that it holds all values.
    fn range(&self, values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
        let highest = values.clone().fold(f64::MIN_POSITIVE, f64::max);
        match self.logarithmic {
            true => values.fold(highest, f64::min) / 1.3..highest * 1.3,
            false => 0.0..highest * 1.06,
        }
    }
}

impl Lines {
    pub(crate) fn is_empty(&self) -> bool {
        self.points().next().is_none()
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        SIZE
    }

    /// All points that are shown.
    fn points(&self) -> impl Iterator<Item = (f64, f64)> + Clone {
        self.series.iter().flat_map(|series| self.shown(series))
    }

    fn shown<'a>(&'a self, series: &'a Series) -> impl Iterator<Item = (f64, f64)> + Clone + 'a {
        let points = series.points.iter().copied();
        points.filter(|(x, y)| self.x.shows(*x) && self.y.shows(*y))
    }

    pub(crate) fn draw<DB: DrawingBackend>(&self, sheet: &Sheet<'_, DB>) -> Drawn<DB> {
        let x = self.x.range(self.points().map(|(x, _)| x));
        let y = self.y.range(self.points().map(|(_, y)| y));
        match (self.x.logarithmic, self.y.logarithmic) {
            (false, false) => self.draw_on(sheet, x, y),
            (false, true) => self.draw_on(sheet, x, y.log_scale()),
            (true, false) => self.draw_on(sheet, x.log_scale(), y),
            (true, true) => self.draw_on(sheet, x.log_scale(), y.log_scale()),
        }
    }

    fn draw_on<DB, X, Y>(&self, sheet: &Sheet<'_, DB>, x: X, y: Y) -> Drawn<DB>
    where
        DB: DrawingBackend,
        X: AsRangedCoord<Value = f64, CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>>,
        Y: AsRangedCoord<Value = f64, CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>>,
    {
        let series = self.series.iter().enumerate();
        let legend =
            series.map(|(index, one)| (one.name.as_str(), colour(index), Sign::Point(index)));
        let top = sheet.head(&self.title, &self.caption, legend)?;
        let mut chart = ChartBuilder::on(sheet.area)
            .margin_top(top)
            .margin_right(sheet.px(24))
            .margin_bottom(sheet.px(10))
            .margin_left(sheet.px(12))
            .x_label_area_size(sheet.px(50))
            .y_label_area_size(sheet.px(62))
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .x_labels(12)
            .y_labels(8)
            .x_label_formatter(&|value| tick(*value))
            .y_label_formatter(&|value| tick(*value))
            .label_style(sheet.font(SMALL, INK))
            .axis_desc_style(sheet.font(TEXT, INK))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .draw()?;
        self.curves(sheet, &mut chart)
    }

    fn curves<DB, X, Y>(
        &self,
        sheet: &Sheet<'_, DB>,
        chart: &mut ChartContext<'_, DB, Cartesian2d<X, Y>>,
    ) -> Drawn<DB>
    where
        DB: DrawingBackend,
        X: Ranged<ValueType = f64>,
        Y: Ranged<ValueType = f64>,
    {
        for (index, series) in self.series.iter().enumerate() {
            let line = colour(index).stroke_width(sheet.px(2) as u32);
            chart.draw_series(LineSeries::new(self.shown(series), line))?;
            for point in self.shown(series) {
                let at = chart.backend_coord(&point);
                sheet.sign(Sign::Point(index), at, colour(index))?;
            }
        }
        Ok(())
    }
}
