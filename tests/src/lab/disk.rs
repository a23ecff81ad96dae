//! Small disks that a scenario fills: a filesystem in memory, mounted where one program keeps its files.
//!
//! Only root mounts. It must never mount over anything that has files in it.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Room for a database with its log, and for little more.
const SIZE: &str = "size=320m,mode=0755";
const FILLER: &str = "filler";
const PIECE: usize = 1024 * 1024;
/// No small disk takes more pieces.
const PIECES_MAX: usize = 1024;

/// A mounted filesystem. Dropping it unmounts it.
#[derive(Debug)]
pub struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Mounts one on a directory, which is made.
    ///
    /// # Errors
    /// When this process may not mount, or the directory has something in it.
    pub fn mount(directory: &Path) -> Result<Self> {
        std::fs::create_dir_all(directory).context("making the directory of a small disk")?;
        let mut found = std::fs::read_dir(directory).context("looking at a small disk")?;
        ensure!(
            found.next().is_none(),
            "{} is not empty",
            directory.display()
        );
        let said = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "tmpfs"])
            .arg(directory)
            .stdin(Stdio::null())
            .output()
            .context("running mount")?;
        let complaint = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "mount: {}", complaint.trim());
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// When the file cannot be made, or there is no end to the room.
    pub fn fill(&self) -> Result<()> {
        let mut file = File::create(self.filler()).context("making the filler")?;
        let mut size = PIECE;
        let mut written = 0;
        while size > 0 {
            ensure!(written < PIECES_MAX, "this disk is not small");
            match file.write(&vec![0; size]) {
                Ok(count) if count > 0 => written += 1,
                Ok(_) | Err(_) => size /= 2,
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When it was not filled.
    pub fn empty(&self) -> Result<()> {
        std::fs::remove_file(self.filler()).context("removing the filler")
    }

    fn filler(&self) -> PathBuf {
        self.directory.join(FILLER)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still has a file open there is ended by its own guard.
        let unmounted = Command::new("umount")
            .arg("-l")
            .arg(&self.directory)
            .status();
        drop(unmounted);
    }
}
