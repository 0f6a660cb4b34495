//! Tokens: a number for each grant, higher than all before it.

/// Tokens from one number up to another, which nobody else gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBlock {
    first: u64,
    end: u64,
}

impl TokenBlock {
    /// The tokens from `first` on that are below `end`.
    ///
    /// # Panics
    /// If there are none.
    pub fn new(first: u64, end: u64) -> Self {
        assert!(first < end, "a block has tokens");
        TokenBlock { first, end }
    }

    /// All that there are, for tests and benches.
    #[cfg(feature = "unstable")]
    pub fn all() -> Self {
        TokenBlock::new(1, 1 << 53)
    }
}

/// The tokens that this server may give out.
#[derive(Debug)]
pub(super) struct Tokens {
    next: u64,
    end: u64,
    /// Used up by half of the block, from where on another one is wanted.
    half: u64,
    reserve: Option<TokenBlock>,
}

impl Tokens {
    pub(super) fn new(block: TokenBlock) -> Self {
        let TokenBlock { first, end } = block;
        Tokens { next: first, end, half: first + (end - first) / 2, reserve: None }
    }

    /// The next token.
    ///
    /// # Panics
    /// If there is none. A server stops long before.
    #[inline]
    pub(super) fn take(&mut self) -> u64 {
        if self.next == self.end {
            self.go_on();
        }
        let token = self.next;
        self.next += 1;
        token
    }

    #[cold]
    fn go_on(&mut self) {
        *self = Tokens::new(self.reserve.take().expect("a server without tokens has stopped"));
    }

    /// Takes a block for later.
    ///
    /// # Panics
    /// If its tokens are not higher than all before.
    pub(super) fn add(&mut self, block: TokenBlock) {
        assert!(block.first >= self.end && self.reserve.is_none(), "tokens rise");
        self.reserve = Some(block);
    }

    /// How many there are.
    pub(super) fn left(&self) -> u64 {
        self.end - self.next + self.reserve.map_or(0, |block| block.end - block.first)
    }

    /// Whether another block should be reserved: half of this one is used up, and there is none for later.
    pub(super) fn wants_block(&self) -> bool {
        self.reserve.is_none() && self.next >= self.half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_rise_through_all_blocks() {
        let mut tokens = Tokens::new(TokenBlock::new(10, 14));
        assert_eq!((tokens.take(), tokens.wants_block()), (10, false));
        assert_eq!((tokens.take(), tokens.wants_block(), tokens.left()), (11, true, 2));
        tokens.add(TokenBlock::new(20, 22));
        assert_eq!((tokens.wants_block(), tokens.left()), (false, 4));
        assert_eq!([12, 13, 20, 21].map(|_| tokens.take()), [12, 13, 20, 21]);
        assert_eq!((tokens.wants_block(), tokens.left()), (true, 0));
    }

    #[test]
    #[should_panic(expected = "tokens rise")]
    fn a_block_of_lower_tokens_is_refused() {
        Tokens::new(TokenBlock::new(10, 14)).add(TokenBlock::new(13, 20));
    }
}
