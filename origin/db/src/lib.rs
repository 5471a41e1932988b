//! The relational engine behind one set of portable statements.
