//! Values in place of what a filter says about the user and the time.

use std::ops::Bound;

use serde_json::{Map, Value as Json};
use waggle_model::Timestamp;

use super::{BoundFilter, Leaf, Range, Test};
use crate::{
    condition::{Choice, Comparison, Condition, End, Subject},
    property::{Property, Type, Value},
    tree::Tree,
    values::{Values, unsigned_zero},
};

impl BoundFilter {
    pub(crate) fn bind(tree: &Tree<Comparison>, user: Option<&Map<String, Json>>, now: Timestamp) -> Self {
        Self { tree: Asker { user, now }.tree(tree) }
    }
}

/// Who asks, and when.
struct Asker<'a> {
    user: Option<&'a Map<String, Json>>,
    now: Timestamp,
}

impl Asker<'_> {
    fn tree(&self, tree: &Tree<Comparison>) -> Tree<Leaf> {
        match tree {
            Tree::Constant(value) => Tree::Constant(*value),
            Tree::And(children) => merged(Tree::and(children.iter().map(|child| self.tree(child)))),
            Tree::Or(children) => merged(Tree::or(children.iter().map(|child| self.tree(child)))),
            Tree::Not(child) => self.tree(child).not(),
            Tree::Leaf(Comparison { subject: Subject::Property(property), condition }) => {
                self.about_item(property, condition)
            }
            Tree::Leaf(Comparison { subject: Subject::User(name), condition }) => {
                Tree::Constant(self.about_user(name, condition))
            }
        }
    }

    fn about_item(&self, property: &Property, condition: &Condition) -> Tree<Leaf> {
        let leaf = |test| Tree::Leaf(Leaf { property: property.clone(), test });
        let test = match condition {
            Condition::OneOf(choice) => self.values(choice, property.kind()).map(Test::OneOf),
            Condition::ContainsAny(choice) => self.values(choice, Type::String).map(Test::ContainsAny),
            Condition::Within(lower, upper) => self.range(property.kind(), lower, upper),
            Condition::Exists => Some(Test::Exists),
            Condition::StartsWith(choice) => {
                let Some(Values::Strings(prefixes)) = self.values(choice, Type::String) else {
                    return Tree::Constant(false);
                };
                return Tree::or(prefixes.into_iter().map(|prefix| leaf(Test::StartsWith(prefix))));
            }
        };
        test.map_or(Tree::Constant(false), leaf)
    }

    /// What the condition says of any of the values that the user has under the name.
    fn about_user(&self, name: &str, condition: &Condition) -> bool {
        let held = self.held(name);
        let any = |kind, test: &Test| {
            held.iter().any(|json| Value::read(kind, json).is_some_and(|value| test.matches(&value)))
        };
        match condition {
            // An empty list is there, though it holds nothing.
            Condition::Exists => {
                self.user.and_then(|user| user.get(name)).is_some_and(|json| !json.is_null())
            }
            Condition::OneOf(Choice::Values(values)) => any(values.kind(), &Test::OneOf(values.clone())),
            Condition::StartsWith(Choice::Values(Values::Strings(prefixes))) => {
                prefixes.iter().any(|prefix| any(Type::String, &Test::StartsWith(prefix.clone())))
            }
            Condition::Within(lower, upper) => [Type::Number, Type::Time]
                .into_iter()
                .any(|kind| self.range(kind, lower, upper).is_some_and(|test| any(kind, &test))),
            // The grammar lets the user be compared with values only, and has `=` for `contains`.
            Condition::OneOf(_) | Condition::StartsWith(_) | Condition::ContainsAny(_) => false,
        }
    }

    /// The values that the user has under the name: of a list each, of anything else that one.
    fn held(&self, name: &str) -> &[Json] {
        match self.user.and_then(|user| user.get(name)) {
            None => &[],
            Some(Json::Array(list)) => list,
            Some(one) => std::slice::from_ref(one),
        }
    }

    /// `None` if the user has none of that type.
    fn values(&self, choice: &Choice, kind: Type) -> Option<Values> {
        match choice {
            Choice::Values(values) => Some(values.clone()),
            Choice::User(name) => {
                Values::collect(kind, self.held(name).iter().filter_map(|json| Value::read(kind, json)))
            }
        }
    }

    /// `None` if no value can lie in it, as when the user has no value for an end.
    fn range(&self, kind: Type, lower: &Bound<End>, upper: &Bound<End>) -> Option<Test> {
        match kind {
            Type::Number => {
                let range = self.ends(lower, upper, |end| self.number(end))?;
                Some(Test::NumberIn(range))
            }
            Type::Time => {
                let range = self.ends(lower, upper, |end| self.time(end))?;
                Some(Test::TimeIn(range))
            }
            Type::String | Type::Boolean | Type::Strings => None,
        }
    }

    fn ends<T: PartialOrd + Copy>(
        &self,
        lower: &Bound<End>,
        upper: &Bound<End>,
        resolve: impl Fn(&End) -> Option<T>,
    ) -> Option<Range<T>> {
        let resolved = |bound: &Bound<End>| {
            Some(match bound {
                Bound::Included(end) => Bound::Included(resolve(end)?),
                Bound::Excluded(end) => Bound::Excluded(resolve(end)?),
                Bound::Unbounded => Bound::Unbounded,
            })
        };
        let range = Range { lower: resolved(lower)?, upper: resolved(upper)? };
        (!range.is_empty()).then_some(range)
    }

    fn number(&self, end: &End) -> Option<f64> {
        match end {
            End::Number(number) => Some(*number),
            End::User(name) => match Value::read(Type::Number, self.user?.get(&**name)?)? {
                Value::Number(number) => Some(unsigned_zero(number)),
                _ => None,
            },
            End::Time(_) | End::Now { .. } => None,
        }
    }

    fn time(&self, end: &End) -> Option<Timestamp> {
        match end {
            End::Time(time) => Some(*time),
            End::Now { offset_ms } => Some(self.now.shifted_by_millis(*offset_ms)),
            End::User(name) => match Value::read(Type::Time, self.user?.get(&**name)?)? {
                Value::Time(time) => Some(time),
                _ => None,
            },
            End::Number(_) => None,
        }
    }
}

