//! Time as values: this package reads no clock.
//!
//! [`Mono`] is for decisions, [`UnixMillis`] for people and audit. Clocks of two hosts are never compared.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// A point on one process's own monotonic clock, in milliseconds; it counts suspend (`CLOCK_BOOTTIME`).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Mono(pub u64);

/// A wall-clock time in milliseconds since 1970-01-01 UTC: for display and audit, never for a decision.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// A span of time in milliseconds. As text: a whole number with a unit, such as `250ms`, `7s`, `30m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

/// Why a text is not a span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a span of time: a whole number with a unit is needed, like 250ms, 7s, 30m or 1h"
)]
pub struct SpanError {
    /// The text that was found.
    pub found: String,
}

impl Mono {
    /// Time from `earlier` to this point; nothing when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The point `span` later.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The point `span` earlier, not before the clock's zero.
    #[must_use]
    pub const fn before(self, span: Millis) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl UnixMillis {
    /// The time as RFC 3339 in UTC with seconds, for people.
    pub fn rfc3339(self) -> String {
        let seconds = self.0 / 1_000;
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(days);
        format!(
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            rest / 3_600,
            rest % 3_600 / 60,
            rest % 60
        )
    }

    /// The time of day in UTC with milliseconds, for progress lines.
    pub fn time_of_day(self) -> String {
        let rest = self.0 % 86_400_000;
        format!(
            "{:02}:{:02}:{:02}.{:03}",
            rest / 3_600_000,
            rest % 3_600_000 / 60_000,
            rest % 60_000 / 1_000,
            rest % 1_000
        )
    }
}

/// Days since 1970-01-01 to a civil date (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

impl Millis {
    /// Whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// As the standard library's span.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }

    /// From the standard library's span; what is below a millisecond is dropped.
    pub fn from_duration(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    /// For people: `0.4 s`, `12 s`, `3 m 05 s`, `2 h 10 m`, `3 d 4 h`.
    pub fn human(self) -> String {
        let seconds = self.0 / 1_000;
        match seconds {
            0..10 => format!("{}.{} s", seconds, self.0 % 1_000 / 100),
            10..120 => format!("{seconds} s"),
            120..7_200 => format!("{} m {:02} s", seconds / 60, seconds % 60),
            7_200..172_800 => format!("{} h {:02} m", seconds / 3_600, seconds % 3_600 / 60),
            _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
        }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => "0s".to_owned(),
            n if n % 3_600_000 == 0 => format!("{}h", n / 3_600_000),
            n if n % 60_000 == 0 => format!("{}m", n / 60_000),
            n if n % 1_000 == 0 => format!("{}s", n / 1_000),
            n => format!("{n}ms"),
        };
        f.pad(&text)
    }
}

impl FromStr for Millis {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError {
            found: text.to_owned(),
        };
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_| error())?;
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(error()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(error)
    }
}

impl Serialize for Millis {
    /// Text where people read (TOML, JSON), a number on the compact wire.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Millis {
    /// Accepts milliseconds as a number (wire) or a text with a unit (files).
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SpanVisitor)
    }
}

struct SpanVisitor;

impl serde::de::Visitor<'_> for SpanVisitor {
    type Value = Millis;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a span of time like 250ms, 7s, 30m or 1h")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Millis, E> {
        Ok(Millis(number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Millis, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_with_their_unit() {
        for (text, ms) in [
            ("250ms", 250),
            ("7s", 7_000),
            ("30m", 1_800_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(text.parse::<Millis>().unwrap(), Millis(ms));
            assert_eq!(Millis(ms).to_string(), text);
        }
        for bad in [
            "",
            "7",
            "s",
            "7 s",
            "-7s",
            "7.5s",
            "7d",
            "99999999999999999999s",
        ] {
            assert!(
                bad.parse::<Millis>()
                    .unwrap_err()
                    .to_string()
                    .contains("unit"),
                "{bad}"
            );
        }
    }

    #[test]
    fn wall_clock_is_printed_as_rfc3339() {
        assert_eq!(UnixMillis(0).rfc3339(), "1970-01-01T00:00:00Z");
        assert_eq!(
            UnixMillis(1_709_210_096_789).rfc3339(),
            "2024-02-29T12:34:56Z"
        );
        assert_eq!(UnixMillis(1_709_210_096_789).time_of_day(), "12:34:56.789");
    }

    #[test]
    fn monotonic_spans_never_wrap() {
        assert_eq!(Mono(5).since(Mono(9)), Millis(0));
        assert_eq!(Mono(u64::MAX).after(Millis(1)), Mono(u64::MAX));
    }
}
