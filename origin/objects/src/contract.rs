//! What every store must do, whatever keeps its bytes.
