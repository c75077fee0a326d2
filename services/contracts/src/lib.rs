//! What the roles say to each other, and what the gateway says to the world.
//!
//! - [`api`]: the public HTTP API's bodies, shared by the gateway, the shop, tests and load generators.
//! - [`ingest`], [`features`], [`retrieval`], [`ranking`]: one module per role: its trait and its messages. The direct
//!   implementation lives in the role; in one process the gateway holds it behind the same trait.
//! - [`policy`]: how a placement's slate is made.
//! - [`RoleError`]: how any role fails, in terms its caller can act on.

pub mod api;
pub mod error;
pub mod features;
pub mod ingest;
pub mod policy;
pub mod ranking;
pub mod retrieval;

pub use error::RoleError;
pub use features::Features;
pub use ingest::Ingest;
pub use ranking::Ranking;
pub use retrieval::Retrieval;
