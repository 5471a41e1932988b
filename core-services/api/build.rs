//! Generates the gRPC interfaces.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTOS: [&str; 7] = [
        "proto/auth.proto",
        "proto/content.proto",
        "proto/events.proto",
        "proto/feed.proto",
        "proto/kv.proto",
        "proto/playback.proto",
        "proto/upload.proto",
    ];
    tonic_prost_build::configure()
        .bytes(".")
        .compile_protos(&PROTOS, &["proto"])?;
    Ok(())
}
