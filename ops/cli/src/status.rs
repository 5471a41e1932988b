//! `status`: where an item or an upload stands.

use mcsp_api::UploadId;
use mcsp_api::rest::{Content, ContentStage, UploadSession, UploadStatus};

use crate::api::Call;
use crate::args::Status;
use crate::context::Context;
use crate::error::CliError;
use crate::play::parse_content_id;
use crate::print::{size, table};

pub(crate) async fn run(context: &Context, args: &Status) -> Result<(), CliError> {
    let api = context.api()?;
    if let Ok(id) = args.id.parse::<UploadId>() {
        let mut session: UploadSession = api
            .call(&Call::get(format!("/api/v1/uploads/session/{id}")))
            .await?;
        // A URL is a permission to write; it has no place on a screen.
        session.parts.iter_mut().for_each(|part| part.url = None);
        return context.print.result(&session, || upload_table(&session));
    }
    let id = parse_content_id(&args.id)?;
    let content: Content = api
        .call(&Call::get(format!("/api/v1/content/{id}")))
        .await?;
    context.print.result(&content, || content_table(&content))
}

fn content_table(content: &Content) -> String {
    let mut text = table(&[
        ("content", content.content_id.clone()),
        ("title", content.metadata.title.clone()),
        ("status", content.status.as_str().to_owned()),
        ("reason", content.status_reason.clone().unwrap_or_default()),
        ("type", content.media_type.as_str().to_owned()),
        ("residency", content.residency.as_str().to_owned()),
        (
            "visibility",
            content.metadata.visibility.as_str().to_owned(),
        ),
        ("duration", duration(content.duration_ms)),
        ("renditions", content.renditions.join(", ")),
        (
            "complete",
            if content.complete { "yes" } else { "no" }.to_owned(),
        ),
    ]);
    let width = content
        .stages
        .iter()
        .map(|stage| stage.stage.len())
        .max()
        .unwrap_or_default();
    for stage in &content.stages {
        text.push_str(&stage_line(stage, width));
        text.push('\n');
    }
    text
}

/// One stage on one line, such as `  transcode  progress   40 %  v720`.
pub(crate) fn stage_line(stage: &ContentStage, width: usize) -> String {
    let line = format!(
        "  {:width$}  {:<8} {:>3} %  {}",
        stage.stage, stage.state, stage.percent, stage.note
    );
    line.trim_end().to_owned()
}

fn upload_table(session: &UploadSession) -> String {
    let received = session.parts.iter().filter(|part| part.received).count();
    table(&[
        ("upload", session.upload_id.clone()),
        ("content", session.content_id.clone()),
        ("status", upload_status(session.status).to_owned()),
        ("residency", session.residency.as_str().to_owned()),
        ("size", size(session.size_bytes)),
        (
            "parts",
            format!("{received} of {} received", session.parts.len()),
        ),
    ])
}

/// As the API writes it.
fn upload_status(status: UploadStatus) -> &'static str {
    match status {
        UploadStatus::Open => "OPEN",
        UploadStatus::PendingTrigger => "PENDING_TRIGGER",
        UploadStatus::Completed => "COMPLETED",
        UploadStatus::Cancelled => "CANCELLED",
        UploadStatus::Expired => "EXPIRED",
    }
}

fn duration(ms: u64) -> String {
    if ms == 0 {
        return String::new();
    }
    let seconds = ms.div_ceil(1000);
    format!(
        "{}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_up_to_the_second() {
        assert_eq!(duration(1), "0:00:01");
        assert_eq!(duration(3_725_000), "1:02:05");
        assert_eq!(duration(0), "");
    }
}
