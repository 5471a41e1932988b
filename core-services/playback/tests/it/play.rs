//! Who may play what, from where, and what the token says.

use http::Method;
use mcsp_api::media_path::MediaPath;
use mcsp_api::rest::Visibility;
use mcsp_api::{Residency, Role};
use mcsp_auth_edge::MediaAlgorithm;
use mcsp_core_services_playback::PlaybackConfig;
use mcsp_runtime::Clock;

use crate::stage::{Away, Stage};

const OWN: &[MediaAlgorithm] = &[MediaAlgorithm::HmacSha256, MediaAlgorithm::Ed25519];
const PUBLIC: &[MediaAlgorithm] = &[MediaAlgorithm::Ed25519];

fn path_of(url: &str, base: &str) -> String {
    url.strip_prefix(base)
        .unwrap_or_else(|| panic!("{url} is not under {base}"))
        .to_owned()
}

#[tokio::test]
async fn the_urls_carry_a_token_that_the_pop_verifies() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let viewer = stage.person(Role::Viewer);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "los1", &viewer).await;

    assert_eq!(
        (play.content_id.as_str(), play.title.as_str()),
        (id.as_str(), "A film")
    );
    assert_eq!(
        play.hls_url,
        format!("{}manifest.m3u8", play.media_base_url)
    );
    assert_eq!(
        play.dash_url,
        format!("{}manifest.mpd", play.media_base_url)
    );
    let path = path_of(&play.hls_url, "https://los1.example:9999");
    let (token, media_path) = MediaPath::parse_viewer(&path).unwrap();
    let grant = stage.keyring(OWN).verify(token, &media_path).unwrap();
    assert_eq!((&grant.content_id, &grant.user_id), (&id, &viewer.user_id));
    assert_eq!(grant.media_session_id.as_str(), play.media_session_id);
    assert_eq!(
        (grant.expires_s, grant.limits.max_height),
        (stage.clock.now_s() + 3_600, 0)
    );
    assert_eq!(play.expires_s, grant.expires_s);
    // Our own nodes here get the cheap form, which a partner's keys cannot verify.
    assert!(stage.keyring(PUBLIC).verify(token, &media_path).is_err());
}

#[tokio::test]
async fn our_own_pop_of_another_region_gets_a_token_that_it_can_verify_and_not_make() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let play = stage.play(&id, "lhr1", &owner).await;
    let path = path_of(&play.hls_url, "https://lhr1.example:9999");
    let (token, media_path) = MediaPath::parse_viewer(&path).unwrap();
    assert!(stage.keyring(PUBLIC).verify(token, &media_path).is_ok());
}

#[tokio::test]
async fn a_partners_pop_gets_a_token_that_it_can_verify_and_not_make() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Ng)
        .await;
    let play = stage.play(&id, "abv1", &owner).await;
    let path = path_of(&play.dash_url, "https://abv1.example:9999");
    let (token, media_path) = MediaPath::parse_viewer(&path).unwrap();
    assert_eq!(media_path.residency, Residency::Ng);
    assert!(stage.keyring(PUBLIC).verify(token, &media_path).is_ok());
}

#[tokio::test]
async fn nigerian_items_are_played_from_nigeria_whoever_asks() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let viewer = stage.person(Role::Viewer);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Ng)
        .await;
    for pop in ["lhr1", "nowhere"] {
        let play = stage.play(&id, pop, &viewer).await;
        let in_nigeria = [
            "https://los1.example:8443/media/",
            "https://abv1.example:8443/media/",
        ];
        assert!(
            in_nigeria.iter().any(|base| play.hls_url.starts_with(base)),
            "{}",
            play.hls_url
        );
        assert!(
            play.hls_url.ends_with(&format!("/ng/{id}/manifest.m3u8")),
            "{}",
            play.hls_url
        );
    }
    assert!(
        stage
            .play(&id, "los1", &viewer)
            .await
            .hls_url
            .starts_with("https://los1.example:9999/media/")
    );
}

#[tokio::test]
async fn each_session_is_its_own() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let id = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let first = stage.play(&id, "los1", &owner).await;
    let second = stage.play(&id, "los1", &owner).await;
    assert_ne!(first.media_session_id, second.media_session_id);
    assert_ne!(first.media_base_url, second.media_base_url);
}

#[tokio::test]
async fn what_is_not_the_viewers_to_see_is_not_there() {
    let stage = Stage::new().await;
    let owner = stage.person(Role::Creator);
    let viewer = stage.person(Role::Viewer);
    let public = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let unlisted = stage
        .published(&owner, Visibility::Unlisted, Residency::Global)
        .await;
    let private = stage
        .published(&owner, Visibility::Private, Residency::Global)
        .await;
    let draft = stage
        .draft(&owner, Visibility::Public, Residency::Global)
        .await;
    let deleted = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    stage.delete(&deleted, &owner).await;

    // What a stranger gets, and what its owner gets.
    for (id, for_viewer, for_owner) in [
        (&public, 200, 200),
        (&unlisted, 200, 200),
        (&private, 404, 200),
        (&draft, 404, 409),
        (&deleted, 404, 410),
    ] {
        let path = format!("/api/v1/play/{id}");
        let get = |who| stage.ask(Method::GET, &path, "los1", None, Some(who));
        assert_eq!(
            (get(&viewer).await.0, get(&owner).await.0),
            (for_viewer, for_owner),
            "{id}"
        );
    }
    for unknown in ["c_ng_00000000000000000000000000", "nonsense"] {
        let path = format!("/api/v1/play/{unknown}");
        assert_eq!(
            stage
                .ask(Method::GET, &path, "los1", None, Some(&viewer))
                .await
                .0,
            404
        );
    }
}

#[tokio::test]
async fn refused_countries_are_told_so_and_only_for_what_they_may_know_of() {
    let config = PlaybackConfig {
        countries_refused: vec!["KP".parse().unwrap()],
        ..PlaybackConfig::default()
    };
    let stage = Stage::with(Away::default(), config).await;
    let owner = stage.person(Role::Creator);
    let viewer = stage.person(Role::Viewer);
    let public = stage
        .published(&owner, Visibility::Public, Residency::Global)
        .await;
    let private = stage
        .published(&owner, Visibility::Private, Residency::Global)
        .await;
    let from = |id: &mcsp_api::ContentId, country| {
        let path = format!("/api/v1/play/{id}");
        let (stage, viewer) = (&stage, &viewer);
        async move {
            stage
                .ask(Method::GET, &path, "los1", country, Some(viewer))
                .await
                .0
        }
    };
    assert_eq!(from(&public, Some("KP")).await, 403);
    assert_eq!(from(&private, Some("KP")).await, 404);
    assert_eq!(from(&public, Some("NG")).await, 200);
    assert_eq!(from(&public, None).await, 200);
}
