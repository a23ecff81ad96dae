//! Ages and sizes, as short as a column of a table is.

use shared::clock::Millis;
use shared::lsn::LagBytes;

/// An age: `0.4s`, `12s`, `3m05s`, `2h10m`, `3d4h`.
pub fn short(age: Millis) -> String {
    let seconds = age.0 / 1_000;
    match seconds {
        0..10 => format!("{seconds}.{}s", age.0 % 1_000 / 100),
        10..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        7_200..172_800 => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// An age that may be unknown.
pub fn known(age: Option<Millis>) -> String {
    age.map_or_else(|| "never".to_owned(), short)
}

/// A distance in the write-ahead log, without blanks: `1.6MiB`.
pub fn bytes(lag: LagBytes) -> String {
    lag.to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_keep_two_figures_that_matter() {
        let cases = [
            (0, "0.0s"),
            (9_950, "9.9s"),
            (10_000, "10s"),
            (119_999, "119s"),
            (185_000, "3m05s"),
        ];
        for (ms, text) in cases {
            assert_eq!(short(Millis(ms)), text);
        }
        assert_eq!(short(Millis::seconds(7_800)), "2h10m");
        assert_eq!(short(Millis::seconds(3 * 86_400 + 4 * 3_600)), "3d4h");
        assert_eq!(known(None), "never");
        assert_eq!(bytes(LagBytes(1_700_000)), "1660.1KiB");
    }
}
