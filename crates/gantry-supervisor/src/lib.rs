//! Queues, workers, monitor, event log and restore: many containers at once.
//!
//! Each container is owned by one task ([`actor`]) that takes its commands in the order in which they came and
//! is the only one to change it; what others may see of it is a snapshot. Events are durable before anybody is
//! told ([`events`]). It must not know gRPC. Start reading at [`Supervisor`].

mod actor;
mod aside;
mod ended;
pub mod error;
pub mod events;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod machine;
pub mod metrics;
mod options;
mod overview;
mod restore;
mod shims;
mod supervisor;
mod told;
mod tombstone;
pub mod traces;
pub mod view;

pub use ended::Ended;
pub use error::{Error, Result};
pub use events::{Event, EventKind, EventLog, Timestamp};
pub use metrics::Metrics;
pub use options::{CreateRequest, Options, Reconfigure};
pub use overview::{Overview, Row};
pub use shims::ReplacedShim;
pub use supervisor::Supervisor;
pub use view::{ContainerView, ProcessView, Status};
