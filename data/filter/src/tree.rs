//! How conditions are joined, whatever a condition is.

/// An expression of `and`, `or` and `not` over leaves.
///
/// As the constructors make it, no `And` is directly below an `And`, no `Or` below an `Or` and no `Not` below a `Not`;
/// both joints have at least two children, and a constant stands alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Tree<L> {
    Constant(bool),
    And(Vec<Tree<L>>),
    Or(Vec<Tree<L>>),
    Not(Box<Tree<L>>),
    Leaf(L),
}

impl<L> Tree<L> {
    pub fn and(children: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for child in children {
            match child {
                Self::Constant(true) => {}
                Self::Constant(false) => return Self::Constant(false),
                Self::And(grandchildren) => kept.extend(grandchildren),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Constant(true),
            1 => kept.remove(0),
            _ => Self::And(kept),
        }
    }

    pub fn or(children: impl IntoIterator<Item = Self>) -> Self {
        let mut kept = Vec::new();
        for child in children {
            match child {
                Self::Constant(false) => {}
                Self::Constant(true) => return Self::Constant(true),
                Self::Or(grandchildren) => kept.extend(grandchildren),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Constant(false),
            1 => kept.remove(0),
            _ => Self::Or(kept),
        }
    }

    #[expect(clippy::should_implement_trait, reason = "stands beside `and` and `or`")]
    pub fn not(self) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(!value),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// What the expression says where `leaf` says what its leaves say; leaves that no longer matter are not asked.
    pub fn evaluate(&self, leaf: &mut impl FnMut(&L) -> bool) -> bool {
        match self {
            Self::Constant(value) => *value,
            Self::And(children) => children.iter().all(|child| child.evaluate(leaf)),
            Self::Or(children) => children.iter().any(|child| child.evaluate(leaf)),
            Self::Not(child) => !child.evaluate(leaf),
            Self::Leaf(it) => leaf(it),
        }
    }

    /// Every leaf, from left to right.
    pub fn leaves(&self) -> Vec<&L> {
        let mut leaves = Vec::new();
        let mut left = vec![self];
        while let Some(tree) = left.pop() {
            match tree {
                Self::Constant(_) => {}
                Self::And(children) | Self::Or(children) => left.extend(children.iter().rev()),
                Self::Not(child) => left.push(child),
                Self::Leaf(it) => leaves.push(it),
            }
        }
        leaves
    }
}

#[cfg(test)]
mod tests;
