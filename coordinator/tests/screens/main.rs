//! What operators read, compared byte for byte with the files in `tests/golden`.
//!
//! `POINTSMAN_GOLDEN=overwrite` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod failover;
mod picture;
mod plain;

use std::path::PathBuf;

use coordinator::screen::WIDTH;

/// Compares a screen with its file, and with what holds for every screen.
fn golden(name: &str, screen: &str) {
    for line in screen.lines() {
        assert!(
            line.chars().count() <= WIDTH,
            "{name}: wider than {WIDTH}: {line}"
        );
        assert!(
            !line.ends_with(' '),
            "{name}: blanks at the end of {line:?}"
        );
        assert!(
            !line.chars().any(char::is_control),
            "{name}: a control character in {line:?}"
        );
        assert!(line.is_ascii(), "{name}: not ASCII: {line:?}");
    }
    assert!(
        screen.ends_with('\n') && !screen.ends_with("\n\n"),
        "{name}: one line break at the end"
    );
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.txt"));
    if std::env::var_os("POINTSMAN_GOLDEN").is_some_and(|value| value == "overwrite") {
        std::fs::write(&path, screen).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        screen,
        wanted,
        "{name} differs from {}; POINTSMAN_GOLDEN=overwrite writes it anew",
        path.display()
    );
}
