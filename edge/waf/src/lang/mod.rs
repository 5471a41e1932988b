//! The rule language: text to syntax tree, with the place of every mistake.
//!
//! The dialect is ModSecurity's (`SecRule VARIABLES "@operator argument" "actions"`), as the OWASP Core Rule Set writes it.

pub mod actions;
pub mod ast;
pub mod directive;
pub mod lexer;
pub mod macros;
pub mod variables;

pub use directive::parse_file;
