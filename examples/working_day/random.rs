//! Numbers that look random and are the same for the same seed.

/// A generator: SplitMix64.
pub struct Random {
    state: u64,
}

impl Random {
    /// Begins with `seed`.
    pub fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    /// Begins a part of what `seed` gives: parts have nothing in common and may be made in any order.
    pub fn part(seed: u64, part: usize) -> Self {
        let mut begin = Random::new(seed ^ (part as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        Random::new(begin.next())
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to `n` - 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// From `low` to below `high`, with `digits` after the point.
    pub fn decimal(&mut self, low: f64, high: f64, digits: i32) -> f64 {
        let scale = 10f64.powi(digits);
        let share = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((low + (high - low) * share) * scale).round() / scale
    }

    /// True with that probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        ((self.next() >> 11) as f64 / (1u64 << 53) as f64) < probability
    }

    /// One of `items`.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}
