//! A watchdog device that resets the host when nobody feeds it any more: it ends what no port guards, writers
//! inside the database and on Unix sockets included.
//!
//! The device's own timeout decides; it is read from the kernel and set outside (`softdog soft_margin=…`, or
//! `wdctl --settimeout`), because only an `ioctl` could set it from here. Feeding must never postpone the reset
//! beyond what is left: less time left than the device would give means that it is not fed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use shared::clock::Millis;

/// Written last, it disarms the device instead of leaving it running.
const MAGIC_CLOSE: &[u8] = b"V";

/// A watchdog device; it is armed from the first feeding on.
#[derive(Debug)]
pub(super) struct Watchdog {
    device: PathBuf,
    class: PathBuf,
    open: Option<File>,
}

/// Why a watchdog cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WatchdogError {
    /// It cannot be opened or written.
    #[error("watchdog {} cannot be used", device.display())]
    Unusable {
        /// The device.
        device: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody knows when it would fire.
    #[error("{} does not tell the watchdog's timeout in seconds", file.display())]
    NoTimeout {
        /// Where it should stand.
        file: PathBuf,
    },
    /// It gives more time than there may be.
    #[error(
        "watchdog {} fires after {timeout_ms}, which is longer than the {left_ms} that are left after a renewal: \
         lower its timeout, softdog by soft_margin, others by wdctl --settimeout",
        device.display()
    )]
    TooSlow {
        /// The device.
        device: PathBuf,
        /// Its timeout.
        timeout_ms: Millis,
        /// What was left when it was to be fed.
        left_ms: Millis,
    },
}

impl Watchdog {
    /// A device such as `/dev/watchdog0`. It is not opened yet: opening arms it.
    pub(super) fn at(device: &Path) -> Self {
        Self::with_class(device, Path::new("/sys/class/watchdog"))
    }

    fn with_class(device: &Path, class: &Path) -> Self {
        Self {
            device: device.to_owned(),
            class: class.to_owned(),
            open: None,
        }
    }

    /// Feeds it, when that does not postpone the reset beyond what is left.
    pub(super) fn arm(&mut self, left: Millis) -> Result<(), WatchdogError> {
        let timeout_ms = self.timeout()?;
        if timeout_ms > left {
            // One that is armed runs out by itself, in time. One that is not would promise what it does not keep.
            return if self.open.is_some() {
                Ok(())
            } else {
                Err(WatchdogError::TooSlow {
                    device: self.device.clone(),
                    timeout_ms,
                    left_ms: left,
                })
            };
        }
        let feeding = self.opened().and_then(|file| file.write_all(b"."));
        feeding.map_err(|source| self.unusable(source))
    }

    /// Disarms it: nothing that it guards runs any more. A kernel with `nowayout` does not let it.
    pub(super) fn rest(&mut self) -> Result<(), WatchdogError> {
        match self.open.take() {
            None => Ok(()),
            Some(mut file) => file
                .write_all(MAGIC_CLOSE)
                .map_err(|source| self.unusable(source)),
        }
    }

    /// Looks whether it is there and tells its timeout.
    pub(super) fn check(&self) -> Result<(), WatchdogError> {
        self.timeout()?;
        std::fs::metadata(&self.device)
            .map(drop)
            .map_err(|source| self.unusable(source))
    }

    fn opened(&mut self) -> io::Result<&mut File> {
        let file = match self.open.take() {
            Some(file) => file,
            None => OpenOptions::new().write(true).open(&self.device)?,
        };
        Ok(self.open.insert(file))
    }

    fn timeout(&self) -> Result<Millis, WatchdogError> {
        // `/dev/watchdog` is the first device under its old name.
        let name = match self.device.file_name().and_then(|name| name.to_str()) {
            Some("watchdog") | None => "watchdog0",
            Some(name) => name,
        };
        let file = self.class.join(name).join("timeout");
        let seconds = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| text.trim().parse().ok());
        match seconds {
            Some(seconds @ 1..=86_400) => Ok(Millis::seconds(seconds)),
            _ => Err(WatchdogError::NoTimeout { file }),
        }
    }

    fn unusable(&self, source: io::Error) -> WatchdogError {
        WatchdogError::Unusable {
            device: self.device.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files in place of the device and of what the kernel tells of it: what is written where can be seen, that a
    /// host is reset cannot.
    fn stand_in(timeout: &str) -> (tempfile::TempDir, Watchdog) {
        let directory = tempfile::tempdir().unwrap();
        let class = directory.path().join("class");
        std::fs::create_dir_all(class.join("watchdog0")).unwrap();
        std::fs::write(class.join("watchdog0/timeout"), timeout).unwrap();
        let device = directory.path().join("watchdog0");
        std::fs::write(&device, "").unwrap();
        let watchdog = Watchdog::with_class(&device, &class);
        (directory, watchdog)
    }

    fn written(watchdog: &Watchdog) -> String {
        std::fs::read_to_string(&watchdog.device).unwrap()
    }

    #[test]
    fn it_is_fed_only_while_that_does_not_postpone_the_reset() {
        let (_directory, mut watchdog) = stand_in("30\n");
        watchdog.check().unwrap();
        watchdog.arm(Millis::seconds(38)).unwrap();
        assert_eq!(written(&watchdog), ".");
        watchdog.arm(Millis::seconds(29)).unwrap();
        assert_eq!(written(&watchdog), ".");
        watchdog.arm(Millis::seconds(30)).unwrap();
        assert_eq!(written(&watchdog), "..");
        watchdog.rest().unwrap();
        assert_eq!(written(&watchdog), "..V");
        watchdog.rest().unwrap();
        assert_eq!(written(&watchdog), "..V");
    }

    #[test]
    fn one_that_is_too_slow_or_tells_no_timeout_is_refused() {
        let (_directory, mut watchdog) = stand_in("60");
        let refused = watchdog.arm(Millis::seconds(38)).unwrap_err();
        assert!(matches!(refused, WatchdogError::TooSlow { .. }));
        assert_eq!(written(&watchdog), "");
        for text in ["", "0", "soon", "9999999999"] {
            let (_directory, watchdog) = stand_in(text);
            let refused = watchdog.check().unwrap_err();
            assert!(matches!(refused, WatchdogError::NoTimeout { .. }), "{text}");
        }
    }
}
