//! The address of a sink without anything secret, as the state directory keeps it.

/// The protocol of a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SinkKind {
    /// A Pushgateway, or what speaks like one.
    Pushgateway,
    /// A receiver of remote write.
    RemoteWrite,
}

impl SinkKind {
    const ALL: [Self; 2] = [Self::Pushgateway, Self::RemoteWrite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pushgateway => "pushgateway",
            Self::RemoteWrite => "remote-write",
        }
    }

    /// The kind of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// The address of a sink, never with credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkAddress {
    /// The protocol of the sink.
    pub kind: SinkKind,
    /// Its address without user and password.
    pub url: String,
}

impl SinkAddress {
    /// `pushgateway http://gateway:9091`
    pub(crate) fn to_text(&self) -> String {
        format!("{} {}", self.kind.name(), self.url)
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let (kind, url) = text.split_once(' ')?;
        Some(Self { kind: SinkKind::from_name(kind)?, url: url.to_owned() })
    }
}
