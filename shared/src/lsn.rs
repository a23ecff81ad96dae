//! Positions in PostgreSQL's write-ahead log.
//!
//! An LSN is kept as one 64-bit number: PostgreSQL's text form is padded differently by different tools, so
//! texts must not be compared. A timeline number is not an identity: two standbys promoted apart can get the
//! same one; the history's switch points tell them apart.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// A byte position in the write-ahead log, written `16/B374D848` (<https://www.postgresql.org/docs/current/datatype-pg-lsn.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

/// A timeline number: it grows with every promotion.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Timeline(pub u32);

/// A distance in the write-ahead log, in bytes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct LagBytes(pub u64);

/// The number that `initdb` gives a PostgreSQL cluster: equal for a primary and all its standbys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SystemIdentifier(pub String);

/// Why a text is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not an LSN: two hexadecimal numbers with a slash are needed, like 16/B374D848"
)]
pub struct LsnError {
    /// The text that was found.
    pub found: String,
}

impl Lsn {
    /// How far this position is ahead of `behind`; nothing when it is not.
    pub const fn ahead_of(self, behind: Self) -> LagBytes {
        LagBytes(self.0.saturating_sub(behind.0))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF))
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let error = || LsnError {
            found: text.to_owned(),
        };
        let (high, low) = text.split_once('/').ok_or_else(error)?;
        let part = |half: &str| {
            let short = (1..=8).contains(&half.len());
            let hex = half.bytes().all(|b| b.is_ascii_hexdigit());
            if short && hex {
                u32::from_str_radix(half, 16).ok()
            } else {
                None
            }
        };
        let (Some(high), Some(low)) = (part(high), part(low)) else {
            return Err(error());
        };
        Ok(Self((u64::from(high) << 32) | u64::from(low)))
    }
}

impl Serialize for Lsn {
    /// Text for people (JSON), a number on the compact wire.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LsnVisitor)
    }
}

struct LsnVisitor;

impl serde::de::Visitor<'_> for LsnVisitor {
    type Value = Lsn;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an LSN like 16/B374D848")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Lsn, E> {
        Ok(Lsn(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Lsn, E> {
        text.parse().map_err(E::custom)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SystemIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for LagBytes {
    /// For people: bytes below 10 KiB, else KiB, MiB or GiB with one decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        let tenths = |unit: u64, name: &str| {
            let n = u128::from(self.0) * 10 / u128::from(unit);
            format!("{}.{} {name}", n / 10, n % 10)
        };
        let text = match self.0 {
            n if n < 10 * KIB => format!("{n} B"),
            n if n < 10 * MIB => tenths(KIB, "KiB"),
            n if n < 10 * GIB => tenths(MIB, "MiB"),
            _ => tenths(GIB, "GiB"),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padded_and_short_texts_are_the_same_position() {
        assert_eq!(
            "1/0B000028".parse::<Lsn>().unwrap(),
            "1/B000028".parse::<Lsn>().unwrap()
        );
        for bad in ["", "1", "1/", "/1", "g/1", "1/123456789", "1/-1", "1/+1"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn lag_is_said_for_people() {
        assert_eq!(LagBytes(0).to_string(), "0 B");
        assert_eq!(LagBytes(10 * 1024).to_string(), "10.0 KiB");
        assert_eq!(LagBytes(11 << 20).to_string(), "11.0 MiB");
    }

    proptest! {
        #[test]
        fn text_and_number_agree(n: u64) {
            prop_assert_eq!(Lsn(n).to_string().parse::<Lsn>().unwrap(), Lsn(n));
        }
    }
}
