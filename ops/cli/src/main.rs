//! The command line of a person: login, upload, play, status.

fn main() {}
