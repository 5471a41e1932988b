//! Uploads that go well, badly, and on.

use mcsp_api::Residency;
use mcsp_api::rest::{ContentStatus, UploadStatus, Visibility};

use crate::platform::{CONTENT_ID, Platform, UPLOAD_ID, content, stage};
use crate::run::Person;

/// Ten parts and a bit.
fn film() -> Vec<u8> {
    (0..10_200_u32)
        .map(|index| (index % 251).to_le_bytes()[0])
        .collect()
}

#[tokio::test]
async fn a_file_arrives_whole_four_parts_at_a_time_and_is_followed() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let mut processing = content(ContentStatus::Processing);
    processing.stages = vec![
        stage("probe", "finished", 100),
        stage("transcode", "progress", 40),
    ];
    platform.facts().looks = [processing, content(ContentStatus::Published)].into();
    let file = person.file("night.mp4", &film());
    let said = person
        .run(&[
            "upload",
            &file,
            "--title",
            "Lagos by night",
            "--residency",
            "ng",
            "--visibility",
            "unlisted",
            "--tag",
            "a",
            "--tag",
            "b",
        ])
        .await;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(platform.stored(), film());
    let request = platform.facts().request.clone().unwrap();
    assert_eq!(request.metadata.title, "Lagos by night");
    assert_eq!(request.metadata.visibility, Visibility::Unlisted);
    assert_eq!(request.metadata.tags, ["a", "b"]);
    assert_eq!(request.residency, Some(Residency::Ng));
    assert_eq!(request.file_name, "night.mp4");
    assert_eq!(platform.facts().in_flight_max, 4);
    assert!(
        said.out.contains(CONTENT_ID) && said.out.contains(&format!("/watch/{CONTENT_ID}")),
        "{said:?}"
    );
    assert!(
        said.err.contains("probe") && said.err.contains("transcode"),
        "{said:?}"
    );
    assert_eq!(person.unfinished_uploads(), 0);
}

#[tokio::test]
async fn json_is_one_document() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let file = person.file("song.mp3", b"sound");
    let stored = person.run(&["--json", "upload", &file, "--no-wait"]).await;
    assert_eq!(stored.err, "");
    let stored = stored.json();
    assert_eq!(stored["content_id"], CONTENT_ID);
    assert_eq!(stored["upload_id"], UPLOAD_ID);
    assert_eq!(stored["status"], "COMPLETED");
    assert!(stored.get("parts").is_none(), "URLs are secrets");
    let request = platform.facts().request.clone().unwrap();
    assert_eq!(request.media_type, mcsp_api::events::MediaType::Audio);
    assert_eq!(request.metadata.title, "song");
    let followed = person.run(&["upload", &file, "--json"]).await.json();
    assert_eq!(followed["status"], "PUBLISHED");
    assert_eq!(followed["upload_id"], UPLOAD_ID);
    assert_eq!(followed["renditions"][0], "v360");
}

