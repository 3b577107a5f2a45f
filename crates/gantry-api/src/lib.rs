//! Wire protocols: types.API of containerd 0.2 and the gRPC health service.
//!
//! The `.proto` files in `proto/` are the contract; what is generated from them lives in [`types`] and [`health`].
//! A protocol is an adapter: nothing in here knows disk layouts or processes.
//!
//! Features: `client` compiles the generated clients and `client::connect`, `server` the adapters
//! to the supervisor, `json` lets the messages be printed as ctr does. The messages are always there.
//!
//! Start reading at `proto/types.proto`, then [`types::Event`] and [`types::CreateContainerRequest`].

/// What the `.proto` files generate. Documentation of a field is the comment in the `.proto` file.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod generated {
    pub mod types {
        tonic::include_proto!("types");
    }
    pub mod gantry {
        tonic::include_proto!("gantry.v1");
    }
    pub mod health {
        tonic::include_proto!("grpc.health.v1");
    }
}

/// Package `types`: the messages and the service `API` of containerd 0.2.
pub use generated::types;

/// Package `gantry.v1`: what Gantry offers beyond that.
pub use generated::gantry;

/// Package `grpc.health.v1`: the standard health service.
pub use generated::health;

#[cfg(feature = "client")]
pub mod client;

#[cfg(feature = "json")]
mod json;

#[cfg(feature = "server")]
pub mod server;
