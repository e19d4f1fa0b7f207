//! Pushes of one group that wait are sent as one: the one that leaves at the gateway what all of them would have left.

use crate::delivery::spool::entry::SpooledPush;
use crate::exposition::{Family, OwnedFamilies};
use crate::sink::address::SinkKind;
use crate::sink::merge::surviving;
use crate::sink::{Method, Push};

/// The newer push with what the gateway would hold besides after the older one. A PUT or DELETE cuts off what stands before it. A
/// receiver of remote write gets every sample with the current time, so of an older push only the families in
/// [`Push::carried_over`] are sent again.
pub(crate) fn merge(older: &SpooledPush, newer: SpooledPush) -> SpooledPush {
    let is_gateway = newer.destination.kind == SinkKind::Pushgateway;
    let deletes = newer.deletes || is_gateway && (older.deletes || older.push.method == Method::Delete);
    if is_gateway && newer.push.method != Method::Add {
        return SpooledPush { deletes, ..newer };
    }
    // A PUT, and what a POST puts over it; a DELETE, and what a POST puts into the void.
    let is_add = !is_gateway || older.push.method == Method::Add;
    let method = if is_add { Method::Add } else { Method::Replace };
    let is_void = is_gateway && older.push.method == Method::Delete;
    // A push without a start tells of counts alone, and takes the place of nothing else.
    let is_whole_kept = is_gateway || newer.start().is_none();
    let stays = |family: &Family<'_>| {
        !is_void && (is_whole_kept || older.push.carried_over.iter().any(|name| name == family.name()))
    };
    let together = |newest: &OwnedFamilies, before: &OwnedFamilies| {
        OwnedFamilies::of(vec![newest.clone(), before.clone()], |parts| {
            let [newest, before] = parts else { return Vec::new() };
            let remaining = surviving(before.families(), newer.push.families()).filter(|family| stays(family));
            newest.families().iter().chain(remaining).cloned().collect()
        })
    };
    let own = together(&newer.push.own, &older.push.own);
    let command = together(&newer.push.command, &older.push.command);
    let last_with_names = if newer.push.carried_over.is_empty() { older } else { &newer };
    let carried_over = last_with_names.push.carried_over.clone();
    let push = Push { method, own, command, key: newer.push.key.clone(), carried_over };
    SpooledPush { push, deletes, ..newer }
}

#[cfg(test)]
mod tests {
    use super::merge;
    use crate::delivery::spool::entry::{SpooledPush, families};
    use crate::exposition::encode;
    use crate::grouping::GroupingKey;
    use crate::sink::address::{SinkAddress, SinkKind};
    use crate::sink::{Method, Push};

    fn spooled(kind: SinkKind, method: Method, [own, command]: [&str; 2]) -> SpooledPush {
        let destination = SinkAddress { kind, url: "http://gw".to_owned() };
        let key = GroupingKey::held(vec![("job".to_owned(), "a".to_owned())]).unwrap();
        let (own, command) = (families(own.as_bytes()), families(command.as_bytes()));
        let push = Push { method, key, own, command, carried_over: vec!["last".to_owned()] };
        SpooledPush::new(destination, push)
    }

    const OLD: [&str; 2] = ["# TYPE last gauge\nlast 5\n", "# TYPE x gauge\nx 1\n# TYPE h_sum gauge\nh_sum 1\n"];
    const NEW: [&str; 2] = [
        "# TYPE own gauge\nown 1\n",
        "# TYPE x gauge\nx 2\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n",
    ];

    /// What would be sent: method, own metrics, command's metrics.
    fn both(kind: SinkKind, before: Method, after: Method) -> (Method, String, String) {
        let merged = merge(&spooled(kind, before, OLD), spooled(kind, after, NEW));
        let text =
            |families: &crate::exposition::OwnedFamilies| String::from_utf8(encode(families.families())).unwrap();
        (merged.push.method, text(&merged.push.own), text(&merged.push.command))
    }

    #[test]
    fn two_pushes_become_the_one_that_does_at_the_gateway_what_both_would_have_done() {
        use Method::{Add, Delete, Replace};
        let (alone, over) = (NEW[0].to_owned(), format!("{}{}", NEW[0], OLD[0]));
        for (before, after, method, own) in [
            (Add, Add, Add, &over),
            (Replace, Add, Replace, &over),
            (Delete, Add, Replace, &alone),
            (Add, Replace, Replace, &alone),
            (Delete, Replace, Replace, &alone),
            (Add, Delete, Delete, &alone),
            (Replace, Delete, Delete, &alone),
        ] {
            let did = both(SinkKind::Pushgateway, before, after);
            assert_eq!(did, (method, own.clone(), NEW[1].to_owned()), "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_deletion_is_not_forgotten() {
        let of = |method| spooled(SinkKind::Pushgateway, method, OLD);
        assert!(merge(&of(Method::Delete), of(Method::Add)).deletes);
        assert!(merge(&merge(&of(Method::Delete), of(Method::Add)), of(Method::Add)).deletes);
        assert!(!merge(&of(Method::Replace), of(Method::Add)).deletes);
    }

    #[test]
    fn remote_write_is_told_nothing_old_but_the_last_success() {
        let own = format!("{}{}", NEW[0], OLD[0]);
        assert_eq!(both(SinkKind::RemoteWrite, Method::Add, Method::Add), (Method::Add, own, NEW[1].to_owned()));
    }

    /// What `flush` tells of runs that were killed: nothing of the run that had ended before is lost by it.
    #[test]
    fn counts_alone_take_the_place_of_counts_alone() {
        let ended = ["x_start_timestamp_seconds 1\nruns 1\nlast 5\n", "y 1\n"];
        let merged = merge(
            &spooled(SinkKind::RemoteWrite, Method::Add, ended),
            spooled(SinkKind::RemoteWrite, Method::Add, ["runs 2\n", ""]),
        );
        let own = String::from_utf8(encode(merged.push.own.families())).unwrap();
        for line in ["runs 2\n", "x_start_timestamp_seconds 1\n", "last 5\n"] {
            assert!(own.contains(line), "{own}");
        }
        assert!(!own.contains("runs 1\n") && merged.push.carried_over == ["last"], "{own}");
        assert_eq!(encode(merged.push.command.families()), encode(families(b"y 1\n").families()));
    }
}
