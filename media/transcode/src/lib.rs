//! The ladder, and the encoders behind it, in a sandboxed child.
