//! Digests that bind an approval, a command and a stack version to their exact content.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Length of a digest as text, in hexadecimal characters.
pub const DIGEST_LEN: usize = 64;

/// A SHA-256 over the canonical JSON of a value: keys in the order of the type, which is fixed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContentDigest(String);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is not a digest: {DIGEST_LEN} hexadecimal characters (or at least the first 8, in commands) are needed"
)]
pub struct DigestError {
    /// The text that was found.
    pub found: String,
}

impl ContentDigest {
    /// The digest of a value's JSON.
    ///
    /// # Panics
    /// When the value cannot be written as JSON: a bug, since all values digested here are plain data.
    pub fn of<T: Serialize>(value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::of_bytes(&bytes),
            Err(error) => unreachable!("a value that cannot be written as JSON: {error}"),
        }
    }

    /// The digest of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(DIGEST_LEN);
        for byte in Sha256::digest(bytes) {
            // Writing to a String never fails.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The whole digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters: what operators see and type.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }

    /// True when `text` is this digest or a beginning of it of at least eight characters.
    pub fn matches(&self, text: &str) -> bool {
        text.len() >= 8 && self.0.starts_with(text)
    }
}

impl fmt::Display for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ContentDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if text.len() == DIGEST_LEN && hex {
            Ok(Self(text.to_owned()))
        } else {
            Err(DigestError {
                found: text.to_owned(),
            })
        }
    }
}

impl TryFrom<String> for ContentDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<ContentDigest> for String {
    fn from(digest: ContentDigest) -> Self {
        digest.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_sha256_of_the_json() {
        let digest = ContentDigest::of(&"abc");
        assert_eq!(digest, ContentDigest::of_bytes(b"\"abc\""));
        assert_eq!(
            ContentDigest::of_bytes(b"abc").as_str(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_short_beginning_is_not_enough() {
        let digest = ContentDigest::of_bytes(b"abc");
        assert!(digest.matches("ba7816bf"));
        assert!(!digest.matches("ba7816b"));
        assert!(!digest.matches("ba7816c0"));
    }
}
