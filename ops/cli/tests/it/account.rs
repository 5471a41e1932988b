//! Signing in, renewing, signing out.

use mcsp_api::Role;

use crate::platform::{CONTENT_ID, Platform};
use crate::run::Person;

#[tokio::test]
async fn a_session_is_kept_for_its_owner_alone_and_ended() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    assert_eq!(person.mode("tokens.json"), 0o600);
    assert_eq!(person.mode("config.toml"), 0o600);
    let registered = platform.facts().registered.clone().unwrap();
    assert_eq!(
        (registered.display_name.as_str(), registered.role),
        ("ada", Role::Creator)
    );
    // The server is remembered.
    assert_eq!(person.run(&["status", CONTENT_ID]).await.status, 0);
    assert_eq!(person.run(&["logout"]).await.status, 0);
    assert!(!platform.facts().signed_in);
    let said = person.run(&["status", CONTENT_ID]).await;
    assert_eq!(said.status, 77);
    assert!(said.err.contains("mcsp login"), "{said:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told_as_the_server_said_it() {
    let platform = Platform::start().await;
    let person = Person::new(&platform);
    let server = platform.url();
    let words = [
        "--server",
        &server,
        "login",
        "ada@example.com",
        "--password-stdin",
    ];
    let said = person.run_with_input(&words, "wrong\n").await;
    assert_eq!(said.status, 77);
    assert!(said.err.contains("the password is wrong"), "{said:?}");
    assert!(
        said.err.contains("trace 0af7651916cd43dd8448eb211c80319c"),
        "{said:?}"
    );
    assert!(
        !said.err.contains('\u{1b}'),
        "colour where there is no terminal: {said:?}"
    );
    let mut with_json = vec!["--json"];
    with_json.extend(words);
    let said = person.run_with_input(&with_json, "wrong\n").await;
    let error: serde_json::Value = serde_json::from_str(&said.err).unwrap();
    assert_eq!(error["error"]["status"], 401);
}

#[tokio::test]
async fn without_a_terminal_a_password_comes_from_standard_input_only() {
    let platform = Platform::start().await;
    let person = Person::new(&platform);
    let server = platform.url();
    let said = person
        .run(&["--server", &server, "login", "ada@example.com"])
        .await;
    assert_eq!(said.status, 64);
    assert!(said.err.contains("--password-stdin"), "{said:?}");
    let said = person
        .run(&[
            "--server",
            &server,
            "login",
            "ada@example.com",
            "--password-stdin",
        ])
        .await;
    assert_eq!(said.status, 64, "an empty password: {said:?}");
}

#[tokio::test]
async fn a_token_that_has_ended_is_renewed_before_and_after_it_is_refused() {
    let platform = Platform::start().await;
    platform.facts().token_life_s = 1;
    let person = Person::registered(&platform).await;
    // Known to have ended.
    for _ in 0..3 {
        assert_eq!(person.run(&["status", CONTENT_ID]).await.status, 0);
    }
    assert_eq!(platform.facts().serial, 4);
    // Believed to be good, and refused.
    platform.facts().token_life_s = 900;
    assert_eq!(person.run(&["status", CONTENT_ID]).await.status, 0);
    let tokens = person.config.path().join("tokens.json");
    let spoiled = std::fs::read_to_string(&tokens)
        .unwrap()
        .replace("access-", "spoiled-");
    std::fs::write(&tokens, spoiled).unwrap();
    assert_eq!(person.run(&["status", CONTENT_ID]).await.status, 0);
    assert!(!platform.facts().theft);
}

#[tokio::test]
async fn commands_at_once_renew_once_at_a_time() {
    let platform = Platform::start().await;
    platform.facts().token_life_s = 1;
    let person = Person::registered(&platform).await;
    let words = ["status", CONTENT_ID];
    let said = tokio::join!(
        person.run(&words),
        person.run(&words),
        person.run(&words),
        person.run(&words)
    );
    for said in [said.0, said.1, said.2, said.3] {
        assert_eq!(said.status, 0, "{said:?}");
    }
    assert!(!platform.facts().theft, "a spent refresh token was used");
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_asks_to_sign_in() {
    let platform = Platform::start().await;
    let person = Person::registered(&platform).await;
    platform.facts().signed_in = false;
    let said = person.run(&["status", CONTENT_ID]).await;
    assert_eq!(said.status, 77);
    assert!(!person.config.path().join("tokens.json").exists());
}

#[tokio::test]
async fn tokens_go_to_no_other_server() {
    let platform = Platform::start().await;
    let other = Platform::start().await;
    let person = Person::registered(&platform).await;
    let said = person
        .run(&["--server", &other.url(), "status", CONTENT_ID])
        .await;
    assert_eq!(said.status, 77);
    let said = person
        .run(&["--server", "http://example.com", "status", CONTENT_ID])
        .await;
    assert_eq!(said.status, 64, "{said:?}");
}
