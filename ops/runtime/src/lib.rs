//! What every process needs to start and stop: configuration, clock, entropy, shutdown.
//!
//! Time and randomness are inputs everywhere in the project: code takes a [`SharedClock`] and a
//! [`SharedEntropy`], and tests hand it a [`ManualClock`] and a [`SeededEntropy`].

mod clock;
mod config;
mod crypto;
mod engine_uri;
mod entropy;
mod faults;
mod shutdown;

pub use clock::{Clock, CoarseClock, ManualClock, SharedClock, SystemClock};
pub use config::{ConfigError, EXIT_CONFIG, load_config, parse_config};
pub use crypto::install_crypto_provider;
pub use engine_uri::{EngineUri, EngineUriError};
pub use entropy::{Entropy, PooledEntropy, SeededEntropy, SharedEntropy, SystemEntropy, hex_lower};
pub use faults::{FAULT_MARK, FaultPlan};
pub use shutdown::{Shutdown, ShutdownTrigger};
