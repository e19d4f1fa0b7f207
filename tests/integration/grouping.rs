//! The grouping key at the real gateways: whatever job and label values are, the gateway shows exactly the same strings.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pushwrap::grouping::{GroupingKey, Label};

use super::harness::{Pushgateway, Version};

/// Values that a URL, a path router or a base64 alphabet treats in its own way, and any text at all.
fn value() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        ".",
        "..",
        "/",
        "//",
        "a/b",
        "+",
        " ",
        "%2F",
        "%",
        "?",
        "#",
        "=",
        "&",
        "\\",
        "\"",
        "\u{0}",
        "\n",
        "\r\n",
        "\t",
        "ä",
        "日本",
        "\u{1f980}",
        "\u{feff}",
        "\u{200b}",
        "~",
        "@base64",
        "a@base64/b",
        ">>>",
        "???",
        "-_",
        "{",
        "}",
        "|",
        "^",
        "`",
        "<>",
        ";",
        ":",
        "..a",
        "a..",
        "./a",
        "*",
        "$(x)",
        "U__a",
    ]);
    prop_oneof![odd.prop_map(ToOwned::to_owned), any::<String>(), "[ -~]{1,12}", "\\PC{1,4}"]
        .prop_filter("the job must not be empty", |text| !text.is_empty())
}

fn assert_same_at(version: Version) {
    let gateway = Pushgateway::start(version);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let strategy = (value(), value(), value());
    let result = runner.run(&strategy, |(job, first, second)| {
        let labels = [("first", &first), ("x2", &second)]
            .map(|(name, value)| Label { name: name.parse().unwrap(), value: value.clone() });
        let key = GroupingKey::new(&job, labels).unwrap();
        let path = key.path();
        gateway.push("PUT", path.strip_prefix("/metrics/").unwrap(), "probe 1\n");
        let group = gateway.group([("job", &job), ("first", &first), ("x2", &second)]);
        prop_assert!(group.is_some(), "{key} as {path} is not among {:?}", gateway.metrics_json());
        gateway.wipe();
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn the_oldest_gateway_shows_the_same_strings() {
    assert_same_at(Version::Bookworm);
}

#[test]
fn the_newest_gateway_shows_the_same_strings() {
    assert_same_at(Version::Newest);
}
