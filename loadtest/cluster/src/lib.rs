//! Starts, breaks and stops a whole MCSP of real processes on one machine.
