//! Values kept once and named by a small number, so that a state of the world is a handful of numbers.

use std::collections::HashMap;
use std::fmt::{Debug, Write};
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

/// The number of a kept value.
pub(super) type Id = u32;

/// Kept values of one kind, each once.
pub(super) struct Table<T> {
    values: Vec<Rc<T>>,
    ids: HashMap<u128, Id>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            values: Vec::new(),
            ids: HashMap::new(),
        }
    }
}

impl<T: Debug> Table<T> {
    /// Keeps a value; the same number for an equal one.
    ///
    /// Two values are taken for equal when what `Debug` shows of them is: every kept type derives it, so that it
    /// shows all there is. The text is compared by 128 bits of it.
    ///
    /// # Panics
    /// When more than 2^32 values are kept.
    pub(super) fn keep(&mut self, value: T) -> Id {
        let print = print(&value);
        if let Some(id) = self.ids.get(&print) {
            return *id;
        }
        let id = Id::try_from(self.values.len()).expect("fewer than 2^32 values");
        self.values.push(Rc::new(value));
        self.ids.insert(print, id);
        id
    }

    /// A kept value.
    pub(super) fn get(&self, id: Id) -> Rc<T> {
        let index = usize::try_from(id).expect("an index of this table");
        Rc::clone(&self.values[index])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

/// 128 bits of what `Debug` shows.
fn print(value: &impl Debug) -> u128 {
    let mut printer = Printer {
        low: DefaultHasher::new(),
        high: DefaultHasher::new(),
    };
    printer.high.write_u8(1);
    write!(printer, "{value:?}").expect("a hasher takes everything");
    u128::from(printer.high.finish()) << 64 | u128::from(printer.low.finish())
}

struct Printer {
    low: DefaultHasher,
    high: DefaultHasher,
}

impl Write for Printer {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.low.write(text.as_bytes());
        self.high.write(text.as_bytes());
        Ok(())
    }
}
