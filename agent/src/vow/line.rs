//! The lines by which a vow is asked for and given. Plain text, one line each way, so that a person with `nc` can
//! see what goes on.
//!
//! With a key that all agents of the stack share, both lines end with a seal (HMAC-SHA256 of what stands before),
//! and one without is not believed: nobody else on the network can then give a vow, or have one given. Without a key
//! both rest on who can reach the addresses. A nonce in the question, repeated in the answer, keeps old answers out.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use shared::clock::Millis;
use shared::epoch::{Epoch, StackVersion};
use shared::id::{NodeName, Nonce, ProcessId, SiteName, StackName};

/// What a question begins with.
pub const ASKING: &str = "pointsman vow?";
const GIVING: &str = "pointsman vow";
const DENYING: &str = "pointsman no";

/// Longest line, in bytes: six names of 63 bytes, three identities, numbers and a seal.
pub const LINE_LEN_MAX: usize = 768;
/// Shortest key, in bytes.
pub const KEY_LEN_MIN: usize = 32;

/// A question for a vow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The stack.
    pub stack: StackName,
    /// The asker's site, which holds the epoch.
    pub site: SiteName,
    /// The asker.
    pub node: NodeName,
    /// The site that is asked.
    pub to: SiteName,
    /// The epoch that the asker's site holds.
    pub epoch: Epoch,
    /// The store's incarnation.
    pub incarnation: Nonce,
    /// For so long the database is not to be promoted.
    pub span_ms: Millis,
    /// The stack version by which the asker knows whom to ask.
    pub stack_version: StackVersion,
    /// Made for this question.
    pub nonce: Nonce,
}

/// A vow as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The stack.
    pub stack: StackName,
    /// Who vows.
    pub site: SiteName,
    /// Who vows.
    pub node: NodeName,
    /// Its process.
    pub process: ProcessId,
    /// The epoch asked for.
    pub epoch: Epoch,
    /// For so long from the answer.
    pub span_ms: Millis,
    /// The question's.
    pub nonce: Nonce,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A vow.
    Given(Given),
    /// None, and why.
    Denied(String),
}

/// The key that the agents of a stack share, or none.
#[derive(Clone, Default)]
pub struct Seal {
    key: Option<Vec<u8>>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.key.is_some() { "kept" } else { "none" };
        f.debug_struct("Seal").field("key", &word).finish()
    }
}

impl Seal {
    /// Seals with a key.
    pub const fn with(key: Vec<u8>) -> Self {
        Self { key: Some(key) }
    }

    /// The line with its seal.
    pub fn close(&self, text: &str) -> String {
        let mut line = format!("{text} ");
        match self.mac(text) {
            None => line.push('-'),
            Some(mac) => {
                let bytes = mac.finalize().into_bytes();
                let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
                line.extend(halves.filter_map(|half| char::from_digit(u32::from(half), 16)));
            }
        }
        line.push('\n');
        line
    }

    /// The text of a line whose seal is right; with no key, any.
    pub fn open<'a>(&self, line: &'a str) -> Option<&'a str> {
        let (text, seal) = line.strip_suffix('\n')?.rsplit_once(' ')?;
        match self.mac(text) {
            None => Some(text),
            Some(mac) => {
                let bytes = unhex(seal)?;
                mac.verify_slice(&bytes).ok().map(|()| text)
            }
        }
    }

    fn mac(&self, text: &str) -> Option<Hmac<Sha256>> {
        // A key of any length is taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.as_ref()?).ok()?;
        mac.update(text.as_bytes());
        Some(mac)
    }
}

impl Question {
    /// The line as it travels.
    pub fn line(&self, seal: &Seal) -> String {
        seal.close(&format!(
            "{ASKING} {} {} {} {} {} {} {} {} {}",
            self.stack,
            self.site,
            self.node,
            self.to,
            self.epoch,
            self.incarnation,
            self.span_ms.0,
            self.stack_version,
            self.nonce
        ))
    }

    /// Reads a line; nothing when it is none, or its seal is wrong.
    pub fn parse(line: &str, seal: &Seal) -> Option<Self> {
        let text = seal.open(line)?.strip_prefix(ASKING)?.strip_prefix(' ')?;
        let mut words = text.split(' ');
        let question = Self {
            stack: words.next()?.parse().ok()?,
            site: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            to: words.next()?.parse().ok()?,
            epoch: Epoch(words.next()?.parse().ok()?),
            incarnation: words.next()?.parse().ok()?,
            span_ms: Millis(words.next()?.parse().ok()?),
            stack_version: StackVersion(words.next()?.parse().ok()?),
            nonce: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(question)
    }
}

impl Reply {
    /// The line as it travels.
    pub fn line(&self, seal: &Seal) -> String {
        match self {
            Self::Given(given) => seal.close(&format!(
                "{GIVING} {} {} {} {} {} {} {}",
                given.stack,
                given.site,
                given.node,
                given.process,
                given.epoch,
                given.span_ms.0,
                given.nonce
            )),
            Self::Denied(why) => seal.close(&format!("{DENYING} {why}")),
        }
    }

    /// Reads a line; nothing when it is none, or its seal is wrong.
    pub fn parse(line: &str, seal: &Seal) -> Option<Self> {
        let text = seal.open(line)?;
        if let Some(why) = text.strip_prefix(DENYING) {
            return Some(Self::Denied(why.trim().to_owned()));
        }
        let mut words = text.strip_prefix(GIVING)?.strip_prefix(' ')?.split(' ');
        let given = Given {
            stack: words.next()?.parse().ok()?,
            site: words.next()?.parse().ok()?,
            node: words.next()?.parse().ok()?,
            process: words.next()?.parse().ok()?,
            epoch: Epoch(words.next()?.parse().ok()?),
            span_ms: Millis(words.next()?.parse().ok()?),
            nonce: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(Self::Given(given))
    }
}

impl Given {
    /// Whether it answers a question by somebody of the site that was asked.
    pub fn answers(&self, question: &Question) -> bool {
        self.stack == question.stack
            && self.site == question.to
            && self.epoch == question.epoch
            && self.nonce == question.nonce
            && self.span_ms >= question.span_ms
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
