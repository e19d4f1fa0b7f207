//! docs/benchmarks.md: its generated parts stand between `<!-- NAME -->` and `<!-- end -->`, the rest is written by hand.

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::figures::markdown_row;

const PAGE: &str = "docs/benchmarks.md";

/// The page's text.
pub(crate) struct Page(String);

impl Page {
    pub(crate) fn read() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        Ok(Self(fs::read_to_string(&path).with_context(|| format!("cannot read '{}'", path.display()))?))
    }

    pub(crate) fn write(&self) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        fs::write(&path, &self.0).with_context(|| format!("cannot write '{}'", path.display()))
    }

    /// The generated part of this name.
    pub(crate) fn part(&self, name: &str) -> Result<&str> {
        Ok(&self.0[self.range(name)?])
    }

    pub(crate) fn replace(&mut self, name: &str, text: &str) -> Result<()> {
        let range = self.range(name)?;
        self.0.replace_range(range, text);
        Ok(())
    }

    /// Replaces the rows of a table that begin with the same cell; new ones come last.
    pub(crate) fn update_rows(&mut self, name: &str, rows: Vec<Vec<String>>) -> Result<()> {
        let mut lines: Vec<String> = self.part(name)?.split_inclusive('\n').map(str::to_owned).collect();
        for row in rows {
            let line = markdown_row(&row);
            let begins = markdown_row(&row[..1]);
            let begins = begins.trim_end();
            match lines.iter_mut().find(|known| known.starts_with(begins)) {
                Some(known) => *known = line,
                None => lines.push(line),
            }
        }
        self.replace(name, &lines.concat())
    }

    fn range(&self, name: &str) -> Result<Range<usize>> {
        let opening = format!("<!-- {name} -->\n");
        let missing = || format!("{PAGE} has no '{}' with an '<!-- end -->' after it", opening.trim_end());
        let start = self.0.find(&opening).with_context(missing)? + opening.len();
        let length = self.0[start..].find("<!-- end -->").with_context(missing)?;
        Ok(start..start + length)
    }
}
