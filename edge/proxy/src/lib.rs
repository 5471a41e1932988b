//! One request's lifecycle at the edge as a list of named stages.
