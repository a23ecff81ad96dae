//! MessagePack as a tree that a test can change: what a newer or an odd sender might write.
//!
//! Only maps, lists and texts are taken apart; every other value is kept as its bytes. It reads only
//! what this build has written.

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    /// A map with texts as keys, in its order.
    Map(Vec<(String, Self)>),
    /// A list.
    List(Vec<Self>),
    /// A text.
    Text(String),
    /// Any other value, as its bytes.
    Other(Vec<u8>),
}

const NIL: u8 = 0xc0;

impl Tree {
    /// Takes a whole message apart.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut rest = bytes;
        let tree = value(&mut rest);
        assert!(rest.is_empty(), "{} bytes are left", rest.len());
        tree
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out);
        out
    }

    /// What stands at a path; a number is an index of a list.
    pub(crate) fn at(&mut self, path: &[&str]) -> &mut Self {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let found = match self {
            Self::Map(entries) => entries
                .iter_mut()
                .find(|(key, _)| key == first)
                .map(|(_, value)| value),
            Self::List(items) => first.parse().ok().and_then(|n: usize| items.get_mut(n)),
            Self::Text(_) | Self::Other(_) => None,
        };
        found
            .unwrap_or_else(|| panic!("nothing at {first}"))
            .at(rest)
    }

    /// The entries of a map.
    pub(crate) fn entries(&mut self) -> &mut Vec<(String, Self)> {
        match self {
            Self::Map(entries) => entries,
            Self::List(_) | Self::Text(_) | Self::Other(_) => panic!("no map"),
        }
    }

    /// Hands every map to `change`, the innermost first, with the key under which it stands.
    pub(crate) fn each_map(
        &mut self,
        key: &str,
        change: &mut impl FnMut(&str, &mut Vec<(String, Self)>),
    ) {
        match self {
            Self::Map(entries) => {
                for (name, value) in entries.iter_mut() {
                    value.each_map(name, change);
                }
                change(key, entries);
            }
            Self::List(items) => items.iter_mut().for_each(|item| item.each_map(key, change)),
            Self::Text(_) | Self::Other(_) => {}
        }
    }

    /// True for an absent value.
    pub(crate) fn is_nil(&self) -> bool {
        *self == Self::Other(vec![NIL])
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Map(entries) => {
                out.push(0xdf);
                out.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
                for (key, value) in entries {
                    Self::Text(key.clone()).write(out);
                    value.write(out);
                }
            }
            Self::List(items) => {
                out.push(0xdd);
                out.extend(u32::try_from(items.len()).unwrap().to_be_bytes());
                for item in items {
                    item.write(out);
                }
            }
            Self::Text(text) => {
                out.push(0xdb);
                out.extend(u32::try_from(text.len()).unwrap().to_be_bytes());
                out.extend(text.as_bytes());
            }
            Self::Other(bytes) => out.extend(bytes),
        }
    }
}

fn value(rest: &mut &[u8]) -> Tree {
    let start = *rest;
    let head = take(rest, 1)[0];
    let fixed = usize::from(head & 0x0f);
    match head {
        0x80..=0x8f => map(rest, fixed),
        0xde => map_of(rest, 2),
        0xdf => map_of(rest, 4),
        0x90..=0x9f => list(rest, fixed),
        0xdc => list_of(rest, 2),
        0xdd => list_of(rest, 4),
        0xa0..=0xbf => text(rest, usize::from(head & 0x1f)),
        0xd9 => text_of(rest, 1),
        0xda => text_of(rest, 2),
        0xdb => text_of(rest, 4),
        _ => {
            let length = match head {
                0xc4 => length(rest, 1),
                0xc5 => length(rest, 2),
                0xcc | 0xd0 => 1,
                0xcd | 0xd1 => 2,
                0xce | 0xd2 | 0xca => 4,
                0xcf | 0xd3 | 0xcb => 8,
                _ => 0,
            };
            take(rest, length);
            Tree::Other(start[..start.len() - rest.len()].to_vec())
        }
    }
}

fn map_of(rest: &mut &[u8], width: usize) -> Tree {
    let count = length(rest, width);
    map(rest, count)
}

fn list_of(rest: &mut &[u8], width: usize) -> Tree {
    let count = length(rest, width);
    list(rest, count)
}

fn text_of(rest: &mut &[u8], width: usize) -> Tree {
    let count = length(rest, width);
    text(rest, count)
}

fn map(rest: &mut &[u8], count: usize) -> Tree {
    let entry = |_| match value(rest) {
        Tree::Text(key) => (key, value(rest)),
        Tree::Map(_) | Tree::List(_) | Tree::Other(_) => panic!("a key that is no text"),
    };
    Tree::Map((0..count).map(entry).collect())
}

fn list(rest: &mut &[u8], count: usize) -> Tree {
    Tree::List((0..count).map(|_| value(rest)).collect())
}

fn text(rest: &mut &[u8], count: usize) -> Tree {
    Tree::Text(String::from_utf8(take(rest, count).to_vec()).unwrap())
}

fn length(rest: &mut &[u8], width: usize) -> usize {
    take(rest, width)
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}
