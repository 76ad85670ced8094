//! Positions in a stream.

use std::fmt;
use std::str::FromStr;

/// The id of a stream's entry: milliseconds and a number within them. Ids only ever grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryId {
    /// Unix milliseconds by the clock of Redis.
    pub millis: u64,
    /// Number within the millisecond.
    pub number: u64,
}

impl EntryId {
    /// Before every entry.
    pub const START: Self = Self { millis: 0, number: 0 };

    /// The smallest id after this one: where an exclusive range starts (`(id` needs Redis 6.2).
    pub fn next(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self { millis: self.millis.saturating_add(1), number: 0 },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// The text is not `<digits>-<digits>`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an entry's id")]
pub struct NotAnEntryId;

impl FromStr for EntryId {
    type Err = NotAnEntryId;

    fn from_str(text: &str) -> Result<Self, NotAnEntryId> {
        let digits = |part: &str| match part.bytes().all(|b| b.is_ascii_digit()) {
            true => part.parse().map_err(|_| NotAnEntryId),
            false => Err(NotAnEntryId),
        };
        let (millis, number) = text.split_once('-').ok_or(NotAnEntryId)?;
        Ok(Self { millis: digits(millis)?, number: digits(number)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_time_then_number() {
        let ids: Vec<EntryId> =
            ["0-0", "9-18446744073709551615", "10-0", "10-2", "10-10"].map(|t| t.parse().unwrap()).into();
        assert!(ids.is_sorted());
        assert_eq!(ids[1].next().to_string(), "10-0");
        assert_eq!(ids[3].next().to_string(), "10-3");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "-", "1", "1-", "-1", "+1-1", "1-+1", "1-1-1", "a-b", "1 - 1", "99999999999999999999-0"]
        {
            assert_eq!(text.parse::<EntryId>(), Err(NotAnEntryId), "{text:?}");
        }
    }
}
