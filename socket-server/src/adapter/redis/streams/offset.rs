//! What a client remembers of the stream: the offset in its last event.

use std::fmt;
use std::str::FromStr;

use bytestring::ByteString;

use crate::adapter::redis::entry_id::{EntryId, NotAnEntryId};

/// Which server published an event, and as its how-manieth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The server's id.
    pub uid: ByteString,
    /// Counts the server's publications, from 1.
    pub seq: u64,
}

/// `<entry id>`, as in Node; or `<entry id>/<uid>:<seq>` while Redis is away: this server has then delivered
/// its own publications up to `seq` to its sockets before the stream had them, and a client that comes back
/// anywhere must not get them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offset {
    /// All up to this entry has been delivered.
    pub id: EntryId,
    /// All up to this publication of one server too.
    pub ahead: Option<Origin>,
}

impl Offset {
    /// Whether a publication was delivered ahead of the stream.
    pub fn covers(&self, origin: &Origin) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.uid == origin.uid && origin.seq <= ahead.seq)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, ahead } = self;
        match ahead {
            None => id.fmt(f),
            Some(Origin { uid, seq }) => write!(f, "{id}/{uid}:{seq}"),
        }
    }
}

impl FromStr for Offset {
    type Err = NotAnEntryId;

    fn from_str(text: &str) -> Result<Self, NotAnEntryId> {
        let Some((id, ahead)) = text.split_once('/') else {
            return Ok(Self { id: text.parse()?, ahead: None });
        };
        let (uid, seq) = ahead.split_once(':').ok_or(NotAnEntryId)?;
        let seq = seq.parse().map_err(|_| NotAnEntryId)?;
        Ok(Self { id: id.parse()?, ahead: Some(Origin { uid: uid.into(), seq }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_survive_as_text() {
        for text in ["1700000000000-0", "0-0", "1700000000000-12/0011223344556677:9"] {
            assert_eq!(text.parse::<Offset>().unwrap().to_string(), text);
        }
        for text in ["", "hello", "1-0/", "1-0/a", "1-0/a:", "1-0/a:x", "/a:1"] {
            assert!(text.parse::<Offset>().is_err(), "{text:?}");
        }
    }
}
