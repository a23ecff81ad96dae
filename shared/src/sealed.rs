//! Text with its digest, in two lines: what a file on a disk holds when damage to it must be noticed.

use crate::digest::ContentDigest;

/// The text of a file with this content, which has no line end.
pub fn seal(content: &str) -> String {
    let digest = ContentDigest::of_bytes(content.as_bytes());
    format!("{content}\n{digest}\n")
}

/// The content of a file.
///
/// # Errors
/// What is wrong with the file, as a sentence, for anything but what [`seal`] gives.
pub fn unseal(file: &[u8]) -> Result<&str, &'static str> {
    let text = std::str::from_utf8(file).map_err(|_| "it is no text")?;
    let (content, digest) = text
        .strip_suffix('\n')
        .and_then(|lines| lines.split_once('\n'))
        .ok_or("it is cut short")?;
    if ContentDigest::of_bytes(content.as_bytes()).as_str() == digest {
        Ok(content)
    } else {
        Err("its content does not match its digest")
    }
}
