//! The regional node: composes services by role and runs them.

fn main() {}
