//! The written side of a translation: items, and the groups they are put together in.

use super::Code;

/// The largest number of times one item may be repeated, nested counters multiplied.
pub(super) const MAX_REPEATS: u32 = 1000;
/// How high operators and groups may tower over one character. Go's limit is 1000; Rust's compiler recurses, and
/// a debug build's thread of 2 MiB must hold it.
const MAX_HEIGHT: u32 = 64;

/// A piece of translated pattern that an operator can apply to.
#[derive(Debug)]
pub(super) struct Item {
    text: String,
    /// How often it may repeat its innermost part.
    repeats: u32,
    height: u32,
}

/// How often an operator repeats its item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    /// `*`
    Star,
    /// `+`
    Plus,
    /// `?`
    Question,
    /// `{least}`, `{least,}` or `{least,most}`
    Counted {
        /// The least number.
        least: u32,
        /// The greatest number; `None` when there is no limit.
        most: Option<u32>,
    },
}

/// A group in the making: finished alternatives, and the items of the one being read.
#[derive(Debug)]
pub(super) struct Group {
    opening: &'static str,
    alternatives: String,
    items: Vec<Item>,
    repeats: u32,
    height: u32,
}

impl Item {
    /// An item that repeats nothing.
    pub(super) fn simple(text: String) -> Self {
        Self {
            text,
            repeats: 1,
            height: 1,
        }
    }
}

impl Group {
    /// A group that begins with `opening`, which is empty for the whole pattern.
    pub(super) fn new(opening: &'static str) -> Self {
        Self {
            opening,
            alternatives: String::new(),
            items: Vec::new(),
            repeats: 1,
            height: 1,
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.items.push(item);
    }

    /// Applies an operator to the last item.
    pub(super) fn repeat(&mut self, times: Times, is_lazy: bool) -> Result<(), Code> {
        let Item {
            text,
            repeats,
            height,
        } = self.items.pop().ok_or(Code::MissingRepeatArgument)?;
        let (operator, factor) = match times {
            Times::Star => ("*".to_owned(), 1),
            Times::Plus => ("+".to_owned(), 1),
            Times::Question => ("?".to_owned(), 1),
            Times::Counted { least, most: None } => (format!("{{{least},}}"), least),
            Times::Counted {
                least,
                most: Some(most),
            } => (format!("{{{least},{most}}}"), most),
        };
        let repeats = if times
            == (Times::Counted {
                least: 0,
                most: Some(0),
            }) {
            1
        } else {
            repeats * factor.max(1)
        };
        if factor >= 2 && repeats > MAX_REPEATS {
            return Err(Code::InvalidRepeatSize);
        }
        let lazy = if is_lazy { "?" } else { "" };
        self.items.push(Item {
            text: format!("(?:{text}){operator}{lazy}"),
            repeats,
            height: climb(height)?,
        });
        Ok(())
    }

    /// Ends an alternative: a `|` was read.
    pub(super) fn alternate(&mut self) {
        self.finish_alternative();
        self.alternatives.push('|');
    }

    /// Ends the group, which thereby becomes an item of the group around it.
    pub(super) fn close(mut self) -> Result<Item, Code> {
        self.finish_alternative();
        let text = format!("{}{})", self.opening, self.alternatives);
        Ok(Item {
            text,
            repeats: self.repeats,
            height: climb(self.height)?,
        })
    }

    /// Ends the whole pattern.
    pub(super) fn into_text(mut self) -> String {
        self.finish_alternative();
        self.alternatives
    }

    fn finish_alternative(&mut self) {
        for item in self.items.drain(..) {
            self.alternatives.push_str(&item.text);
            self.repeats = self.repeats.max(item.repeats);
            self.height = self.height.max(item.height);
        }
    }
}

fn climb(height: u32) -> Result<u32, Code> {
    if height < MAX_HEIGHT {
        Ok(height + 1)
    } else {
        Err(Code::NestingDepth)
    }
}
