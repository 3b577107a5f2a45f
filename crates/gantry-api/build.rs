//! Turns `proto/` into Rust without `protoc`: protox parses, tonic-prost-build writes.
//!
//! The features `client` and `server-traits` decide which gRPC code is written; the messages always are.

use std::env;

use protox::prost_reflect::prost_types::FileDescriptorSet;
use tonic_prost_build::Builder;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build.rs");

    let descriptors = protox::compile(["types.proto", "gantry.proto", "health.proto"], ["proto"])?;
    let builder = tonic_prost_build::configure()
        .build_client(env::var_os("CARGO_FEATURE_CLIENT").is_some())
        .build_server(env::var_os("CARGO_FEATURE_SERVER_TRAITS").is_some())
        // `gantry_api::client::connect` makes the channels.
        .build_transport(false)
        // Sorted maps: what is printed from a message is the same each time.
        .btree_map(".");
    let json = env::var_os("CARGO_FEATURE_JSON").is_some();
    let builder = if json { serialize(builder, &descriptors) } else { builder };
    builder.compile_fds(descriptors)?;
    Ok(())
}

/// Makes the messages of package `types` print as ctr does: keys are the proto's field names, zero values are left out.
fn serialize(mut builder: Builder, descriptors: &FileDescriptorSet) -> Builder {
    for file in descriptors.file.iter().filter(|file| file.package() == "types") {
        // Entries of maps are messages for the compiler, but no Rust types: top-level messages are all there is.
        for message in &file.message_type {
            let message_path = format!(".types.{}", message.name());
            builder = builder.message_attribute(&message_path, "#[derive(::serde::Serialize)]");
            for field in &message.field {
                let with = if field.type_name() == ".google.protobuf.Timestamp" {
                    ", serialize_with = \"crate::json::timestamp\""
                } else {
                    ""
                };
                let attribute = format!(
                    "#[serde(rename = \"{}\", skip_serializing_if = \"crate::json::is_default\"{with})]",
                    field.name()
                );
                builder = builder.field_attribute(format!("{message_path}.{}", field.name()), attribute);
            }
        }
    }
    builder
}
