//! A parsed filter, and its canonical spelling.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use serde_json::{Map, Value as Json};
use waggle_model::Timestamp;

use crate::{
    bound::BoundFilter, condition::Comparison, error::FilterError, parser::parse, schema::Schema, tree::Tree,
};

/// An expression that was checked against a schema.
///
/// Its [`Display`] is canonical: what differs in spaces, parentheses, order or repetition of conditions, order of a
/// list, or spelling of a value is written the same, so it can key a cache (beside the schema, which gives names their
/// types). The canonical spelling parses to an equal filter. It may be longer than what was written, and so exceed
/// [`MAX_BYTES`](crate::limits::MAX_BYTES) where that hardly did not; keep the text, not its canonical form.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    tree: Tree<Comparison>,
    canonical: Arc<str>,
    uses_user: bool,
    uses_now: bool,
}

impl Filter {
    /// # Errors
    /// Says in one sentence what is wrong, and where.
    pub fn parse(text: &str, schema: &Schema) -> Result<Self, FilterError> {
        let tree = parse(text, schema).map_err(|failure| FilterError::new(failure, text))?;
        let leaves = tree.leaves();
        Ok(Self {
            uses_user: leaves.iter().any(|leaf| leaf.uses_user()),
            uses_now: leaves.iter().any(|leaf| leaf.uses_now()),
            canonical: spelling(&tree).into(),
            tree,
        })
    }

    /// What [`Display`] writes.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// Whether it asks for properties of the user, so that it must be bound for each.
    pub fn uses_user(&self) -> bool {
        self.uses_user
    }

    /// Whether it asks for the time, so that it must be bound again as time passes.
    pub fn uses_now(&self) -> bool {
        self.uses_now
    }

    /// Puts values in place of what the filter says about the user and the time.
    ///
    /// - `user`: the properties of who asks; `None` for somebody unknown, who has none
    pub fn bind(&self, user: Option<&Map<String, Json>>, now: Timestamp) -> BoundFilter {
        BoundFilter::bind(&self.tree, user, now)
    }
}

impl Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// How a tree is written, if its children are in the order of their spellings.
pub(crate) fn spelling(tree: &Tree<Comparison>) -> String {
    Spelling { tree, within: Within::Nothing }.to_string()
}

struct Spelling<'a> {
    tree: &'a Tree<Comparison>,
    within: Within,
}

/// What is around an expression decides whether it needs parentheses.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    Nothing,
    And,
    Or,
    Not,
}

impl Display for Spelling<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (children, between, inside) = match self.tree {
            Tree::Constant(value) => return write!(f, "{value}"),
            Tree::Leaf(comparison) => return comparison.write(f, self.within == Within::Not),
            Tree::Not(child) => {
                if !matches!(**child, Tree::Leaf(_)) {
                    f.write_str("not ")?;
                }
                return Spelling { tree: child, within: Within::Not }.fmt(f);
            }
            Tree::And(children) => (children, " and ", Within::And),
            Tree::Or(children) => (children, " or ", Within::Or),
        };
        // None that the text could do without, or its canonical form might be nested too deeply to be parsed.
        let needs_parentheses = match self.within {
            Within::Nothing => false,
            Within::Or => inside == Within::Or,
            Within::And | Within::Not => true,
        };
        if needs_parentheses {
            f.write_str("(")?;
        }
        for (at, child) in children.iter().enumerate() {
            if at > 0 {
                f.write_str(between)?;
            }
            Spelling { tree: child, within: inside }.fmt(f)?;
        }
        if needs_parentheses {
            f.write_str(")")?;
        }
        Ok(())
    }
}
