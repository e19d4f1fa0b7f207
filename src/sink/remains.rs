//! What of an older report stays beside a newer one, as a gateway decides it after a POST: whole families, by their names
//! (Pushgateway README, "POST method").

use crate::exposition::{Context, Family, Kind, Source, read};

/// The older families that the newer ones do not replace and that can stand beside them.
pub(crate) fn remains<'s>(older: &'s [Source<'s>], newer: &[Family<'_>]) -> Vec<Family<'s>> {
    read(older, &Context { grouping: &[], reserved: &taken(newer) }).families
}

/// The names that an older family must not have: those of the new ones, and of the parts of a new histogram or summary.
fn taken(families: &[Family<'_>]) -> Vec<String> {
    let parts = |family: &Family<'_>| match family.kind() {
        Kind::Histogram | Kind::Summary => &["", "_bucket", "_sum", "_count"][..],
        _ => &[""][..],
    };
    let names = |family: &Family<'_>| -> Vec<String> {
        parts(family).iter().map(|part| format!("{}{part}", family.name())).collect()
    };
    families.iter().flat_map(names).collect()
}
