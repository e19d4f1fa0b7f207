//! What can be wrong with a file, as a table: what became of it, the reason as a shell programmer understands it,
//! and the remedy.

use super::severity::Severity;
use crate::exposition::model::Kind;
use crate::text::quote_start;

/// One thing that can be wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::exposition) enum Problem<'p> {
    // Dropped: the line.
    NotASample(&'p [u8]),
    BadName(&'p [u8]),
    UnclearName,
    ValueMissing,
    BadValue(&'p [u8]),
    AfterValue(&'p [u8]),
    LabelName(&'p [u8]),
    LabelNameReserved(&'p [u8]),
    LabelEquals(&'p [u8]),
    LabelQuote(&'p [u8]),
    LabelUnclosed,
    LabelEscape(&'p [u8]),
    LabelSeparator,
    LabelComma,
    LabelTwice(&'p [u8]),
    LabelUtf8,
    TooManyLabels,
    QuotedNameText,
    MetaName(&'static str, &'p [u8]),
    TypeWord(&'p [u8]),
    TypeConflict { first: &'static str, file: &'p str, line: u32 },
    TypeOfPart(&'p [u8], Kind),
    HelpOfPart(&'p [u8], Kind),
    HelpUtf8,
    Unfinished,
    // Dropped: the sample.
    Duplicate { file: &'p str, line: u32 },
    Duplicates { file: &'p str, count: u64 },
    BareSample(Kind),
    BadQuantile(&'p [u8]),
    Misplaced(&'static str),
    // Dropped: a histogram or summary, because half of it would lie.
    BucketWithoutLe,
    BadLe(&'p [u8]),
    BadCount(&'p [u8]),
    NoInfNoCount,
    Spoiled(&'p [u8]),
    Interrupted,
    // Dropped: the family.
    Reserved(&'p [u8]),
    PushTime(&'p [u8]),
    GatewayType(&'p [u8], Kind),
    Collision(&'p [u8]),
    // Dropped: the file.
    BrokenUtf16,
    TooLarge,
    Gzip,
    Protobuf,
    // Passed on as it is.
    CountMismatch,
    FallingBuckets,
    FractionalCount(&'p [u8]),
    QuantileRange(&'p [u8]),
    // Repaired.
    Utf8Mark,
    Utf16,
    LineEndCrLf,
    LineEndCr,
    NoLineEnd,
    Blanks,
    Timestamp,
    Exemplar,
    NumberWord(&'p [u8]),
    LabelBackslash,
    LabelExported(&'p [u8]),
    QuotedName,
    CompositeValue,
    NativeBuckets,
    StartTime,
    GaugePart,
    Superseded { line: u32 },
    HelpEscape,
    HelpQuote,
    TypeLate,
    TypeAgain,
    HelpAgain,
    OpenMetricsType(&'p [u8]),
    OpenMetricsName(&'p [u8]),
    InfAdded,
    CountAdded,
    Retyped(Kind),
}

impl Problem<'_> {
    /// The severity.
    pub(in crate::exposition) fn severity(&self) -> Severity {
        match self {
            Self::CountMismatch | Self::FallingBuckets | Self::FractionalCount(_) | Self::QuantileRange(_) => {
                Severity::Doubtful
            }
            Self::Utf8Mark
            | Self::Utf16
            | Self::LineEndCrLf
            | Self::LineEndCr
            | Self::NoLineEnd
            | Self::Blanks
            | Self::Timestamp
            | Self::Exemplar
            | Self::NumberWord(_)
            | Self::LabelBackslash
            | Self::LabelExported(_)
            | Self::QuotedName
            | Self::CompositeValue
            | Self::NativeBuckets
            | Self::StartTime
            | Self::GaugePart
            | Self::Superseded { .. }
            | Self::HelpEscape
            | Self::HelpQuote
            | Self::TypeLate
            | Self::TypeAgain
            | Self::HelpAgain
            | Self::OpenMetricsType(_)
            | Self::OpenMetricsName(_)
            | Self::InfAdded
            | Self::CountAdded
            | Self::Retyped(_) => Severity::Repaired,
            _ => Severity::Dropped,
        }
    }

    /// How many repairs can be needed on every line of a file.
    pub(in crate::exposition) const REPEATED: usize = 14;

    /// The place of such a repair among them.
    pub(in crate::exposition) fn repeated_slot(&self) -> Option<usize> {
        match self {
            Self::LineEndCrLf => Some(0),
            Self::LineEndCr => Some(1),
            Self::Blanks => Some(2),
            Self::Timestamp => Some(3),
            Self::Exemplar => Some(4),
            Self::NumberWord(_) => Some(5),
            Self::LabelBackslash => Some(6),
            Self::LabelExported(_) => Some(7),
            Self::QuotedName => Some(8),
            Self::CompositeValue => Some(9),
            Self::NativeBuckets => Some(10),
            Self::StartTime => Some(11),
            Self::GaugePart => Some(12),
            Self::Superseded { .. } => Some(13),
            _ => None,
        }
    }

    /// What is wrong, in one line.
    pub(in crate::exposition) fn reason(&self) -> String {
        match *self {
            Self::NotASample(_)
            | Self::BadName(_)
            | Self::UnclearName
            | Self::ValueMissing
            | Self::BadValue(_)
            | Self::AfterValue(_)
            | Self::MetaName(..)
            | Self::TypeWord(_)
            | Self::TypeConflict { .. }
            | Self::TypeOfPart(..)
            | Self::HelpOfPart(..)
            | Self::HelpUtf8
            | Self::Unfinished => self.line_reason(),
            Self::BrokenUtf16 | Self::TooLarge | Self::Gzip | Self::Protobuf => self.file_reason(),
            Self::LabelName(_)
            | Self::LabelNameReserved(_)
            | Self::LabelEquals(_)
            | Self::LabelQuote(_)
            | Self::LabelUnclosed
            | Self::LabelEscape(_)
            | Self::LabelSeparator
            | Self::LabelComma
            | Self::LabelTwice(_)
            | Self::LabelUtf8
            | Self::TooManyLabels
            | Self::QuotedNameText => self.label_reason(),
            _ if self.severity() == Severity::Repaired => self.repair_reason(),
            _ => self.family_reason(),
        }
    }

    fn line_reason(&self) -> String {
        match *self {
            Self::NotASample(line) => {
                format!("this is no sample: the name of a metric cannot begin with {}", character(line))
            }
            Self::BadName(rest) => format!("the name of a metric cannot contain {}", character(rest)),
            Self::UnclearName => "it is not clear where the name ends and the value begins".to_owned(),
            Self::ValueMissing => "the value is missing".to_owned(),
            Self::BadValue(text) => format!("{} is not a number", quote_start(text)),
            Self::AfterValue(text) => format!("unexpected {} after the value", quote_start(text)),
            Self::MetaName(_, [digit @ b'0'..=b'9', ..]) => {
                format!("the name of a metric cannot begin with '{}'", char::from(*digit))
            }
            Self::MetaName(keyword, _) => format!("no metric name after '# {keyword}'"),
            Self::TypeWord(word) => format!("unknown metric type {}", quote_start(word)),
            Self::TypeConflict { first, file, line } => {
                format!("a second type for the same metric: it is a {first} since {}", place(file, line))
            }
            Self::TypeOfPart(base, kind) => {
                format!("a type of its own for a part of the {} {}", kind.name(), quote_start(base))
            }
            Self::HelpOfPart(base, kind) => {
                format!("a help text of its own for a part of the {} {}", kind.name(), quote_start(base))
            }
            Self::HelpUtf8 => "the help text is not UTF-8; what is not was replaced".to_owned(),
            _ => "the last line has no end, and whoever wrote it was not done: it may be half a line".to_owned(),
        }
    }

    fn file_reason(&self) -> String {
        let reason = match self {
            Self::BrokenUtf16 => "the file says that it is UTF-16, but not all of it is",
            Self::Gzip => "the file is compressed with gzip",
            Self::Protobuf => "the file is in the protobuf format, not in text",
            _ => "the file is larger than 4 GiB",
        };
        reason.to_owned()
    }

    fn label_reason(&self) -> String {
        match *self {
            Self::LabelName([]) => "a label name is expected, not the end of the line".to_owned(),
            Self::LabelName(rest) => format!("a label name is expected, not {}", character(rest)),
            Self::LabelNameReserved(name) => format!("the label name {} is reserved", quote_start(name)),
            Self::LabelEquals(rest) => format!("'=' is expected after the label name, not {}", character(rest)),
            Self::LabelQuote(rest) => format!("'\"' is expected before the label value, not {}", character(rest)),
            Self::LabelUnclosed => "the label value has no closing '\"' on its line".to_owned(),
            Self::LabelEscape(escape) => format!("unknown escape {} in the label value", quote_start(escape)),
            Self::LabelSeparator => "',' or '}' is expected after the label value".to_owned(),
            Self::LabelComma => "a comma without a label before it".to_owned(),
            Self::LabelTwice(name) => format!("the label {} appears twice", quote_start(name)),
            Self::TooManyLabels => {
                "a sample with more than 128 labels, which would cost the gateway seconds".to_owned()
            }
            Self::QuotedNameText => "the name in quotes is empty or not UTF-8".to_owned(),
            _ => "the label value is not UTF-8".to_owned(),
        }
    }

    fn family_reason(&self) -> String {
        match *self {
            Self::Duplicate { file, line } => {
                format!("the same series as in {}, which stays: tell the programs apart by a label", place(file, line))
            }
            Self::Duplicates { file, count } => {
                format!(
                    "{count} series that '{file}' has too; those of '{file}' stay: tell the programs apart by a label"
                )
            }
            Self::BareSample(Kind::Summary) => "a sample of a summary without 'quantile' has no place".to_owned(),
            Self::BareSample(kind) => format!("a sample of a {} needs '_bucket', '_sum' or '_count'", kind.name()),
            Self::BadQuantile(text) => format!("the quantile {} is not a number", quote_start(text)),
            Self::Misplaced(label) => format!("the label '{label}' does not belong on '_sum' and '_count'"),
            Self::BucketWithoutLe => "a bucket without 'le': the histogram is dropped".to_owned(),
            Self::BadLe(text) => format!("the bound {} is not a number: the histogram is dropped", quote_start(text)),
            Self::BadCount(text) => format!("{} is no count: what it belongs to is dropped", quote_start(text)),
            Self::NoInfNoCount => "the histogram has neither a '+Inf' bucket nor a '_count': it is dropped".to_owned(),
            Self::Spoiled(name) => {
                format!("the rest of {} is dropped too: without the bad line it would lie", quote_start(name))
            }
            Self::Interrupted => "whoever wrote these samples was not done: what is there of them would lie".to_owned(),
            Self::Reserved(name) => format!("the metric {} is written by pushwrap itself", quote_start(name)),
            Self::PushTime(name) => format!("the metric {} is written by the Pushgateway itself", quote_start(name)),
            Self::GatewayType(name, kind) => {
                format!("the Pushgateway has a metric {} of its own, a {}", quote_start(name), kind.name())
            }
            Self::Collision(name) => {
                format!("the name {} collides with a part of a histogram or summary", quote_start(name))
            }
            Self::CountMismatch => "the '_count' is not the value of the '+Inf' bucket".to_owned(),
            Self::FallingBuckets => "the bucket holds less than the one before it; buckets are cumulative".to_owned(),
            Self::FractionalCount(text) => format!("{} is not a whole number; old gateways cut it", quote_start(text)),
            Self::QuantileRange(text) => format!("the quantile {} is not between 0 and 1", quote_start(text)),
            _ => String::new(),
        }
    }

    fn repair_reason(&self) -> String {
        match *self {
            Self::Utf8Mark => "a byte order mark begins the file".to_owned(),
            Self::Utf16 => "the file is UTF-16; it is converted to UTF-8".to_owned(),
            Self::LineEndCrLf => "the line ends in CR LF".to_owned(),
            Self::LineEndCr => "the line ends in CR alone".to_owned(),
            Self::NoLineEnd => "the last line has no line end".to_owned(),
            Self::Blanks => "blanks at the end of the line".to_owned(),
            Self::Timestamp => "a time stamp, which a Pushgateway refuses; the value is kept".to_owned(),
            Self::Exemplar => "an exemplar, which only OpenMetrics has; the value is kept".to_owned(),
            Self::NumberWord(text) => format!("{} is written as 'NaN'", quote_start(text)),
            Self::LabelBackslash => "a backslash that begins no escape; it is kept".to_owned(),
            Self::LabelExported(name) => {
                let name = String::from_utf8_lossy(name);
                format!(
                    "the grouping key has the label '{name}' with another value; this one is kept as 'exported_{name}'"
                )
            }
            Self::QuotedName => "a name in quotes, which old gateways do not know; it is escaped with '_'".to_owned(),
            Self::CompositeValue => "a composite value, which only OpenMetrics 2.0 has; it is written out".to_owned(),
            Self::NativeBuckets => "native buckets, which the text format does not have, are left out".to_owned(),
            Self::StartTime => {
                "a start time after the value, which only OpenMetrics 2.0 has; it is kept as '_created'".to_owned()
            }
            Self::GaugePart => "'_gcount' and '_gsum' of a histogram are written as '_count' and '_sum'".to_owned(),
            Self::Superseded { line } => format!("the same series again in line {line}; the last one stays"),
            Self::HelpQuote => {
                "an escaped quotation mark in the help text, which only OpenMetrics has; it is written plain".to_owned()
            }
            Self::HelpEscape => "a backslash that begins no escape in the help text; it is kept".to_owned(),
            Self::TypeLate => "the type stands after samples; it is moved before them".to_owned(),
            Self::TypeAgain => "the type is given a second time".to_owned(),
            Self::HelpAgain => "a second help text for the same metric; the first stays".to_owned(),
            Self::OpenMetricsType(word) => format!("the type {} exists in OpenMetrics only", quote_start(word)),
            Self::OpenMetricsName(name) => {
                format!(
                    "OpenMetrics tells the type without the suffix of the samples; it is that of {}",
                    quote_start(name)
                )
            }
            Self::InfAdded => "the histogram has no '+Inf' bucket; it is made from '_count'".to_owned(),
            Self::CountAdded => "the histogram has no '_count'; it is made from the '+Inf' bucket".to_owned(),
            Self::Retyped(kind) => {
                format!("the Pushgateway has this metric as a {}; the samples get that type", kind.name())
            }
            _ => String::new(),
        }
    }

    /// The remedy, where there is one.
    pub(in crate::exposition) fn help(&self) -> Option<String> {
        Some(match *self {
            Self::NotASample(line) => return not_a_sample_help(line).map(str::to_owned),
            Self::BadName([0xc2, 0xa0, ..]) => "this is a no-break space; write a plain blank".to_owned(),
            Self::BadName([b'(' | b'[', ..]) => "labels stand in braces: name{label=\"text\"} value".to_owned(),
            Self::BadName(_) => "only letters, digits, '_' and ':' are allowed".to_owned(),
            Self::UnclearName => "put one blank between the name and the value".to_owned(),
            Self::ValueMissing => "a sample is 'name value' or 'name{label=\"text\"} value'".to_owned(),
            Self::BadValue(text) => return Some(bad_value_help(text)),
            Self::AfterValue([b'#', ..]) => "a comment needs a line of its own".to_owned(),
            Self::AfterValue(_) => "one sample a line; nothing may follow its value".to_owned(),
            Self::LabelName([b'"', ..]) => "a sample has one name".to_owned(),
            Self::LabelName(_) => "a label name has letters, digits and '_' and begins with no digit".to_owned(),
            Self::LabelNameReserved(_) => {
                "names that begin with '__' belong to Prometheus; rename the label".to_owned()
            }
            Self::LabelEquals(_) | Self::LabelQuote(_) => "write labels as name=\"text\", with plain quotes".to_owned(),
            Self::LabelUnclosed => {
                "close the quotation mark; a line feed in a value is written as '\\n', a backslash as '\\\\'".to_owned()
            }
            Self::LabelEscape(_) => {
                "only '\\\\', '\\\"' and '\\n' are escapes; write '\\\\' for a backslash".to_owned()
            }
            Self::LabelSeparator => {
                "separate labels with a comma; write '\\\"' for a quotation mark inside a value".to_owned()
            }
            Self::LabelComma => "remove the comma".to_owned(),
            Self::LabelUtf8 | Self::HelpUtf8 => "convert the text, for example with 'iconv -t UTF-8'".to_owned(),
            Self::MetaName(_, [b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':', ..]) => {
                "here stands the name alone, of letters, digits, '_' and ':'".to_owned()
            }
            Self::MetaName(_, [b'0'..=b'9', ..]) => "put a letter or '_' before the digit".to_owned(),
            Self::MetaName(..) => "a plain comment must not begin with the word HELP or TYPE".to_owned(),
            Self::TypeWord(_) => "use counter, gauge, histogram, summary or untyped".to_owned(),
            Self::TypeConflict { .. } => "give the metric one type, in every file".to_owned(),
            Self::TypeOfPart(..) => "remove the line; the type of the whole says it all".to_owned(),
            Self::HelpOfPart(..) => "remove the line; the gateway shows the help text of the whole".to_owned(),
            Self::TooManyLabels => "what differs that much belongs into values or into a log".to_owned(),
            Self::Gzip => "decompress it first ('gunzip -c'), or fetch it without 'Accept-Encoding: gzip'".to_owned(),
            Self::Protobuf => "ask for text: 'Accept: text/plain; version=0.0.4'".to_owned(),
            Self::BareSample(Kind::Summary) => "write name{quantile=\"0.5\"} value, or use the type gauge".to_owned(),
            Self::BareSample(_) => "use the type gauge or counter for a single number".to_owned(),
            Self::BucketWithoutLe => "write name_bucket{le=\"0.5\"} count".to_owned(),
            Self::BadCount(_) => "counts are whole numbers from 0 on".to_owned(),
            Self::NoInfNoCount => "write name_count, or a bucket with le=\"+Inf\"".to_owned(),
            Self::Reserved(_) | Self::PushTime(_) | Self::GatewayType(..) | Self::Collision(_) => {
                "choose another name".to_owned()
            }
            Self::Utf16 => "write UTF-8; in PowerShell: Out-File -Encoding utf8NoBOM".to_owned(),
            _ => return None,
        })
    }
}

/// `line 3`, or `line 3 of a.prom`.
fn place(file: &str, line: u32) -> String {
    if file.is_empty() { format!("line {line}") } else { format!("line {line} of '{file}'") }
}

/// The character that begins `text`, in quotes.
fn character(text: &[u8]) -> String {
    let Some(&byte) = text.first() else { return "nothing".to_owned() };
    let start = text.get(..4).unwrap_or(text);
    match String::from_utf8_lossy(start).chars().next() {
        Some(character) if byte >= 0x80 && character != char::REPLACEMENT_CHARACTER => {
            format!("{} (U+{:04X})", quote_start(character.to_string().as_bytes()), u32::from(character))
        }
        _ => byte_name(byte),
    }
}

/// One byte for a message.
fn byte_name(byte: u8) -> String {
    match byte {
        b' ' => "a blank".to_owned(),
        b'\t' => "a tab".to_owned(),
        0x21..=0x7e => format!("'{}'", char::from(byte)),
        _ => format!("the byte 0x{byte:02x}"),
    }
}

fn not_a_sample_help(line: &[u8]) -> Option<&'static str> {
    Some(match line {
        [b'{', b'"', rest @ ..] if rest.contains(&b':') => "this looks like JSON; write 'name value'",
        [b'{', ..] => "names in braces need a newer gateway; write name{label=\"text\"} value",
        [b'<', ..] => "this looks like HTML or XML; did the download fail?",
        [b'+', ..] => "this looks like the trace of 'set -x', which goes to standard error",
        [b'/', b'/', ..] => "a comment begins with '#'",
        [b'.' | b'/', ..] => "this looks like a message of a program; do not send standard error to the file",
        [b'0'..=b'9', ..] => "put a letter or '_' before the digit",
        [0, ..] | [_, 0, ..] => "this looks like UTF-16 or binary data; write UTF-8 text",
        _ => return None,
    })
}

fn bad_value_help(text: &[u8]) -> String {
    let lower = text.to_ascii_lowercase();
    let digits = lower.iter().filter(|byte| byte.is_ascii_digit()).count();
    match lower.as_slice() {
        b"true" | b"yes" | b"on" => "write 1".to_owned(),
        b"false" | b"no" | b"off" => "write 0".to_owned(),
        b"none" | b"null" | b"nil" | b"n/a" | b"-" => "leave the line out, or write NaN".to_owned(),
        [b'=', ..] => "write a blank, not '='".to_owned(),
        [b'"' | b'\'', ..] => "write the number without quotes".to_owned(),
        [b'$', ..] => "the shell did not expand this; check the quotes around it".to_owned(),
        [b'0', b'x' | b'b' | b'o', ..] => "write the number in decimal".to_owned(),
        _ if digits > 0 && lower.contains(&b',') => "write a point, not a comma (LC_ALL=C helps)".to_owned(),
        _ if digits > 0 && lower.contains(&b'_') => "write the number without '_'".to_owned(),
        _ if digits > 0 && lower.contains(&b':') => "write a time as seconds since 1970: date +%s".to_owned(),
        _ if digits > 0 && lower.last().is_some_and(|last| !last.is_ascii_digit()) => {
            "write the number alone, without a unit or a sign after it".to_owned()
        }
        _ if std::str::from_utf8(text).is_ok_and(|text| text.parse().is_ok_and(f64::is_infinite)) && digits > 0 => {
            "the number is too large for a 64-bit float".to_owned()
        }
        [b'.' | b'-' | b'/', ..] => "the name of a metric has only letters, digits, '_' and ':'".to_owned(),
        _ => "a sample is 'name value' or 'name{label=\"text\"} value'".to_owned(),
    }
}
