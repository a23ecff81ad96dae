//! Timeline history files: where a timeline forked off its parent.
//!
//! They tell whether a standby is ahead of the point at which the new primary left its timeline.

use std::path::Path;

use shared::lsn::{Lsn, Timeline};

/// One line: a timeline, and the position at which the next one left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fork {
    pub(super) timeline: Timeline,
    pub(super) at: Lsn,
}

/// The history of a timeline as the data directory has it; nothing when it has none.
pub(super) fn read(pgdata: &Path, timeline: Timeline) -> Option<Vec<Fork>> {
    let path = pgdata
        .join("pg_wal")
        .join(format!("{:08X}.history", timeline.0));
    Some(parse(&std::fs::read_to_string(path).ok()?))
}

/// The highest timeline above another one whose history the data directory has.
pub(super) fn newest_above(pgdata: &Path, above: Timeline) -> Option<Timeline> {
    let entries = std::fs::read_dir(pgdata.join("pg_wal")).ok()?;
    let timelines = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_suffix(".history")?;
        u32::from_str_radix(number, 16).ok().map(Timeline)
    });
    timelines.filter(|timeline| *timeline > above).max()
}

fn parse(text: &str) -> Vec<Fork> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let timeline = words.next()?.parse().ok().map(Timeline)?;
            let at = words.next()?.parse().ok()?;
            Some(Fork { timeline, at })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_timeline_and_position() {
        let text = "1\t0/3000148\tno recovery target specified\n\n2\t1/0B000028\tx\n# note\n";
        let forks = parse(text);
        assert_eq!(
            forks,
            [
                Fork {
                    timeline: Timeline(1),
                    at: Lsn(0x0300_0148)
                },
                Fork {
                    timeline: Timeline(2),
                    at: Lsn(0x1_0B00_0028)
                },
            ]
        );
    }

    #[test]
    fn the_newest_history_above_a_timeline_is_found() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("pg_wal")).unwrap();
        for name in ["00000002.history", "0000000A.history", "00000003.partial"] {
            std::fs::write(directory.path().join("pg_wal").join(name), "1\t0/1\tx\n").unwrap();
        }
        assert_eq!(
            newest_above(directory.path(), Timeline(1)),
            Some(Timeline(10))
        );
        assert_eq!(newest_above(directory.path(), Timeline(10)), None);
        assert_eq!(read(directory.path(), Timeline(2)).unwrap()[0].at, Lsn(1));
        assert_eq!(read(directory.path(), Timeline(7)), None);
    }
}
