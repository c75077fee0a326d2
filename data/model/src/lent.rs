//! Strings that are only looked at.

use std::borrow::Cow;

use serde::Deserialize;

/// A string of the input itself, wherever the format can lend it: an id or a name is then copied once, into what it
/// becomes, which matters where millions of events are read.
#[derive(Deserialize)]
#[serde(transparent)]
pub(crate) struct Lent<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);
