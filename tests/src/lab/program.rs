//! Where the project's own programs are: beside the one that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The directory of the built programs.
///
/// A test runs from `deps` below it.
///
/// # Errors
/// When the running program's own path is not known.
pub fn directory() -> Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    let beside = own.parent().context("a program without directory")?;
    if beside.file_name().is_some_and(|name| name == "deps") {
        return Ok(beside
            .parent()
            .map_or_else(|| beside.to_owned(), Path::to_owned));
    }
    Ok(beside.to_owned())
}

/// The path of one program.
///
/// # Errors
/// When it was not built.
pub fn path(name: &str) -> Result<PathBuf> {
    let path = directory()?.join(name);
    ensure!(
        path.is_file(),
        "{} is not there: cargo build --workspace --bins",
        path.display()
    );
    Ok(path)
}
