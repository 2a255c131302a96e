//! Figures of measurements: plain data in, SVG and PNG out.
//!
//! A [`Figure`] says what to draw and nothing of how. Both formats are drawn by the same code, from
//! a font that is part of the program, so that no machine needs fonts or libraries of the system. A
//! viewer of the SVG that has not got the font takes another one.
//!
//! ```
//! use plenary_figures::{Arrangement, Bar, Bars, Figure, Group};
//!
//! let figure = Figure::from(Bars {
//!     title: "How long a step takes".into(),
//!     caption: "One client".into(),
//!     axis: "milliseconds".into(),
//!     series: vec!["layer 2".into(), "layer 1".into()],
//!     arrangement: Arrangement::Beside,
//!     groups: vec![Group {
//!         label: "4-1".into(),
//!         bars: vec![Bar::new(0.6), Bar::new(9.4).note("16 ×")],
//!     }],
//! });
//! assert!(figure.svg()?.contains("How long a step takes"));
//! # Ok::<(), plenary_figures::FigureError>(())
//! ```

mod bars;
mod boxes;
mod lines;
mod sheet;

pub use bars::{Arrangement, Bar, Bars, Group};
pub use boxes::{BoxGroup, Boxes, Spread};
pub use lines::{Axis, Lines, Series};

use plotters::prelude::{BitMapBackend, DrawingBackend, IntoDrawingArea as _, SVGBackend};
use sheet::{Drawn, Sheet};
use std::{fs, io, path::Path};

/// How many pixels of the PNG make one of the SVG, so that it is sharp on dense screens too.
const PNG_SCALE: u32 = 2;

/// What to draw.
#[derive(Debug, Clone, PartialEq)]
pub enum Figure {
    /// A bar chart.
    Bars(Bars),
    /// A box plot.
    Boxes(Boxes),
    /// A line chart.
    Lines(Lines),
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// No value to draw.
    #[error("the figure `{0}` has no value to draw")]
    Empty(String),
    /// It cannot be drawn.
    #[error("the figure cannot be drawn: {0}")]
    Draw(String),
    /// It cannot be written as PNG.
    #[error("the figure cannot be written as PNG: {0}")]
    Png(#[from] png::EncodingError),
    /// A file of it cannot be written.
    #[error("cannot write the figure {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl From<Bars> for Figure {
    fn from(bars: Bars) -> Self {
        Self::Bars(bars)
    }
}

impl From<Boxes> for Figure {
    fn from(boxes: Boxes) -> Self {
        Self::Boxes(boxes)
    }
}

impl From<Lines> for Figure {
    fn from(lines: Lines) -> Self {
        Self::Lines(lines)
    }
}

impl Figure {
    /// The figure as SVG.
    ///
    /// # Errors
    ///
    /// Where there is no value to draw.
    pub fn svg(&self) -> Result<String, FigureError> {
        self.check()?;
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, self.size()), 1)?;
        Ok(svg)
    }

    /// The figure as PNG, twice as many pixels wide and high as the SVG.
    ///
    /// # Errors
    ///
    /// Where there is no value to draw.
    pub fn png(&self) -> Result<Vec<u8>, FigureError> {
        self.check()?;
        let (width, height) = self.size();
        let (width, height) = (PNG_SCALE * width, PNG_SCALE * height);
        let mut pixels = vec![0; 3 * width as usize * height as usize];
        let backend = BitMapBackend::with_buffer(&mut pixels, (width, height));
        self.draw(backend, PNG_SCALE)?;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&pixels)?;
        writer.finish()?;
        Ok(file)
    }

    /// Writes `name`.svg and `name`.png into a directory, over those that are there.
    ///
    /// # Errors
    ///
    /// Where there is no value to draw, or a file cannot be written.
    pub fn save(&self, directory: &Path, name: &str) -> Result<(), FigureError> {
        let write = |extension: &str, content: &[u8]| {
            let path = directory.join(format!("{name}.{extension}"));
            fs::write(&path, content).map_err(|source| FigureError::Write {
                path: path.display().to_string(),
                source,
            })
        };
        write("svg", self.svg()?.as_bytes())?;
        write("png", &self.png()?)
    }

    /// Whether there is no value to draw.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Bars(bars) => bars.is_empty(),
            Self::Boxes(boxes) => boxes.is_empty(),
            Self::Lines(lines) => lines.is_empty(),
        }
    }

    fn check(&self) -> Result<(), FigureError> {
        let title = match self {
            Self::Bars(bars) => &bars.title,
            Self::Boxes(boxes) => &boxes.title,
            Self::Lines(lines) => &lines.title,
        };
        match self.is_empty() {
            true => Err(FigureError::Empty(title.clone())),
            false => Ok(()),
        }
    }

    fn size(&self) -> (u32, u32) {
        match self {
            Self::Bars(bars) => bars.size(),
            Self::Boxes(boxes) => boxes.size(),
            Self::Lines(lines) => lines.size(),
        }
    }

    fn draw<DB: DrawingBackend>(&self, backend: DB, scale: u32) -> Result<(), FigureError> {
        let draw = || -> Drawn<DB> {
            let area = backend.into_drawing_area();
            let sheet = Sheet::new(&area, scale)?;
            match self {
                Self::Bars(bars) => bars.draw(&sheet)?,
                Self::Boxes(boxes) => boxes.draw(&sheet)?,
                Self::Lines(lines) => lines.draw(&sheet)?,
            }
            area.present()
        };
        draw().map_err(|error| FigureError::Draw(error.to_string()))
    }
}
