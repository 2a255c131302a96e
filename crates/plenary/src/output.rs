//! What commands print: tables for people, one JSON value with `--json`, progress on long work.
//!
//! Results go to standard output; everything else goes to standard error.

use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::{
    fmt::Display,
    io::{self, IsTerminal as _},
};

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// Prints JSON, or for people.
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: as JSON, or as `human` puts it.
    pub(crate) fn show(self, value: &impl Serialize, human: impl FnOnce() -> String) {
        if self.json {
            self.line(value);
        } else {
            print(io::stdout(), &human());
        }
    }

    /// Prints one line of JSON, whether asked for JSON or not.
    pub(crate) fn line(self, value: &impl Serialize) {
        // Everything that is shown is made of maps with text keys, which serialize.
        let line = serde_json::to_string(value).unwrap_or_default();
        print(io::stdout(), &line);
    }

    /// Tells people what goes on; says nothing with `--json`.
    pub(crate) fn note(self, text: impl Display) {
        if !self.json {
            print(io::stderr(), &text.to_string());
        }
    }

    /// Reports why a command did not do its job.
    pub(crate) fn error(self, error: &impl Display) {
        if self.json {
            let line = serde_json::json!({ "error": error.to_string() });
            print(io::stderr(), &line.to_string());
        } else {
            print(io::stderr(), &format!("error: {error}"));
        }
    }

    /// Lines on standard error that can be written anew, where that is a terminal and people look.
    pub(crate) fn lines(self) -> Option<MultiProgress> {
        let shown = !self.json && io::stderr().is_terminal();
        shown.then(MultiProgress::new)
    }

    /// A progress bar on standard error, where that is a terminal and people look.
    pub(crate) fn progress(self, what: &'static str) -> ProgressBar {
        let target = if self.json {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_prefix(what);
        let form = "{prefix} [{wide_bar}] {percent:>3} % {msg} ({eta} left)";
        match ProgressStyle::with_template(form) {
            Ok(style) => bar.with_style(style.progress_chars("=> ")),
            Err(_) => bar,
        }
    }
}

/// Prints a text and a line end. Whoever reads may be gone (`| head`): that is no failure.
fn print(mut to: impl io::Write, text: &str) {
    let _ = writeln!(to, "{}", text.trim_end_matches('\n'));
    let _ = to.flush();
}

/// A table for people. Values are never broken over lines, so that they can be copied.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table.to_string()
}
