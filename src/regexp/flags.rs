//! The flags a pattern can set for what follows: `(?i)`, `(?s-m:…)`.

/// The flags `i`, `m`, `s` and `U`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags(u8);

impl Flags {
    pub(super) const FOLD_CASE: u8 = 1;
    pub(super) const MULTI_LINE: u8 = 1 << 1;
    pub(super) const DOT_ALL: u8 = 1 << 2;
    pub(super) const SWAP_GREED: u8 = 1 << 3;

    /// The flag that `char` stands for.
    pub(super) fn named(char: char) -> Option<u8> {
        match char {
            'i' => Some(Self::FOLD_CASE),
            'm' => Some(Self::MULTI_LINE),
            's' => Some(Self::DOT_ALL),
            'U' => Some(Self::SWAP_GREED),
            _ => None,
        }
    }

    pub(super) fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    /// `set` if the flag is set, or else `unset`.
    pub(super) fn choose(self, flag: u8, set: &'static str, unset: &'static str) -> &'static str {
        if self.has(flag) { set } else { unset }
    }

    pub(super) fn set(&mut self, flag: u8, on: bool) {
        self.0 = if on { self.0 | flag } else { self.0 & !flag };
    }
}