/// Makes one leaf of two wherever that can be done, so that an index is asked once: `price >= 10 and price < 20` is one
/// range.
fn merged(tree: Tree<Leaf>) -> Tree<Leaf> {
    // What constants have left decides how to merge: of an `or` it may be an `and`, whose own leaves are merged already.
    match tree {
        Tree::And(children) => Tree::and(merge(children, intersect)),
        Tree::Or(children) => Tree::or(merge(children, unite)),
        other => other,
    }
}

fn merge(children: Vec<Tree<Leaf>>, merge: fn(&Leaf, &Leaf) -> Option<Tree<Leaf>>) -> Vec<Tree<Leaf>> {
    let mut kept: Vec<Tree<Leaf>> = Vec::new();
    for child in children {
        let place = kept.iter_mut().find_map(|earlier| match (&*earlier, &child) {
            (Tree::Leaf(a), Tree::Leaf(b)) if a.property == b.property => {
                merge(a, b).map(|merged| (earlier, merged))
            }
            _ => None,
        });
        match place {
            Some((earlier, merged)) => *earlier = merged,
            None => kept.push(child),
        }
    }
    kept
}

fn intersect(a: &Leaf, b: &Leaf) -> Option<Tree<Leaf>> {
    fn both<T: PartialOrd + Copy>(a: &Range<T>, b: &Range<T>) -> Option<Range<T>> {
        Some(a.intersection(b)).filter(|range| !range.is_empty())
    }
    let test = match (&a.test, &b.test) {
        (Test::NumberIn(a), Test::NumberIn(b)) => both(a, b).map(Test::NumberIn),
        (Test::TimeIn(a), Test::TimeIn(b)) => both(a, b).map(Test::TimeIn),
        _ => return None,
    };
    let leaf = |test| Tree::Leaf(Leaf { property: a.property.clone(), test });
    Some(test.map_or(Tree::Constant(false), leaf))
}

fn unite(a: &Leaf, b: &Leaf) -> Option<Tree<Leaf>> {
    let united = |mine: &Values, others: &Values| {
        let mut values = mine.clone();
        values.merge(others).then_some(values)
    };
    let test = match (&a.test, &b.test) {
        (Test::OneOf(a), Test::OneOf(b)) => Test::OneOf(united(a, b)?),
        (Test::ContainsAny(a), Test::ContainsAny(b)) => Test::ContainsAny(united(a, b)?),
        _ => return None,
    };
    Some(Tree::Leaf(Leaf { property: a.property.clone(), test }))
}