#[tokio::test]
async fn what_fails_for_a_while_is_tried_again() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    {
        let mut facts = platform.facts();
        (facts.creates_fail, facts.puts_fail, facts.completes_fail) = (2, 5, 2);
    }
    let file = person.file("night.mp4", &film());
    let said = person.run(&["upload", &file, "--no-wait"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(platform.stored(), film());
    let keys = platform.facts().idempotency_keys.clone();
    assert_eq!(keys.len(), 3);
    assert!(
        keys.iter().all(|key| *key == keys[0]),
        "each try must be the same request: {keys:?}"
    );
}

#[tokio::test]
async fn urls_that_ran_out_are_asked_for_again() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    // Those of the first answer are no good.
    platform.facts().url_generation_min = 2;
    let file = person.file("night.mp4", &film());
    let said = person.run(&["upload", &file, "--no-wait"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(platform.stored(), film());
    // One renewal serves all parts that were refused together.
    assert!(
        platform.facts().url_generation <= 6,
        "{} renewals",
        platform.facts().url_generation
    );
}

#[tokio::test]
async fn a_url_that_stays_refused_ends_the_upload() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    platform.facts().url_generation_min = u32::MAX;
    let file = person.file("night.mp4", &film());
    let said = person.run(&["upload", &file, "--no-wait"]).await;
    assert_eq!(said.status, 77, "{said:?}");
}

#[tokio::test]
async fn an_upload_that_was_killed_goes_on_where_it_was() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    platform.facts().hang_after = Some(6);
    let file = person.file("night.mp4", &film());
    let mut child = person.start(&["upload", &file, "--no-wait"]);
    let stuck = async {
        while platform.facts().parts.len() < 6 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(120), stuck)
        .await
        .expect("six parts arrive");
    child.kill().await.unwrap();
    assert_eq!(person.unfinished_uploads(), 1);
    let before = {
        let mut facts = platform.facts();
        facts.hang_after = None;
        facts.in_flight = 0;
        std::mem::take(&mut facts.puts)
    };
    let said = person.run(&["upload", &file, "--no-wait"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert!(said.err.contains("resuming"), "{said:?}");
    assert_eq!(platform.stored(), film());
    let after = platform.facts().puts.clone();
    assert_eq!(before.len() + after.len(), 11, "{before:?} then {after:?}");
    assert_eq!(platform.facts().idempotency_keys.len(), 1, "one session");
    assert_eq!(person.unfinished_uploads(), 0);
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let file = person.file("night.mp4", &film());
    platform.facts().completes_fail = 1000;
    let said = person
        .run(&["upload", &file, "--no-wait", "--patience-s", "1"])
        .await;
    assert_eq!(said.status, 69, "{said:?}");
    assert!(said.err.contains("run the same command again"), "{said:?}");
    {
        let mut facts = platform.facts();
        facts.completes_fail = 0;
        facts.status = UploadStatus::Expired;
    }
    let said = person.run(&["upload", &file, "--no-wait"]).await;
    assert_eq!(said.status, 0, "{said:?}");
    assert_eq!(platform.facts().idempotency_keys.len(), 2);
}

#[tokio::test]
async fn a_refusal_is_told_with_its_field_and_forgotten() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let file = person.file("night.mp4", &film());
    let said = person.run(&["upload", &file, "--title", "refuse me"]).await;
    assert_eq!(said.status, 1);
    assert!(
        said.err.contains("not this title (field /metadata/title)"),
        "{said:?}"
    );
    assert_eq!(person.unfinished_uploads(), 0);
}

#[tokio::test]
async fn media_that_cannot_be_used_fails_with_the_reason() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let mut failed = content(ContentStatus::Failed);
    failed.status_reason = Some("this is text, not media".to_owned());
    platform.facts().looks = [content(ContentStatus::Processing), failed].into();
    let file = person.file("text.mp4", b"This is no film.");
    let said = person.run(&["upload", &file]).await;
    assert_eq!(said.status, 1);
    assert!(said.err.contains("this is text, not media"), "{said:?}");
    platform.facts().looks = [content(ContentStatus::PendingModeration)].into();
    let said = person.run(&["upload", &file]).await;
    assert_eq!(said.status, 0, "held is no failure: {said:?}");
    assert!(said.out.contains("held"), "{said:?}");
}

#[tokio::test]
async fn waiting_for_all_goes_past_the_first_rendition() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let mut complete = content(ContentStatus::Published);
    complete.complete = true;
    complete.renditions.push("v720".to_owned());
    platform.facts().looks = [content(ContentStatus::Published), complete].into();
    let file = person.file("night.mp4", &film());
    let followed = person
        .run(&["--json", "upload", &file, "--wait-all"])
        .await
        .json();
    assert_eq!(followed["renditions"], serde_json::json!(["v360", "v720"]));
}

#[tokio::test]
async fn files_that_hold_nothing_or_are_not_there_are_refused_at_once() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let empty = person.file("empty.mp4", b"");
    let said = person.run(&["upload", &empty]).await;
    assert_eq!(said.status, 65);
    assert!(said.err.contains("empty"), "{said:?}");
    assert_eq!(
        person.run(&["upload", "/no/such/file.mp4"]).await.status,
        66
    );
    assert!(platform.facts().request.is_none());
}

#[tokio::test]
async fn a_server_that_is_away_is_69() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    // Bound, so that nobody else listens there either.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let config = person.config.path().join("tokens.json");
    let moved = std::fs::read_to_string(&config)
        .unwrap()
        .replace(&platform.url(), &format!("http://127.0.0.1:{port}"));
    std::fs::write(&config, moved).unwrap();
    let server = format!("http://127.0.0.1:{port}");
    let said = person
        .run(&["--server", &server, "status", CONTENT_ID])
        .await;
    assert_eq!(said.status, 69, "{said:?}");
}
