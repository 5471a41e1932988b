//! Who is signed in where, kept in a file that only its owner can read.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use mcsp_api::rest::{
    Content, LoginRequest, PlayResponse, RegisterRequest, TokenResponse, UserProfile,
};
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::api::{Answer, Api, Credentials};
use crate::args::{Common, RegisterArgs};
use crate::error::CliError;

/// What is kept between calls.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    server: Option<Url>,
    access_token: Option<String>,
    refresh_token: Option<String>,
}

/// A person at a PoP.
#[derive(Debug)]
pub(crate) struct Session {
    api: Api,
    folder: PathBuf,
    kept: Kept,
}

fn default_folder() -> Option<PathBuf> {
    let configured = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".config"));
    configured
        .filter(|path| path.is_absolute())
        .or_else(home)
        .map(|folder| folder.join("mcsp"))
}

/// Writes a file whole or not at all, readable by its owner only.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let file_error = |source| CliError::File {
        path: path.to_owned(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(file_error)?;
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut file = fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)
        .map_err(file_error)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(file_error)?;
    fs::rename(&part, path).map_err(file_error)
}

impl Session {
    /// Reads what was kept; whoever was signed in is signed in.
    pub(crate) fn open(common: &Common) -> Result<Self, CliError> {
        let folder = common
            .config_dir
            .clone()
            .or_else(default_folder)
            .ok_or_else(|| {
                CliError::Usage("there is no home folder: say --config-dir DIR".to_owned())
            })?;
        let path = folder.join("session.json");
        let mut kept: Kept = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Kept::default(),
            Err(source) => return Err(CliError::File { path, source }),
        };
        if let Some(server) = &common.server {
            // Tokens are never sent to another server than the one that gave them.
            if kept
                .server
                .as_ref()
                .is_some_and(|known| known.origin() != server.origin())
            {
                kept = Kept::default();
            }
            kept.server = Some(server.clone());
        }
        let server = kept.server.clone().ok_or_else(|| {
            CliError::Usage("which PoP? say --server URL once; it is remembered".to_owned())
        })?;
        let api = Api::new(server, common.ca_file.as_deref())?;
        Ok(Self { api, folder, kept })
    }

    /// The PoP.
    pub(crate) fn server(&self) -> &Url {
        self.api.server()
    }

    /// The client for uploads of parts.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.api.http
    }

    /// Where unfinished uploads are remembered.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    fn keep(&mut self, answer: Answer<TokenResponse>) -> Result<UserProfile, CliError> {
        self.kept.access_token = Some(answer.body.access_token);
        if answer.refresh_token.is_some() {
            self.kept.refresh_token = answer.refresh_token;
        }
        self.save()?;
        Ok(answer.body.user)
    }

    fn save(&self) -> Result<(), CliError> {
        let json = serde_json::to_vec_pretty(&self.kept).unwrap_or_default();
        write_private(&self.folder.join("session.json"), &json)
    }

    pub(crate) async fn register(
        &mut self,
        account: &RegisterArgs,
        password: &str,
    ) -> Result<UserProfile, CliError> {
        let until_at = account.email.split('@').next().unwrap_or_default();
        let request = RegisterRequest {
            email: account.email.clone(),
            password: password.to_owned(),
            display_name: account.name.clone().unwrap_or_else(|| until_at.to_owned()),
            role: account.role.into(),
        };
        let answer = self
            .api
            .call(
                Method::POST,
                "/auth/register",
                Some(&request),
                Credentials::default(),
            )
            .await?;
        self.keep(answer)
    }

    pub(crate) async fn login(
        &mut self,
        email: &str,
        password: &str,
    ) -> Result<UserProfile, CliError> {
        let request = LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
        };
        let answer = self
            .api
            .call(
                Method::POST,
                "/auth/login",
                Some(&request),
                Credentials::default(),
            )
            .await?;
        self.keep(answer)
    }

    /// Ends the session at the server, and forgets it here whatever the server says.
    pub(crate) async fn logout(&mut self) -> Result<(), CliError> {
        let ended = self
            .call::<(), Value>(Method::POST, "/auth/logout", None, None)
            .await;
        self.kept.access_token = None;
        self.kept.refresh_token = None;
        self.save()?;
        match ended {
            Ok(_) | Err(CliError::NotSignedIn) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Calls as whoever is signed in; a token that has run out is renewed once.
    pub(crate) async fn call<B: Serialize + Sync, T: DeserializeOwned>(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&B>,
        idempotency_key: Option<&str>,
    ) -> Result<T, CliError> {
        if let Some(token) = self.kept.access_token.clone() {
            let credentials = Credentials {
                access_token: Some(&token),
                refresh_token: None,
                idempotency_key,
            };
            match self.api.call(method.clone(), path, body, credentials).await {
                Err(error) if error.status() == Some(401) => {}
                Err(error) => return Err(error),
                Ok(answer) => return Ok(answer.body),
            }
        }
        self.refresh().await?;
        let token = self.kept.access_token.clone();
        let credentials = Credentials {
            access_token: token.as_deref(),
            refresh_token: None,
            idempotency_key,
        };
        Ok(self.api.call(method, path, body, credentials).await?.body)
    }

    async fn refresh(&mut self) -> Result<(), CliError> {
        let Some(refresh_token) = self.kept.refresh_token.clone() else {
            return Err(CliError::NotSignedIn);
        };
        let credentials = Credentials {
            refresh_token: Some(&refresh_token),
            ..Credentials::default()
        };
        let answer = self
            .api
            .call::<(), _>(Method::POST, "/auth/refresh", None, credentials)
            .await;
        match answer {
            Ok(answer) => self.keep(answer).map(drop),
            Err(error) if error.status() == Some(401) => {
                self.kept.access_token = None;
                self.kept.refresh_token = None;
                self.save()?;
                Err(CliError::NotSignedIn)
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn content(&mut self, content_id: &str) -> Result<Content, CliError> {
        let id = checked_id(content_id)?;
        self.call::<(), _>(Method::GET, &format!("/content/{id}"), None, None)
            .await
    }

    pub(crate) async fn play(&mut self, content_id: &str) -> Result<PlayResponse, CliError> {
        let id = checked_id(content_id)?;
        self.call::<(), _>(Method::GET, &format!("/play/{id}"), None, None)
            .await
    }
}

/// An id that can stand in a path.
fn checked_id(text: &str) -> Result<mcsp_api::ContentId, CliError> {
    text.parse()
        .map_err(|error: mcsp_api::IdError| CliError::Usage(error.to_string()))
}
