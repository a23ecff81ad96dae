//! Which server is new enough to be trusted with decisions.

use std::fmt;
use std::str::FromStr;

/// A server's release, compared by number; a pre-release sorts before its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServerVersion {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// Patch number.
    pub patch: u64,
    /// False for a pre-release such as `2.15.1-RC.1`.
    pub released: bool,
}

/// The server is older than what the durability of decisions needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "nats-server {found} is too old: {needed} or newer is needed, because older ones can skip fsync even with `sync_interval: always`"
)]
pub struct ServerTooOld {
    /// What the server said it is; `unknown` if it did not say.
    pub found: String,
    /// The oldest that will do.
    pub needed: ServerVersion,
}

impl ServerVersion {
    /// Oldest server whose `sync_interval: always` can be relied on.
    pub const OLDEST: Self = Self {
        major: 2,
        minor: 15,
        patch: 1,
        released: true,
    };

    /// Refuses a server older than [`Self::OLDEST`], or one that does not say what it is.
    ///
    /// # Errors
    /// [`ServerTooOld`] with what was found.
    pub fn check(found: &str) -> Result<Self, ServerTooOld> {
        match found.parse::<Self>() {
            Ok(version) if version >= Self::OLDEST => Ok(version),
            Ok(version) => Err(ServerTooOld {
                found: version.to_string(),
                needed: Self::OLDEST,
            }),
            Err(()) => Err(ServerTooOld {
                found: if found.is_empty() {
                    "unknown".to_owned()
                } else {
                    found.to_owned()
                },
                needed: Self::OLDEST,
            }),
        }
    }
}

impl FromStr for ServerVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (numbers, released) = match text.split_once('-') {
            Some((numbers, _)) => (numbers, false),
            None => (text, true),
        };
        let mut parts = numbers
            .trim_start_matches('v')
            .split('.')
            .map(str::parse::<u64>);
        let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        Ok(Self {
            major,
            minor,
            patch,
            released,
        })
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.released { "" } else { "-pre" };
        write!(f, "{}.{}.{}{mark}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_odd_servers_are_refused() {
        for good in ["2.15.1", "v2.15.2", "2.16.0-dev", "3.0.0"] {
            assert!(ServerVersion::check(good).is_ok(), "{good}");
        }
        for bad in [
            "2.15.0",
            "2.15.1-RC.1",
            "2.9.10",
            "",
            "banana",
            "2.15",
            "2.15.1.1",
        ] {
            assert!(ServerVersion::check(bad).is_err(), "{bad}");
        }
    }
}
