//! What of an older report stays beside a newer one, as a gateway decides it after a POST: whole families, by their names
//! (Pushgateway README, "POST method").

use std::collections::HashSet;

use crate::exposition::{Family, Kind};

/// The older families that the newer ones do not replace and that can stand beside them.
pub(crate) fn surviving<'f, 'a: 'f, 'n, 'b: 'n>(
    older: impl IntoIterator<Item = &'f Family<'a>>,
    newer: impl IntoIterator<Item = &'n Family<'b>>,
) -> impl Iterator<Item = &'f Family<'a>> {
    let taken: HashSet<String> = newer.into_iter().flat_map(names).collect();
    older.into_iter().filter(move |family| names(family).all(|name| !taken.contains(&name)))
}

/// The name of a family and those of its parts: no two families of a group may share one (`client_golang`,
/// `checkSuffixCollisions`).
fn names(family: &Family<'_>) -> impl Iterator<Item = String> {
    let parts = match family.kind() {
        Kind::Histogram => &["", "_bucket", "_sum", "_count"][..],
        Kind::Summary => &["", "_sum", "_count"][..],
        _ => &[""][..],
    };
    let name = family.name().to_owned();
    parts.iter().map(move |part| format!("{name}{part}"))
}

#[cfg(test)]
mod tests {
    use super::surviving;
    use crate::exposition::{Family, Kind};

    #[test]
    fn a_family_goes_with_its_name_or_with_that_of_a_part() {
        let family = |name: &'static str, kind| Family::new(name, kind);
        let survives = |older: &Family<'_>, newer: &Family<'_>| surviving([older], [newer]).next().is_some();
        let (histogram, summary) = (family("h", Kind::Histogram), family("h", Kind::Summary));
        let [same, count, bucket, other] = ["h", "h_count", "h_bucket", "x"].map(|name| family(name, Kind::Gauge));
        for (one, two, stands) in [
            (&same, &same, false),
            (&histogram, &count, false),
            (&histogram, &bucket, false),
            (&summary, &bucket, true),
            (&same, &count, true),
            (&histogram, &other, true),
        ] {
            assert_eq!((survives(one, two), survives(two, one)), (stands, stands), "{one:?} {two:?}");
        }
    }
}
