//! A small generator: the same numbers for the same seed on every machine.

/// xorshift64* (Vigna 2016).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that always gives the same for this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Never zero, and small seeds far apart.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let high = u128::from(self.next()) * u128::try_from(limit).expect("numbers of 64 bits");
        usize::try_from(high >> 64).expect("numbers of 64 bits")
    }

    /// True in `percent` of all cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of them.
    pub fn choose<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// So many of the numbers below `limit`, each once.
    pub fn distinct(&mut self, count: usize, limit: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..limit).collect();
        (0..count.min(limit)).map(|_| all.swap_remove(self.below(all.len()))).collect()
    }
}
