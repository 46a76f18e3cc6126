//! Tables that commands write into documents: each between a pair of marks that bear its name, so that one document
//! can hold several and words around them.

use std::path::{Path, PathBuf};

/// A table could not be put into its document.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The document cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The document.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The document has no place for it.
    #[error("{} has no lines `{}` and `{}`, in this order", path.display(), begin(section), end(section))]
    NoPlace {
        /// The document.
        path: PathBuf,
        /// Name of the table.
        section: String,
    },
}

fn begin(section: &str) -> String {
    format!("<!-- {section}: written by a command -->")
}

fn end(section: &str) -> String {
    format!("<!-- {section}: end -->")
}

/// Puts `text` between the marks of `section` in the document at `path`.
pub fn write_section(path: &Path, section: &str, text: &str) -> Result<(), ReportError> {
    let io = |source| ReportError::Io {
        path: path.to_owned(),
        source,
    };
    let document = std::fs::read_to_string(path).map_err(io)?;
    let changed = replaced(&document, section, text).ok_or_else(|| ReportError::NoPlace {
        path: path.to_owned(),
        section: section.to_owned(),
    })?;
    std::fs::write(path, changed).map_err(io)
}

fn replaced(document: &str, section: &str, text: &str) -> Option<String> {
    let (begin, end) = (begin(section), end(section));
    let (before, rest) = document.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{}\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let document = "a\n<!-- t: written by a command -->\nold\n<!-- t: end -->\nb\n";
        let once = replaced(document, "t", "new\n").unwrap();
        assert_eq!(
            once,
            "a\n<!-- t: written by a command -->\nnew\n<!-- t: end -->\nb\n"
        );
        assert_eq!(replaced(&once, "t", "new").as_deref(), Some(once.as_str()));
        assert_eq!(replaced(document, "other", "new"), None);
    }
}
