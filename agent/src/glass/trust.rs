//! Whose plans are believed: those that a trusted key has signed.

use nkeys::KeyPair;
use shared::wire::{CONTINGENCY_SCHEMA, Contingency, SignedContingency};

/// Why a plan is not believed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    /// It is no signed plan.
    #[error("it cannot be read as a signed plan")]
    Unreadable(#[source] serde_json::Error),
    /// It is of a newer format.
    #[error("its schema is {found}, this version reads {CONTINGENCY_SCHEMA}")]
    Schema {
        /// The schema found.
        found: u32,
    },
    /// Its signer is not trusted.
    #[error("it is signed by {key}, which break_glass.trusted_keys does not name")]
    UnknownKey {
        /// The signer, as far as it looks like a key.
        key: String,
    },
    /// Its signature does not fit its content.
    #[error("its signature does not fit its content")]
    BadSignature,
}

/// Reads a signed plan and believes it only when a trusted key has signed exactly this content.
pub(crate) fn read(
    text: &[u8],
    trusted: &[String],
) -> Result<(SignedContingency, Contingency), Untrusted> {
    let signed: SignedContingency = serde_json::from_slice(text).map_err(Untrusted::Unreadable)?;
    let contingency = verify(&signed, trusted)?;
    Ok((signed, contingency))
}

/// The plan inside, when a trusted key has signed exactly this content.
pub(crate) fn verify(
    signed: &SignedContingency,
    trusted: &[String],
) -> Result<Contingency, Untrusted> {
    if signed.schema != CONTINGENCY_SCHEMA {
        return Err(Untrusted::Schema {
            found: signed.schema,
        });
    }
    if !trusted.contains(&signed.key) {
        let plain = |c: &char| c.is_ascii_alphanumeric();
        return Err(Untrusted::UnknownKey {
            key: signed.key.chars().filter(plain).take(60).collect(),
        });
    }
    let key = KeyPair::from_public_key(&signed.key).map_err(|_| Untrusted::BadSignature)?;
    let signature = signed.signature_bytes().ok_or(Untrusted::BadSignature)?;
    key.verify(
        &SignedContingency::signed_bytes(&signed.content),
        &signature,
    )
    .map_err(|_| Untrusted::BadSignature)?;
    let contingency: Contingency =
        serde_json::from_str(&signed.content).map_err(Untrusted::Unreadable)?;
    if contingency.schema == CONTINGENCY_SCHEMA {
        Ok(contingency)
    } else {
        Err(Untrusted::Schema {
            found: contingency.schema,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glass::example;

    fn signed_by(pair: &KeyPair, content: &str) -> SignedContingency {
        let bytes = SignedContingency::signed_bytes(content);
        SignedContingency {
            schema: CONTINGENCY_SCHEMA,
            summary: String::new(),
            key: pair.public_key(),
            signature: SignedContingency::hex(&pair.sign(&bytes).unwrap()),
            content: content.to_owned(),
        }
    }

    #[test]
    fn only_what_a_trusted_key_has_signed_is_believed() {
        let (ours, other) = (KeyPair::new_user(), KeyPair::new_user());
        let trusted = [ours.public_key()];
        let plan = example::plan();
        let content = serde_json::to_string(&plan).unwrap();
        let good = signed_by(&ours, &content);
        assert_eq!(verify(&good, &trusted).unwrap(), plan);
        let text = serde_json::to_vec(&good).unwrap();
        assert_eq!(read(&text, &trusted).unwrap().1, plan);

        let words = |signed: &SignedContingency| verify(signed, &trusted).unwrap_err().to_string();
        let stranger = signed_by(&other, &content);
        assert!(words(&stranger).contains("does not name"));
        let forged = SignedContingency {
            key: ours.public_key(),
            ..stranger
        };
        assert!(words(&forged).contains("does not fit"));
        let changed = SignedContingency {
            content: content.replace("dc2-db", "dc3-db"),
            ..good.clone()
        };
        assert!(words(&changed).contains("does not fit"));
        let no_hex = SignedContingency {
            signature: "xyz".to_owned(),
            ..good.clone()
        };
        assert!(words(&no_hex).contains("does not fit"));
        let newer = SignedContingency { schema: 9, ..good };
        assert!(words(&newer).contains("schema is 9"));
        let garbage = signed_by(&ours, "{}");
        assert!(words(&garbage).contains("cannot be read"));
        assert!(read(b"\xff", &trusted).is_err());
        assert!(verify(&signed_by(&ours, &content), &[]).is_err());
    }
}
