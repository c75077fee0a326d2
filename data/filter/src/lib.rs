//! The expressions by which shops filter, boost and bury items:
//! `category in ["Garden"] and price < 20 and not brand = user.blocked`. `docs/filters.md` has the language.
//!
//! [`Filter::parse`] checks a text against a [`Schema`], [`Filter::bind`] puts in who asks and when, and
//! [`BoundFilter::matches`] says of one item whether it passes. Who has an index takes [`BoundFilter::tree`] instead, and
//! answers its leaves with that.
//!
//! - [`schema`]: which properties there are and of which types, declared or learned from the items; [`declaration`]: what
//!   a shop declares, and what does not fit it; [`property`]: what an item holds under a name.
//! - `lexer`, `parser`: text into a tree of comparisons; [`error`]: what a text is refused for; [`limits`].
//! - [`filter`]: the parsed filter and its canonical spelling; [`bound`]: the same about one user at one moment;
//!   [`tree`]: `and`, `or` and `not` of both.
//!
//! Pure: no I/O and no clock. Texts and users' properties are strangers': whatever they hold is answered by a filter or an
//! error, in time that the limits bound. Start reading at [`filter`].

pub mod bound;
mod condition;
pub mod declaration;
pub mod error;
pub mod filter;
mod lexer;
pub mod limits;
mod nearest;
mod parser;
pub mod property;
pub mod schema;
pub mod tree;
pub mod values;

pub use bound::{BoundFilter, Leaf, Range, Test};
pub use declaration::{Declaration, Misfit, Misfits};
pub use error::{FilterError, Reason};
pub use filter::Filter;
pub use property::{Field, Property, Type, Value};
pub use schema::{Conflict, Inferred, Schema, SchemaError};
pub use tree::Tree;
pub use values::Values;
