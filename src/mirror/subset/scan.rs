//! Where the entries of an index lie in its bytes. What is scanned has been read as JSON before, so nothing here judges it:
//! bytes that do not fit end the search.

/// Beginning and end of each entry of `manifests`.
pub(super) fn entries(bytes: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut cursor = Cursor { bytes, at: 0 };
    cursor.eat(b'{')?;
    loop {
        let (start, end) = cursor.value()?;
        let name: String = serde_json::from_slice(bytes.get(start..end)?).ok()?;
        cursor.eat(b':')?;
        if name == "manifests" {
            break;
        }
        cursor.value()?;
        cursor.eat(b',')?;
    }
    cursor.eat(b'[')?;
    let mut spans = Vec::new();
    if cursor.peek()? == b']' {
        return Some(spans);
    }
    loop {
        spans.push(cursor.value()?);
        match cursor.next()? {
            b',' => {}
            b']' => return Some(spans),
            _ => return None,
        }
    }
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is no blank; it stays.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// As [`peek`](Self::peek), and goes past it.
    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    /// Goes past one value, whatever it is, and says where it lies.
    fn value(&mut self) -> Option<(usize, usize)> {
        let first = self.peek()?;
        let start = self.at;
        match first {
            b'"' => self.string()?,
            b'{' | b'[' => self.nested()?,
            _ => self.literal(),
        }
        (self.at > start).then_some((start, self.at))
    }

    fn string(&mut self) -> Option<()> {
        self.at += 1;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// An object or a list: brackets count, those in strings do not.
    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn literal(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
                return;
            }
            self.at += 1;
        }
    }
}
