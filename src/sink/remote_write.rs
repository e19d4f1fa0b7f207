//! `--remote-write`: the report as samples for Prometheus and its kin, without a gateway between. Remote write 1.0: one protobuf
//! message, compressed with snappy (Prometheus, "Remote-Write Specification 1.0").

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::exposition::{Family, Sample};
use crate::grouping::GroupingKey;
use crate::http::Endpoint;
use crate::http::error::Fault;
use crate::sink::push::{Method, Push};
use crate::sink::transfer::{Receiver, ReceiverRemedy, RequestHead};

/// The headers that say what the body is (specification, "Protocol").
pub(crate) const KIND: &[(&str, &str)] = &[
    ("content-type", "application/x-protobuf"),
    ("content-encoding", "snappy"),
    ("x-prometheus-remote-write-version", "0.1.0"),
];

/// What "not a number" is in Prometheus; another one of its patterns ends a series (`model/value/value.go`).
const NORMAL_NAN: u64 = 0x7ff8_0000_0000_0001;

/// A receiver of remote write.
#[derive(Debug, Clone)]
pub struct RemoteWrite {
    /// The receiver's endpoint; its URL is the whole address.
    pub endpoint: Endpoint,
}

impl Receiver for RemoteWrite {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn intent(&self, _: Method) -> &'static str {
        "write to"
    }

    fn head(&self, _: &Push) -> RequestHead {
        RequestHead { method: Method::Add.name(), target: self.endpoint.url.target(""), kind: KIND }
    }

    fn encode(&self, families: &[&Family<'_>], push: &Push) -> Result<Option<Vec<u8>>, Fault> {
        encode(families, &push.key).map(Some)
    }

    fn page(&self) -> Option<String> {
        None
    }

    fn remedy(&self, fault: &Fault) -> ReceiverRemedy {
        remedy(fault)
    }
}

/// The body of a request: the families with the labels of the group and the time of now, compressed. There are no groups to
/// delete: a receiver forgets by itself.
pub(crate) fn encode(families: &[&Family<'_>], key: &GroupingKey) -> Result<Vec<u8>, Fault> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let compressed = snap::raw::Encoder::new().compress_vec(&message(families, key, now_ms));
    compressed.map_err(|error| Fault::Internal(error.to_string()))
}

/// The `WriteRequest`: one series with one sample for each sample of the families.
fn message(families: &[&Family<'_>], key: &GroupingKey, now_ms: i64) -> Vec<u8> {
    let mut message = Vec::new();
    for family in families {
        for sample in family.samples() {
            write_bytes(&mut message, 1, &series(sample, key, now_ms));
        }
    }
    message
}

/// A `TimeSeries`. Its labels are sorted by name, none is empty and none comes twice (specification, "Labels").
fn series(sample: &Sample<'_>, key: &GroupingKey, now_ms: i64) -> Vec<u8> {
    let mut labels: BTreeMap<&str, Cow<'_, str>> = sample.labels().collect();
    labels.extend(key.labels().iter().map(|(name, value)| (name.as_str(), Cow::Borrowed(value.as_str()))));
    labels.insert("__name__", Cow::Borrowed(sample.name()));
    let mut series = Vec::new();
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let mut label = Vec::new();
        write_bytes(&mut label, 1, name.as_bytes());
        write_bytes(&mut label, 2, value.as_bytes());
        write_bytes(&mut series, 1, &label);
    }
    write_bytes(&mut series, 2, &point(sample.number(), now_ms));
    series
}

/// A `Sample`: the value as a double, the time in milliseconds.
fn point(value: f64, now_ms: i64) -> Vec<u8> {
    let bits = if value.is_nan() { NORMAL_NAN } else { value.to_bits() };
    let mut point = vec![(1 << 3) | 1];
    point.extend(bits.to_le_bytes());
    point.push(2 << 3);
    write_varint(&mut point, now_ms.cast_unsigned());
    point
}

/// A field with a length (protobuf encoding, wire type 2).
fn write_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push((field << 3) | 2);
    write_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Seven bits a byte, the lowest first (protobuf encoding, "Base 128 varints").
fn write_varint(out: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// The remedies for faults that mean something else at a receiver than at a gateway.
fn remedy(fault: &Fault) -> ReceiverRemedy {
    match fault {
        // Prometheus, web/api/v1/api.go.
        Fault::Status { status: 404, text, .. } if text.contains("remote write receiver") => {
            ReceiverRemedy::Own("start Prometheus with --web.enable-remote-write-receiver")
        }
        Fault::Status { status: 404 | 405, .. } => ReceiverRemedy::Own(
            "Prometheus and VictoriaMetrics take remote write at /api/v1/write, Mimir at /api/v1/push, Grafana Cloud at \
             /api/prom/push",
        ),
        Fault::Status { status: 400, text, .. } if is_late(text) => ReceiverRemedy::Own(
            "it has newer samples of these metrics, or takes none this old: is the clock of this machine right?",
        ),
        Fault::Connect(text) if text.contains("refused") => {
            ReceiverRemedy::Own("is the server running, and this its port?")
        }
        Fault::Status { status: 400, .. } | Fault::Connect(_) | Fault::EmptyReply => ReceiverRemedy::Unknown,
        _ => ReceiverRemedy::AsAtGateway,
    }
}

/// Prometheus's texts (storage/interface.go), which Mimir writes with dashes.
fn is_late(text: &str) -> bool {
    let text = text.replace('-', " ");
    ["out of order", "out of bounds", "too old", "duplicate sample"].iter().any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::{message, write_varint};
    use crate::exposition::{Context, OwnedFamilies, Source};
    use crate::grouping::GroupingKey;

    fn message_of(body: &str) -> Vec<u8> {
        let key = GroupingKey::new("a", ["zone=eu".parse().unwrap()]).unwrap();
        let source = Source::new("f", body.as_bytes().to_vec());
        let (families, _) = OwnedFamilies::read(vec![source], &Context::default());
        message(&families.families().iter().collect::<Vec<_>>(), &key, 1)
    }

    #[test]
    fn numbers_are_cut_into_seven_bits() {
        let mut out = Vec::new();
        for number in [0, 127, 128, 300, u64::MAX] {
            write_varint(&mut out, number);
        }
        assert_eq!(out[..6], [0, 0x7f, 0x80, 1, 0xac, 2]);
        assert_eq!(out[6..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn a_sample_is_a_series_with_sorted_labels() {
        let message = message_of("m{z=\"1\",b=\"\",job=\"other\"} 2\n");
        let mut expected = vec![0x0a, 56];
        for (name, value) in [("__name__", "m"), ("job", "a"), ("z", "1"), ("zone", "eu")] {
            let (name_length, length) = (u8::try_from(name.len()).unwrap(), u8::try_from(value.len()).unwrap());
            expected.extend([0x0a, name_length + length + 4, 0x0a, name_length]);
            expected.extend(name.as_bytes());
            expected.extend([0x12, length]);
            expected.extend(value.as_bytes());
        }
        expected.extend([0x12, 11, 9, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 1]);
        expected[1] = u8::try_from(expected.len() - 2).unwrap();
        assert_eq!(message, expected);
    }

    #[test]
    fn not_a_number_is_never_the_one_that_ends_a_series() {
        let message = message_of("m NaN\n");
        let bits = 0x7ff8_0000_0000_0001_u64.to_le_bytes();
        assert!(message.windows(8).any(|window| window == bits));
    }
}
