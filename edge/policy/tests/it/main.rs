//! The rules, a row each, against the words of the standards.
