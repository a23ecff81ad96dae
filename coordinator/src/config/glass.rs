//! The table of break glass: the key that plans for the loss of the store are signed with.

use std::path::PathBuf;

use shared::config::Section;

/// A value was wrong, and that has been said.
pub(super) struct Said;

/// The seed's file; nothing when no plans are made.
pub(super) fn read(top: &Section<'_>) -> Result<Option<PathBuf>, Said> {
    const ALLOWED: &str = "the absolute path of a file with an nkey seed of its own, readable by the coordinator alone";
    let present = top.has("break_glass");
    let section = top.section("break_glass");
    // The section is asked for in any case, so that its name is known.
    if !present {
        return Ok(None);
    }
    let path: Option<PathBuf> = section.required("signing_seed_file", ALLOWED);
    let relative = path.as_ref().filter(|path| !path.is_absolute());
    if let Some(path) = relative {
        let found = format!("{:?}", path.display().to_string());
        section.problem("signing_seed_file", found, ALLOWED);
    }
    section.finish();
    path.filter(|path| path.is_absolute()).map(Some).ok_or(Said)
}
