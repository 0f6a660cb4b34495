//! Tokens: every grant takes the next number. They come in blocks, and the source of the blocks makes sure that they
//! rise across restarts too.

use crate::wire::digits::{Digits, Rising};

/// The first number that is not a token: up to here every number is exact in the floating point of other languages.
pub const TOKEN_END: u64 = 1 << 53;

/// Consecutive tokens that nobody else gives out, and that no block before it reached. Not `Clone`: each is used once.
#[derive(Debug, PartialEq, Eq)]
pub struct TokenBlock {
    first: u64,
    end: u64,
}

impl TokenBlock {
    /// The tokens from `first` up to, but not including, `end`.
    ///
    /// # Panics
    /// If there is none, or if one is not above 0 and below 2^53.
    pub fn new(first: u64, end: u64) -> Self {
        assert!(0 < first && first < end && end <= TOKEN_END, "no tokens are {first}..{end}");
        TokenBlock { first, end }
    }

    /// All that there are, for what has no past to care about.
    #[cfg(feature = "unstable")]
    pub fn all() -> Self {
        TokenBlock::new(1, TOKEN_END)
    }

    /// Its lowest token.
    pub fn first(&self) -> u64 {
        self.first
    }

    /// The number after its highest token.
    pub fn end(&self) -> u64 {
        self.end
    }
}

/// The tokens that are left.
#[derive(Debug)]
pub(super) struct Tokens {
    /// For those that are sent.
    rising: Rising,
    next: u64,
    /// From here on, half of the present block is used up.
    half: u64,
    end: u64,
    reserve: Option<TokenBlock>,
}

impl Tokens {
    /// Begins with this block.
    pub(super) fn new(TokenBlock { first, end }: TokenBlock) -> Self {
        Tokens { rising: Rising::default(), next: first, half: first + (end - first) / 2, end, reserve: None }
    }

    /// The next token.
    ///
    /// # Panics
    /// If there is none: a server stops before that.
    #[inline]
    pub(super) fn take(&mut self) -> u64 {
        if self.next == self.end {
            self.begin_reserve();
        }
        let token = self.next;
        self.next += 1;
        token
    }

    /// A token as it is sent. Most were taken just now.
    #[inline(always)]
    pub(super) fn digits(&mut self, token: u64) -> Digits {
        self.rising.next(token)
    }

    #[cold]
    fn begin_reserve(&mut self) {
        let reserve = self.reserve.take().expect("a server stops before its last token");
        *self = Tokens::new(reserve);
    }

    /// Adds a block, to be used after those that are there.
    ///
    /// # Panics
    /// If it is not above all of them, or there is one in reserve.
    pub(super) fn add(&mut self, block: TokenBlock) {
        assert!(self.reserve.is_none(), "a block is asked for when none is in reserve");
        assert!(block.first >= self.end, "a block from {} is not above one up to {}", block.first, self.end);
        self.reserve = Some(block);
    }

    /// How many are left, in all blocks.
    pub(super) fn left(&self) -> u64 {
        self.end - self.next + self.reserve.as_ref().map_or(0, |block| block.end - block.first)
    }

    /// Whether it is time to reserve the next block.
    pub(super) fn wants_block(&self) -> bool {
        self.reserve.is_none() && self.next >= self.half
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_rise_from_block_to_block() {
        let mut tokens = Tokens::new(TokenBlock::new(5, 7));
        assert_eq!(tokens.take(), 5);
        tokens.add(TokenBlock::new(7, 8));
        assert_eq!((tokens.take(), tokens.take()), (6, 7));
        tokens.add(TokenBlock::new(100, TOKEN_END));
        assert_eq!((tokens.take(), tokens.take()), (100, 101));
    }

    #[test]
    fn a_block_is_wanted_from_half_on_and_while_none_is_in_reserve() {
        let mut tokens = Tokens::new(TokenBlock::new(10, 14));
        let mut seen = Vec::new();
        for step in 0..6 {
            seen.push((tokens.left(), tokens.wants_block()));
            tokens.take();
            if step == 2 {
                tokens.add(TokenBlock::new(20, 26));
            }
        }
        seen.push((tokens.left(), tokens.wants_block()));
        assert_eq!(seen, [(4, false), (3, false), (2, true), (7, false), (6, false), (5, false), (4, false)]);
        tokens.take();
        assert!(tokens.wants_block(), "half of the second block is used up");
    }

    #[test]
    fn all_are_whole_numbers_below_two_to_the_53() {
        let mut tokens = Tokens::new(TokenBlock::new(TOKEN_END - 1, TOKEN_END));
        assert_eq!(tokens.take(), 9_007_199_254_740_991);
        for (block, ends) in [(TokenBlock::all(), (1, 1 << 53)), (TokenBlock::new(5, 9), (5, 9))] {
            assert_eq!((block.first(), block.end()), ends);
        }
    }

    #[test]
    #[should_panic(expected = "stops before its last token")]
    fn no_token_is_made_up_when_none_is_left() {
        let mut tokens = Tokens::new(TokenBlock::new(1, 2));
        tokens.take();
        tokens.take();
    }

    #[test]
    #[should_panic(expected = "is not above one up to 9")]
    fn a_block_that_goes_back_is_a_contradiction() {
        Tokens::new(TokenBlock::new(5, 9)).add(TokenBlock::new(8, 20));
    }

    #[test]
    #[should_panic(expected = "no tokens are 5..5")]
    fn a_block_is_not_empty() {
        TokenBlock::new(5, 5);
    }
}
