//! Which parts of an ad have played: one bit for every 256th of it, so that nothing is counted twice and nothing grows.

/// Into how many cells an ad is divided. A cell of 30 seconds is 117 milliseconds.
pub const CELLS: u32 = 256;
const WORDS: usize = 8;
const _: () = assert!(CELLS as usize == WORDS * 32);

/// The cells that have played as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    words: [u32; WORDS],
    covered: u32,
}

impl Coverage {
    /// Nothing has played.
    pub const NOTHING: Self = Self { words: [0; WORDS], covered: 0 };

    /// This cell has played. Again is the same; beyond the last is nothing.
    pub fn cover(&mut self, cell: u32) {
        let Some(word) = self.words.get_mut((cell / 32) as usize) else { return };
        let bit = 1 << (cell % 32);
        if *word & bit == 0 {
            *word |= bit;
            self.covered += 1;
        }
    }

    /// How many cells have played.
    pub fn covered(&self) -> u32 {
        self.covered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_counts_once_and_there_are_no_more_than_there_are() {
        let mut coverage = Coverage::NOTHING;
        for cell in [0, 31, 32, 255, 255, 0, CELLS, u32::MAX] {
            coverage.cover(cell);
        }
        assert_eq!(coverage.covered(), 4);
        (0..2 * CELLS).for_each(|cell| coverage.cover(cell));
        assert_eq!(coverage.covered(), CELLS);
    }
}
