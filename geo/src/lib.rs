//! Country by address, nearest PoP, and the residency policy engine.
