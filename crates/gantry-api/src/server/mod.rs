//! Adapters from the wire to the supervisor. They translate and hold no state.
//!
//! [`api`] is `types.API`, [`containers`] what goes beyond it, [`health`] the standard health service, [`status`] the one table from errors to gRPC
//! codes. Two of them are about transport: [`authority`] and [`messages`] make clients of 2016 and 2017
//! understood, and understand us.

mod api;
mod authority;
mod client;
mod containers;
mod convert;
mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod messages;
mod stats;
mod status;

pub use api::{Api, Version};
pub use authority::AnyAuthority;
pub use client::Client;
pub use containers::Containers;
pub use health::Health;
pub use messages::{ReadableMessages, ReadableMessagesLayer};
