//! What every relational engine must pass.
