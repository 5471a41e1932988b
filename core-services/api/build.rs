//! Generates the gRPC interfaces.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const PROTOS: [&str; 8] = [
        "proto/auth.proto",
        "proto/content.proto",
        "proto/events.proto",
        "proto/feed.proto",
        "proto/kv.proto",
        "proto/playback.proto",
        "proto/purge.proto",
        "proto/upload.proto",
    ];
    // They carry secrets: `src/redacted.rs` says how they are shown.
    const SECRET: [&str; 2] = [
        ".mcsp.auth.v1.LoginForRequest",
        ".mcsp.auth.v1.LoginForResponse",
    ];
    tonic_prost_build::configure()
        .bytes(".")
        .skip_debug(SECRET)
        .compile_protos(&PROTOS, &["proto"])?;
    Ok(())
}
