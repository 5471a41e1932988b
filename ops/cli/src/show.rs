//! Answers as people and as machines read them.

use std::io::{IsTerminal as _, stdout};

use mcsp_api::rest::{Content, PlayResponse, UserProfile};
use serde::Serialize;
use url::Url;

use crate::error::CliError;

/// Prints a value as JSON on one line.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    let text = serde_json::to_string(value).map_err(|error| CliError::BadAnswer {
        what: "printing JSON".to_owned(),
        reason: error.to_string(),
    })?;
    println!("{text}");
    Ok(())
}

fn row(name: &str, value: &str) {
    if value.is_empty() {
        return;
    }
    if stdout().is_terminal() {
        println!("\x1b[2m{name:<12}\x1b[0m {value}");
    } else {
        println!("{name:<12} {value}");
    }
}

pub(crate) fn user(user: &UserProfile, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(user);
    }
    println!(
        "signed in as {} ({}, {})",
        user.display_name,
        user.email,
        user.role.as_str()
    );
    Ok(())
}

/// Minutes and seconds.
pub(crate) fn duration(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

pub(crate) fn content(content: &Content, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(content);
    }
    row("content", &content.content_id);
    row("title", &content.metadata.title);
    row("status", content.status.as_str());
    row(
        "reason",
        content.status_reason.as_deref().unwrap_or_default(),
    );
    row("residency", content.residency.as_str());
    row("kind", content.media_type.as_str());
    if content.duration_ms > 0 {
        row("duration", &duration(content.duration_ms));
    }
    let more = if content.complete {
        ""
    } else {
        " (more to come)"
    };
    if !content.renditions.is_empty() {
        row(
            "renditions",
            &format!("{}{more}", content.renditions.join(" ")),
        );
    }
    for stage in &content.stages {
        let note = if stage.note.is_empty() {
            String::new()
        } else {
            format!(", {}", stage.note)
        };
        row(
            &stage.stage,
            &format!("{} {} %{note}", stage.state, stage.percent),
        );
    }
    Ok(())
}

pub(crate) fn play(answer: &PlayResponse, server: &Url, as_json: bool) -> Result<(), CliError> {
    if as_json {
        return json(answer);
    }
    let page = server.join(&format!("/watch/{}", answer.content_id));
    row("title", &answer.title);
    row("page", page.as_ref().map(Url::as_str).unwrap_or_default());
    row("HLS", &answer.hls_url);
    row("DASH", &answer.dash_url);
    row("session", &answer.media_session_id);
    Ok(())
}
