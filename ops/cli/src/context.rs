//! What every command has: settings, session, clock, randomness, a printer.

use std::time::Duration;

use mcsp_runtime::{SharedEntropy, SystemClock, SystemEntropy, hex_lower};

use crate::api::Api;
use crate::args::{Cli, Colour};
use crate::error::CliError;
use crate::print::Printer;
use crate::retry::RetryPolicy;
use crate::settings::{ConfigDir, Settings};
use crate::tokens::TokenStore;

#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) dir: ConfigDir,
    pub(crate) settings: Settings,
    pub(crate) print: Printer,
    pub(crate) entropy: SharedEntropy,
    pub(crate) poll_pause: Duration,
    tokens: TokenStore,
    retry_pause: Duration,
}

impl Context {
    pub(crate) fn new(cli: &Cli) -> Result<Self, CliError> {
        match cli.color {
            Colour::Auto => {}
            Colour::Always => set_colours(true),
            Colour::Never => set_colours(false),
        }
        let dir = ConfigDir::open(cli.config_dir.as_deref())?;
        let settings = dir.settings()?.overridden(cli);
        let entropy = SystemEntropy::shared();
        Ok(Self {
            tokens: TokenStore::new(dir.clone(), SystemClock::shared(), entropy.clone()),
            dir,
            settings,
            print: Printer { json: cli.json },
            entropy,
            poll_pause: Duration::from_millis(cli.poll_pause_ms),
            retry_pause: Duration::from_millis(cli.retry_pause_ms),
        })
    }

    /// The server's API.
    pub(crate) fn api(&self) -> Result<Api, CliError> {
        let server = self.settings.server()?.clone();
        Api::new(
            server,
            self.settings.ca_file.as_deref(),
            self.tokens.clone(),
        )
    }

    pub(crate) fn retry_policy(&self, patience: Duration) -> RetryPolicy {
        RetryPolicy {
            first_pause: self.retry_pause,
            patience,
            entropy: self.entropy.clone(),
        }
    }

    /// Keeps server and authorities for the next command. A relative path is kept as an absolute one.
    pub(crate) fn remember(&self) -> Result<(), CliError> {
        let mut settings = self.settings.clone();
        if let Some(path) = &mut settings.ca_file {
            let absolute = std::path::absolute(&*path);
            *path = absolute.map_err(|source| CliError::Keep {
                path: path.clone(),
                source,
            })?;
        }
        self.dir.save_settings(&settings, &*self.entropy)
    }

    /// 128 random bits as text.
    pub(crate) fn random_key(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        hex_lower(&bytes)
    }
}

fn set_colours(enabled: bool) {
    console::set_colors_enabled(enabled);
    console::set_colors_enabled_stderr(enabled);
}
