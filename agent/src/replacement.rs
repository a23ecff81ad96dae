//! A small file that is replaced in one piece: after a crash there is the old content or the new one.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// Writes beside (with the extension `new`), flushes, renames and flushes the directory: it is on the disk when this
/// returns.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    drop(file);
    std::fs::rename(&beside, path)?;
    path.parent()
        .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
