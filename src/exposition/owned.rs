//! Families together with the text that they borrow from, so that they can be kept and handed from thread to thread.

use std::sync::Arc;

use self_cell::self_cell;

use super::model::Family;
use super::read::{Context, Reading, Source, read};

type Families<'a> = Vec<Family<'a>>;

/// What families borrow their text from.
#[derive(Debug, Default)]
struct Owner {
    sources: Vec<Source<'static>>,
    parts: Vec<OwnedFamilies>,
}

self_cell!(
    struct Cell {
        owner: Owner,
        #[covariant]
        dependent: Families,
    }

    impl {Debug}
);

/// Families and the text that they borrow from. Clones share both.
#[derive(Debug, Clone)]
pub struct OwnedFamilies(Arc<Cell>);

impl OwnedFamilies {
    /// Reads files as [`read`] does, and keeps them. The findings come back as a reading without families.
    #[must_use]
    pub fn read(sources: Vec<Source<'static>>, context: &Context<'_>) -> (Self, Reading<'static>) {
        let mut findings = Reading::default();
        let cell = Cell::new(Owner { sources, parts: Vec::new() }, |owner| {
            let mut reading = read(&owner.sources, context);
            let families = std::mem::take(&mut reading.families);
            findings = reading.without_families();
            families
        });
        (Self(Arc::new(cell)), findings)
    }

    /// Families that `select` makes of those of `parts`.
    #[must_use]
    pub fn of(parts: Vec<Self>, select: impl for<'a> FnOnce(&'a [Self]) -> Vec<Family<'a>>) -> Self {
        let owner = Owner { sources: Vec::new(), parts };
        Self(Arc::new(Cell::new(owner, |owner| select(&owner.parts))))
    }

    /// The families.
    #[must_use]
    pub fn families(&self) -> &[Family<'_>] {
        self.0.borrow_dependent()
    }

    /// Where a family was read, as `FILE:LINE`; none for families that were not read from a file.
    #[must_use]
    pub fn origin(&self, name: &str) -> Option<String> {
        let part = self.0.borrow_owner().parts.iter().find_map(|part| part.origin(name));
        part.or_else(|| {
            let family = self.families().iter().find(|family| family.name() == name)?;
            let position = family.samples().first()?.position();
            let source = self.0.borrow_owner().sources.get(usize::from(position.source))?;
            (position.line > 0).then(|| format!("{}:{}", source.name(), position.line))
        })
    }

    /// How many samples they have.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.families().iter().map(|family| family.samples().len() as u64).sum()
    }

    /// Whether there is no family.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.families().is_empty()
    }
}

impl From<Vec<Family<'static>>> for OwnedFamilies {
    fn from(families: Vec<Family<'static>>) -> Self {
        Self(Arc::new(Cell::new(Owner::default(), |_| families)))
    }
}

impl Default for OwnedFamilies {
    fn default() -> Self {
        Vec::new().into()
    }
}

/// The same families, whatever text they borrow from.
impl PartialEq for OwnedFamilies {
    fn eq(&self, other: &Self) -> bool {
        self.families() == other.families()
    }
}

impl Eq for OwnedFamilies {}

#[cfg(test)]
mod tests {
    use super::{Context, OwnedFamilies, Source};
    use crate::exposition::{Family, encode};

    #[test]
    fn families_outlive_the_files_that_they_were_read_from() {
        let (one, findings) = OwnedFamilies::read(vec![Source::new("f", b"x 1\n?\n".to_vec())], &Context::default());
        assert_eq!((one.samples(), findings.errors(), findings.diagnostics.len()), (1, 1, 1));
        let two = OwnedFamilies::from(vec![Family::gauge("own", "").sample(&[], "2")]);
        let both = OwnedFamilies::of(vec![one, two], |parts| {
            parts.iter().flat_map(OwnedFamilies::families).cloned().collect()
        });
        let text = std::thread::spawn(move || encode(both.families())).join().unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "# TYPE x untyped\nx 1\n# TYPE own gauge\nown 2\n");
    }
}
