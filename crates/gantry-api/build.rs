//! Turns `proto/` into Rust without `protoc`: protox parses, tonic-prost-build writes.
//!
//! The features `client` and `server` decide which gRPC code is written; the messages always are.

use std::env;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");

    let descriptors = protox::compile(["types.proto", "health.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER").is_some())
        // `gantry_api::client::connect` makes the channels.
        .build_transport(false)
        // Sorted maps: what is printed from a message is the same each time.
        .btree_map(".")
        .compile_fds(descriptors)?;
    Ok(())
}
