//! `play`: the signed addresses of an item.

use std::process::{Command, Stdio};

use mcsp_api::ContentId;
use mcsp_api::rest::PlayResponse;
use url::Url;

use crate::api::Call;
use crate::args::Play;
use crate::context::Context;
use crate::error::CliError;
use crate::print::table;

pub(crate) async fn run(context: &Context, args: &Play) -> Result<(), CliError> {
    let id = parse_content_id(&args.content_id)?;
    let api = context.api()?;
    let session: PlayResponse = api.call(&Call::get(format!("/api/v1/play/{id}"))).await?;
    let page = page_url(api.server(), &id)?;
    context.print.result(&session, || {
        table(&[
            ("title", session.title.clone()),
            ("page", page.to_string()),
            ("hls", session.hls_url.clone()),
            ("dash", session.dash_url.clone()),
        ])
    })?;
    if args.open { open(&page) } else { Ok(()) }
}

pub(crate) fn parse_content_id(text: &str) -> Result<ContentId, CliError> {
    text.parse()
        .map_err(|error: mcsp_api::IdError| CliError::Usage(error.to_string()))
}

/// The page on which a person watches an item.
pub(crate) fn page_url(server: &Url, id: &ContentId) -> Result<Url, CliError> {
    let url = server.join(&format!("/watch/{id}"));
    url.map_err(|error| CliError::Usage(format!("server {server}: {error}")))
}

fn open(page: &Url) -> Result<(), CliError> {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else {
        "xdg-open"
    };
    let started = Command::new(opener)
        .arg(page.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match started {
        Ok(status) if status.success() => Ok(()),
        _ => Err(CliError::Refused(format!(
            "{opener} opens no browser; the page is {page}"
        ))),
    }
}
