//! How answers are written: as a table, as a tree, or for programs as JSON or YAML.
//!
//! Colours are for terminals only. What came from a cluster is written without control characters, so that nobody's event
//! can write to the reader's terminal what it likes.

use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::error::{Error, Result};

/// A way to write an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns.
    Table,
    /// What belongs to what.
    Tree,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a word says of the thing that it describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// As it should be.
    Good,
    /// On its way, or not known.
    Open,
    /// Not as it should be.
    Bad,
}

/// Puts colours on words, or leaves them as they are.
#[derive(Clone, Copy, Debug)]
pub struct Paint(bool);

impl Paint {
    /// For the standard output.
    pub fn stdout(color: Color) -> Self {
        Self(match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        })
    }

    /// Without colours.
    pub const fn plain() -> Self {
        Self(false)
    }

    /// A word in the colour of what it says.
    pub fn health(self, health: Health, text: &str) -> String {
        let color = match health {
            Health::Good => AnsiColor::Green,
            Health::Open => AnsiColor::Yellow,
            Health::Bad => AnsiColor::Red,
        };
        self.with(color.on_default(), text)
    }

    /// A heading.
    pub fn strong(self, text: &str) -> String {
        self.with(Style::new().bold(), text)
    }

    /// A remark.
    pub fn dim(self, text: &str) -> String {
        self.with(Style::new().dimmed(), text)
    }

    fn with(self, style: Style, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

/// A text of others in one line: control characters become spaces.
pub fn line(text: &str) -> String {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Rows in columns; the widest cell decides. The first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let pad = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(pad))
        });
        let line = cells.collect::<Vec<_>>().join("   ");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A value as JSON.
pub fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Output(e.to_string()))?;
    Ok(format!("{text}\n"))
}

/// A value as YAML.
pub fn yaml(value: &impl Serialize) -> Result<String> {
    serde_yaml_ng::to_string(value).map_err(|e| Error::Output(e.to_string()))
}

/// Writes to the standard output. A reader who has gone away wants no more of it.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::File {
            path: "standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Writes an answer in the format that was asked for; `text` makes it for people.
pub fn answer<T: Serialize>(format: Format, value: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
    print(&match format {
        Format::Json => json(value)?,
        Format::Yaml => yaml(value)?,
        Format::Table | Format::Tree => text(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_cannot_steer_a_terminal() {
        assert_eq!(line("a\u{1b}[31mb\r\n  c"), "a [31mb c");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |a: &str, b: &str| vec![a.to_owned(), b.to_owned()];
        assert_eq!(
            table(&[row("NAME", "STATE"), row("übergroß", "x")]),
            "NAME       STATE\nübergroß   x\n"
        );
    }

    #[test]
    fn only_a_painter_with_colours_paints() {
        assert_eq!(Paint::plain().health(Health::Bad, "no"), "no");
        assert_eq!(
            Paint::stdout(Color::Always).health(Health::Bad, "no"),
            "\u{1b}[31mno\u{1b}[0m"
        );
    }
}
