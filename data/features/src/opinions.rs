//! What the candidate sources say of one item.

use waggle_model::{CandidateSource, ItemKey};

/// One source's opinion of the candidate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    pub source: CandidateSource,
    /// In the source's own unit; higher is better.
    pub score: f32,
    /// 1-based place in the source's list.
    pub rank: u32,
    /// The item of the history or the page that led here, if there is one ("because you bought …").
    pub because: Option<ItemKey>,
}

/// At most one opinion per source, in one small piece of memory: an answer has hundreds of candidates.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Opinions {
    /// By source; rank 0 is no opinion.
    numbers: [(f32, u32); N_SOURCES],
    /// By source, where its bit in `is_led` is set.
    because: [u64; N_SOURCES],
    is_led: u16,
}

const N_SOURCES: usize = CandidateSource::ALL.len();

impl Opinions {
    /// The source's opinion from now on. Rank 0 is taken as 1.
    pub fn set(&mut self, opinion: Opinion) {
        let Opinion { source, score, rank, because } = opinion;
        let place = source as usize;
        self.numbers[place] = (score, rank.max(1));
        self.because[place] = because.map_or(0, |item| item.0);
        self.is_led = self.is_led & !(1 << place) | u16::from(because.is_some()) << place;
    }

    pub fn get(&self, source: CandidateSource) -> Option<Opinion> {
        let place = source as usize;
        let (score, rank) = self.numbers[place];
        let because = (self.is_led >> place & 1 == 1).then_some(ItemKey(self.because[place]));
        (rank > 0).then_some(Opinion { source, score, rank, because })
    }

    /// Score and rank; zeros without an opinion.
    pub(crate) fn numbers(&self, source: CandidateSource) -> (f32, u32) {
        self.numbers[source as usize]
    }

    /// In the order of [`CandidateSource::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Opinion> {
        CandidateSource::ALL.into_iter().filter_map(|source| self.get(source))
    }

    /// The source that places the item highest first.
    pub fn by_rank(&self) -> Vec<Opinion> {
        let mut opinions: Vec<Opinion> = self.iter().collect();
        opinions.sort_by_key(|opinion| (opinion.rank, opinion.source));
        opinions
    }

    /// The best rank that some source gives.
    pub fn best_rank(&self) -> Option<u32> {
        self.numbers.iter().map(|(_, rank)| *rank).filter(|rank| *rank > 0).min()
    }
}

impl FromIterator<Opinion> for Opinions {
    fn from_iter<I: IntoIterator<Item = Opinion>>(opinions: I) -> Self {
        let mut all = Self::default();
        opinions.into_iter().for_each(|opinion| all.set(opinion));
        all
    }
}
