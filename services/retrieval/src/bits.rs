//! A growing array of bits.

/// Bits by place; beyond the last one that was set they are all false.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// `n` times the same.
    pub fn all(value: bool, n: usize) -> Self {
        if value { Self::default().not(n) } else { Self::default() }
    }

    /// Which of the values pass.
    pub fn from_fn<T>(values: &[T], mut passes: impl FnMut(&T) -> bool) -> Self {
        let word = |values: &[T]| {
            let mut word = 0;
            for (place, value) in values.iter().enumerate() {
                word |= u64::from(passes(value)) << place;
            }
            word
        };
        Self { words: values.chunks(64).map(word).collect() }
    }

    /// The first place's bit is the lowest of the first word.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    pub fn has(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub fn set(&mut self, place: usize, value: bool) {
        let word = place / 64;
        if word >= self.words.len() {
            if !value {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (place % 64);
        if value {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn and(&self, other: &Self) -> Self {
        Self { words: self.words.iter().zip(&other.words).map(|(a, b)| a & b).collect() }
    }

    pub fn or(&self, other: &Self) -> Self {
        let (long, short) = if self.words.len() >= other.words.len() { (self, other) } else { (other, self) };
        let mut words = long.words.clone();
        for (word, other) in words.iter_mut().zip(&short.words) {
            *word |= other;
        }
        Self { words }
    }

    /// The others of the first `n`.
    pub fn not(&self, n: usize) -> Self {
        let mut words: Vec<u64> = (0..n.div_ceil(64)).map(|at| !self.words.get(at).unwrap_or(&0)).collect();
        if let (Some(last), rest @ 1..) = (words.last_mut(), n % 64) {
            *last &= (1 << rest) - 1;
        }
        Self { words }
    }

    /// The places that are true, ascending.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let place = left.trailing_zeros();
                left &= left.wrapping_sub(1);
                (place < 64).then_some(at * 64 + place as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bits(places: &[usize]) -> Bits {
        let mut bits = Bits::default();
        places.iter().for_each(|place| bits.set(*place, true));
        bits
    }

    proptest! {
        #[test]
        fn sets_work_as_sets_do(
            a in prop::collection::btree_set(0..300_usize, 0..60),
            b in prop::collection::btree_set(0..300_usize, 0..60),
            n in 0..300_usize,
        ) {
            let (list_a, list_b): (Vec<_>, Vec<_>) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (bits_a, bits_b) = (bits(&list_a), bits(&list_b));
            prop_assert_eq!(bits_a.count(), a.len());
            prop_assert_eq!(bits_a.ones().collect::<Vec<_>>(), list_a.clone());
            let ones = |bits: Bits| bits.ones().collect::<Vec<_>>();
            prop_assert_eq!(ones(bits_a.and(&bits_b)), a.intersection(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(ones(bits_a.or(&bits_b)), a.union(&b).copied().collect::<Vec<_>>());
            prop_assert_eq!(ones(bits_a.not(n)), (0..n).filter(|place| !a.contains(place)).collect::<Vec<_>>());
            prop_assert_eq!(Bits::all(true, n).count(), n);
            let values: Vec<usize> = (0..n).collect();
            prop_assert_eq!(ones(Bits::from_fn(&values, |v| a.contains(v))), list_a.iter().copied().filter(|v| *v < n).collect::<Vec<_>>());
            prop_assert!((0..300).all(|place| bits_a.has(place) == a.contains(&place)));
        }
    }
}
