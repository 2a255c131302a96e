//! A white sheet to draw on: sizes in units of the SVG, one font, one palette, and what every
//! figure has: title, caption and legend.

use plotters::{
    coord::Shift,
    prelude::{
        Color, DrawingArea, DrawingAreaErrorKind, DrawingBackend, FontStyle, IntoFont as _,
        Polygon, RGBColor, Rectangle, Text, TextStyle, WHITE,
    },
    style::{
        register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

/// The embedded font first, then what is like it elsewhere; as the SVG names it.
const FONT: &str = "Noto Sans, Segoe UI, Helvetica, Arial, sans-serif";
/// Text sizes, from large to small.
pub(crate) const TITLE: u32 = 21;
pub(crate) const TEXT: u32 = 15;
pub(crate) const SMALL: u32 = 13;
/// What is kept free at the edges.
const EDGE: u32 = 16;

pub(crate) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(crate) const FAINT: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub(crate) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);

/// The colours of Okabe and Ito, which people with any colour vision tell apart.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xf0, 0xe4, 0x42),
];

/// What drawing comes to.
pub(crate) type Drawn<DB, T = ()> =
    Result<T, DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

/// What stands for a series: a filled square, or the sign of its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Square,
    /// One of several forms, so that colours need not tell lines apart alone.
    Point(usize),
}

pub(crate) struct Sheet<'a, DB: DrawingBackend> {
    pub(crate) area: &'a DrawingArea<DB, Shift>,
    scale: u32,
}

/// The colour of the series with this number.
pub(crate) fn colour(series: usize) -> RGBColor {
    PALETTE[series % PALETTE.len()]
}

/// The colour of text on this one.
pub(crate) fn ink_on(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let light = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    if light > 140_000 { INK } else { WHITE }
}

/// A number with three digits, or as many as it has before the point.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number at an axis: without digits that say nothing.
pub(crate) fn tick(value: f64) -> String {
    let text = number(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

impl<'a, DB: DrawingBackend> Sheet<'a, DB> {
    /// A white sheet of which one unit is `scale` pixels.
    pub(crate) fn new(area: &'a DrawingArea<DB, Shift>, scale: u32) -> Drawn<DB, Self> {
        // Whether the embedded file is a font, the tests know.
        let _ = register_font(FONT, FontStyle::Normal, notosans::REGULAR_TTF);
        area.fill(&WHITE)?;
        Ok(Self { area, scale })
    }

    /// Pixels of a length.
    pub(crate) fn px(&self, units: u32) -> i32 {
        (units * self.scale) as i32
    }

    /// A text style of a size, in a colour.
    pub(crate) fn font(&self, size: u32, colour: RGBColor) -> TextStyle<'static> {
        let size = f64::from(size * self.scale);
        (FONT, size).into_font().color(&colour)
    }

    /// How wide a text is, in pixels.
    pub(crate) fn width(&self, text: &str, size: u32) -> Drawn<DB, i32> {
        let (width, _) = self.area.estimate_text_size(text, &self.font(size, INK))?;
        Ok(width as i32)
    }

    /// Writes a text where its anchor is said to be.
    pub(crate) fn write(
        &self,
        text: &str,
        at: (i32, i32),
        style: &TextStyle<'_>,
        (h, v): (HPos, VPos),
    ) -> Drawn<DB> {
        self.area.draw_text(text, &style.pos(Pos::new(h, v)), at)
    }

    /// Draws the sign of a series.
    pub(crate) fn sign(&self, sign: Sign, (x, y): (i32, i32), colour: RGBColor) -> Drawn<DB> {
        let r = self.px(4);
        let polygon = |points: &[(i32, i32)]| {
            let points: Vec<_> = points.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
            self.area.draw(&Polygon::new(points, colour.filled()))
        };
        match sign {
            Sign::Square => {
                let r = self.px(6);
                let corners = [(x - r, y - r), (x + r, y + r)];
                self.area.draw(&Rectangle::new(corners, colour.filled()))
            }
            Sign::Point(form) => match form % 4 {
                0 => {
                    let circle = plotters::prelude::Circle::new((x, y), r, colour.filled());
                    self.area.draw(&circle)
                }
                1 => polygon(&[(-r, -r), (r, -r), (r, r), (-r, r)]),
                2 => polygon(&[(0, -r - 1), (r + 1, r), (-r - 1, r)]),
                _ => polygon(&[(0, -r - 2), (r + 2, 0), (0, r + 2), (-r - 2, 0)]),
            },
        }
    }

    /// Writes title, caption and legend, and says where they end.
    pub(crate) fn head<'s>(
        &self,
        title: &str,
        caption: &str,
        legend: impl IntoIterator<Item = (&'s str, RGBColor, Sign)>,
    ) -> Drawn<DB, i32> {
        let left = self.px(EDGE);
        let right = self.area.dim_in_pixel().0 as i32 - left;
        let mut y = self.px(12);
        let style = self.font(TITLE, INK);
        self.area
            .draw(&Text::new(title.to_owned(), (left, y), style))?;
        y += self.px(30);
        for line in self.lines(caption, right - left)? {
            let style = self.font(SMALL, FAINT);
            self.area.draw(&Text::new(line, (left, y), style))?;
            y += self.px(18);
        }
        y += self.px(16);
        let mut x = left;
        for (name, colour, sign) in legend {
            let width = self.width(name, SMALL)? + self.px(34);
            if x + width > right && x > left {
                (x, y) = (left, y + self.px(22));
            }
            self.sign(sign, (x + self.px(6), y - self.px(1)), colour)?;
            let at = (x + self.px(18), y);
            self.write(name, at, &self.font(SMALL, INK), (HPos::Left, VPos::Center))?;
            x += width;
        }
        Ok(y + self.px(18))
    }

    /// A text in lines that are not wider than `width` pixels, where its words allow it.
    fn lines(&self, text: &str, width: i32) -> Drawn<DB, Vec<String>> {
        let mut lines: Vec<String> = Vec::new();
        for word in text.split_whitespace() {
            if let Some(line) = lines.last_mut() {
                let longer = format!("{line} {word}");
                if self.width(&longer, SMALL)? <= width {
                    *line = longer;
                    continue;
                }
            }
            lines.push(word.to_owned());
        }
        Ok(lines)
    }
}
