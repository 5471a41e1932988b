//! `status`, `play`, and the command line itself.

use mcsp_api::rest::ContentStatus;

use crate::platform::{CONTENT_ID, Platform, UPLOAD_ID, content, stage};
use crate::run::Person;

#[tokio::test]
async fn status_is_a_table_for_people_and_the_record_for_programs() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let mut processing = content(ContentStatus::Processing);
    processing.stages = vec![stage("transcode", "progress", 40)];
    platform.facts().looks = [processing].into();
    let said = person.run(&["status", CONTENT_ID]).await;
    assert!(
        said.out.contains("status      PROCESSING\n"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("transcode  progress  40 %"),
        "{}",
        said.out
    );
    let record = person.run(&["status", CONTENT_ID, "--json"]).await.json();
    assert_eq!(record["stages"][0]["percent"], 40);
}

#[tokio::test]
async fn an_upload_has_a_status_too_without_its_urls() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let said = person.run(&["status", UPLOAD_ID]).await;
    assert_eq!(said.status, 1, "there is none: {said:?}");
    let file = person.file("a.mp4", &[0; 2500]);
    assert_eq!(person.run(&["upload", &file, "--no-wait"]).await.status, 0);
    let said = person.run(&["status", UPLOAD_ID]).await;
    assert!(said.out.contains("3 of 3 received"), "{said:?}");
    let session = person.run(&["status", UPLOAD_ID, "--json"]).await.json();
    assert!(
        session["parts"]
            .as_array()
            .unwrap()
            .iter()
            .all(|part| part.get("url").is_none())
    );
}

#[tokio::test]
async fn play_prints_addresses() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    let said = person.run(&["play", CONTENT_ID]).await;
    assert!(
        said.out
            .contains(&format!("{}/watch/{CONTENT_ID}", platform.url())),
        "{said:?}"
    );
    assert!(
        said.out.contains("manifest.m3u8") && said.out.contains("manifest.mpd"),
        "{said:?}"
    );
    let session = person.run(&["play", CONTENT_ID, "--json"]).await.json();
    assert!(
        session["hls_url"]
            .as_str()
            .unwrap()
            .ends_with("manifest.m3u8")
    );
}

#[tokio::test]
async fn wrong_words_are_64_and_help_is_0() {
    let platform = Platform::start().await;
    let person = Person::new(&platform);
    for words in [
        &["upload"][..],
        &["fly"],
        &["upload", "a.mp4", "--residency", "uk"],
        &["status", "c_nothing"],
    ] {
        let mut all = vec!["--server", "http://localhost:1"];
        all.extend(words);
        assert_eq!(person.run(&all).await.status, 64, "{words:?}");
    }
    let said = person.run(&["upload", "--help"]).await;
    assert_eq!(said.status, 0);
    assert!(
        said.out.contains("--residency") && !said.out.contains("retry-pause"),
        "{said:?}"
    );
    let said = person.run(&["--help"]).await;
    assert!(
        said.out.contains("Examples:") && said.out.contains("Exit status:"),
        "{said:?}"
    );
    let said = person.run(&["status", CONTENT_ID]).await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("--server"), "{said:?}");
}
