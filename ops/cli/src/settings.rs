//! The folder in which the command line remembers things, and the settings in it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mcsp_runtime::{Entropy, hex_lower};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::args::Cli;
use crate::error::CliError;

/// `config.toml`; written when somebody signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where the platform is. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Url>,
    /// A PEM file with the authorities that are trusted, instead of the system's. No default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
}

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct ConfigDir(PathBuf);

impl ConfigDir {
    /// `--config-dir`, else `mcsp` in `$XDG_CONFIG_HOME`, else in `~/.config` (XDG base directories). Made if there is
    /// none, for its owner alone.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, CliError> {
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        let dir = match given {
            Some(dir) => dir.to_owned(),
            None => absolute("XDG_CONFIG_HOME")
                .or_else(|| Some(absolute("HOME")?.join(".config")))
                .ok_or_else(|| {
                    CliError::Usage("there is no HOME; say --config-dir DIR".to_owned())
                })?
                .join("mcsp"),
        };
        let made = fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&dir);
        made.map_err(|source| CliError::Keep {
            path: dir.clone(),
            source,
        })?;
        Ok(Self(dir))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads `config.toml`; without one everything is unset.
    pub(crate) fn settings(&self) -> Result<Settings, CliError> {
        let path = self.path("config.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Settings::default()),
            Err(source) => return Err(CliError::Keep { path, source }),
        };
        toml::from_str(&text)
            .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
    }

    /// Writes `config.toml`.
    pub(crate) fn save_settings(
        &self,
        settings: &Settings,
        entropy: &dyn Entropy,
    ) -> Result<(), CliError> {
        let text = toml::to_string(settings).map_err(|error| CliError::Usage(error.to_string()))?;
        self.write("config.toml", text.as_bytes(), entropy)
    }

    /// Writes a file whole or not at all, readable by its owner alone.
    pub(crate) fn write(
        &self,
        name: &str,
        bytes: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<(), CliError> {
        let path = self.path(name);
        let mut random = [0; 8];
        entropy.fill(&mut random);
        let temporary = self.path(&format!("{name}.{}.tmp", hex_lower(&random)));
        let write = || -> io::Result<()> {
            if let Some(parent) = path.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(parent)?;
            }
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(&temporary);
            CliError::Keep { path, source }
        })
    }

    /// Removes a file; one that is not there is no fault.
    pub(crate) fn remove(&self, name: &str) -> Result<(), CliError> {
        match fs::remove_file(self.path(name)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CliError::Keep {
                path: self.path(name),
                source,
            }),
            _ => Ok(()),
        }
    }
}

impl Settings {
    /// What the command line says wins over what was remembered.
    pub(crate) fn overridden(self, cli: &Cli) -> Self {
        Self {
            server: cli.server.clone().or(self.server),
            ca_file: cli.ca_file.clone().or(self.ca_file),
        }
    }

    /// The server, if passwords and tokens may go there: over TLS, or to this machine.
    pub(crate) fn server(&self) -> Result<&Url, CliError> {
        let server = self.server.as_ref().ok_or_else(|| {
            CliError::Usage("which server? say --server URL, or set MCSP_SERVER".to_owned())
        })?;
        let is_local = match server.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match server.scheme() {
            "https" => Ok(server),
            "http" if is_local => Ok(server),
            "http" => Err(CliError::Usage(format!(
                "server {server}: passwords travel over https only"
            ))),
            _ => Err(CliError::Usage(format!(
                "server {server}: expected an https URL"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_server(server: &str) -> Settings {
        Settings {
            server: Some(server.parse().expect("a URL")),
            ca_file: None,
        }
    }

    #[test]
    fn passwords_travel_over_tls_or_within_the_machine() {
        for server in [
            "https://a.example",
            "http://localhost:1",
            "http://127.0.0.2:1",
            "http://[::1]:1",
            "http://los1.localhost:1",
        ] {
            assert!(with_server(server).server().is_ok(), "{server}");
        }
        for server in [
            "http://a.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "ftp://localhost",
            "file:///a",
        ] {
            assert!(with_server(server).server().is_err(), "{server}");
        }
        assert!(Settings::default().server().is_err());
    }

    #[test]
    fn settings_read_back_and_unknown_keys_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let dir = ConfigDir::open(Some(&folder.path().join("new"))).expect("a folder");
        let settings = with_server("https://a.example");
        dir.save_settings(&settings, &*mcsp_runtime::SeededEntropy::new(1))
            .expect("written");
        assert_eq!(dir.settings().expect("read"), settings);
        let mode = fs::metadata(dir.path("config.toml"))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(dir.path("config.toml"), "colour = \"red\"").expect("written");
        assert!(
            dir.settings()
                .expect_err("an unknown key")
                .to_string()
                .contains("colour")
        );
    }
}
