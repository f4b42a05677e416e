//! Bytes as choices, one after the other: how a target makes input of a form that single changed bytes would seldom have.

/// Numbers at which something changes its length, its sign or its range.
const NUMBERS: [i64; 12] =
    [0, 1, -1, 255, 256, 4_096, 65_535, 65_536, 1_000_000, 1 << 28, u32::MAX as i64, i64::MAX];

/// What is left of the bytes. When nothing is, every choice is the first.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// As many as that, or as there are.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// None, or one of them.
    pub(crate) fn maybe<T: Copy>(&mut self, among: &[T]) -> Option<T> {
        among.get(usize::from(self.byte()).checked_sub(1)?).copied()
    }

    /// One of them; there must be some.
    pub(crate) fn one_of<'b, T>(&mut self, among: &'b [T]) -> &'b T {
        &among[usize::from(self.byte()) % among.len()]
    }

    pub(crate) fn number(&mut self) -> i64 {
        match self.byte() % 4 {
            0 => *self.one_of(&NUMBERS),
            1 => 1_i64 << (self.byte() % 63),
            2 => self.byte().into(),
            _ => {
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(self.bytes(4)) {
                    *to = *from;
                }
                i64::from_le_bytes(bytes)
            }
        }
    }

    pub(crate) fn text(&mut self) -> String {
        let length = self.byte() % 16;
        String::from_utf8_lossy(self.bytes(length.into())).into_owned()
    }
}

/// The words of an error: it names what is possible, so the targets need no lists of their own.
pub(crate) fn words(text: &str) -> Vec<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    text.split(|character| !is_part(character)).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
