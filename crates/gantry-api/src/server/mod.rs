//! Adapters from the wire to the supervisor. They translate and hold no state.
//!
//! [`api`] is `types.API`, [`health`] the standard health service, [`status`] the one table from errors to gRPC
//! codes.

mod api;
mod convert;
mod events;
mod health;
mod stats;
mod status;

pub use api::{Api, Version};
pub use health::Health;
