//! The gateway role: the public API. It asks the other roles, joins their answers, and never lets a page stay empty.
//!
//! - [`app`]: what the role is made of. [`routes`]: every route in one table.
//! - [`recommend`]: one recommendation request from start to end, with its ladder of rungs. Start here.
//! - [`search`]: one search, in the person's order on request.
//! - [`placements`]: what each place on a page is made of, by configuration.
//! - [`served`]: an answer on its way out. [`kept`]: answers of the last minutes, for pages and explanations.
//! - [`item_locks`]: writes of one item, one after the other.
//! - [`held`]: what the installation holds about a person, and until when.
//! - [`reasons`]: why an item is in the list, for people. [`answer_cache`]: when an answer may be served again, and
//!   [`flights`] when it is computed once for several who wait.
//! - [`canary`]: how long an event takes to show, measured all the time.
//! - [`answers`]: the record of what was served, on its way to the log. [`projector`]: the catalogue topic into the
//!   database.
//!
//! It scores nothing, stores no state of a person and knows no model.

pub mod answer_cache;
pub mod answers;
pub mod app;
pub mod canary;
pub mod error;
pub mod flights;
pub mod held;
pub mod item_locks;
pub mod kept;
pub mod placements;
pub mod projector;
pub mod reasons;
pub mod recommend;
pub mod routes;
pub mod search;
pub mod served;

pub use answers::AnswerLog;
pub use app::{App, GatewayConfig};
pub use flights::Flights;
pub use held::{ForgetTimes, Held};
pub use item_locks::ItemLocks;
pub use placements::{PlacementConfig, PlacementConfigs, Placements};
pub use projector::Projector;
pub use routes::configure;
