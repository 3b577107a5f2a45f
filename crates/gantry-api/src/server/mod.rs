//! Adapters from the wire to the supervisor. They translate and hold no state.
//!
//! [`api`] is `types.API`, [`containers`] what goes beyond it, [`health`] the standard health service, [`status`] the one table from errors to gRPC
//! codes.

mod api;
mod containers;
mod convert;
mod events;
mod health;
mod stats;
mod status;

pub use api::{Api, Version};
pub use containers::Containers;
pub use health::Health;
