//! A creator's file, played by viewers through PoPs: HLS and DASH, London and Lagos; and the residency of `NG` content.

use mcsp_loadtest_cluster::memory::{folder_holds, process_holds};
use reqwest::Method;

use crate::browser::{Visit, watch};
use crate::harness::{Stage, clip, picture_and_sound};

/// Segments are 4 s, so this is past three of them.
const PAST_THREE_SEGMENTS_S: f64 = 12.5;

async fn plays(stage: &Stage, pop: &str, format: &str, content_id: &str, title: &str) {
    let url = format!("{}/watch/{content_id}", stage.cluster.pop_url(pop));
    let shot = stage.scratch().join(format!("{pop}-{format}.png"));
    let seen = watch(Visit {
        url: &url,
        format,
        until_s: PAST_THREE_SEGMENTS_S,
        width: 1280,
        height: 800,
        screenshot: Some(&shot),
    })
    .await;
    let place = format!("{pop} {format}: {seen:?}");
    assert!(
        seen.timed_out.is_none() && seen.current_time_s >= PAST_THREE_SEGMENTS_S,
        "{place}"
    );
    assert!(seen.errors.is_empty() && seen.notice.is_none(), "{place}");
    assert!(seen.width > 0 && seen.height > 0, "{place}");
    assert_eq!(seen.title, title, "{place}");
    let segments: Vec<_> = seen
        .media
        .iter()
        .filter(|answer| answer.name.ends_with(".m4s"))
        .collect();
    assert!(
        segments.len() >= 6,
        "picture and sound of three segments: {place}"
    );
    for answer in &seen.media {
        assert_eq!(
            format!("http://{}", answer.host),
            stage.cluster.pop_url(pop),
            "{place}"
        );
        assert!(matches!(answer.status, 200 | 206), "{place}");
        assert!(answer.cache.is_some(), "no Cache-Status: {answer:?}");
    }
}

#[tokio::test]
async fn a_published_video_plays_through_london_and_lagos_in_hls_and_dash() {
    let stage = Stage::start("playback").await;
    let file = clip(
        stage.scratch(),
        "beach.mp4",
        &picture_and_sound(16, "854x480"),
    )
    .await;
    let creator = stage.creator("los1", "ada").await;
    let id = creator
        .upload(
            &file,
            &[
                "--title",
                "At the beach",
                "--residency",
                "global",
                "--wait-all",
            ],
        )
        .await;
    for pop in ["lhr1", "los1"] {
        for format in ["hls", "dash"] {
            plays(&stage, pop, format, &id, "At the beach").await;
        }
    }
    // On a phone's width nothing hangs over the edge.
    let url = format!("{}/watch/{id}", stage.cluster.pop_url("los1"));
    let shot = stage.scratch().join("phone.png");
    let phone = Visit {
        url: &url,
        format: "hls",
        until_s: 1.0,
        width: 390,
        height: 844,
        screenshot: Some(&shot),
    };
    let seen = watch(phone).await;
    assert!(seen.errors.is_empty() && !seen.overflows, "{seen:?}");
    stage.stop().await;
}

#[tokio::test]
async fn ng_content_stays_on_nigerian_nodes() {
    let stage = Stage::start("residency").await;
    let file = clip(
        stage.scratch(),
        "home.mp4",
        &picture_and_sound(16, "640x360"),
    )
    .await;
    let creator = stage.creator("abv1", "bola").await;
    let id = creator
        .upload(
            &file,
            &["--title", "Home", "--residency", "ng", "--wait-all"],
        )
        .await;
    for pop in ["los1", "abv1"] {
        plays(&stage, pop, "hls", &id, "Home").await;
    }

    // Asked of London, the viewer is sent to Nigeria, by the API and on the media path itself.
    let viewer = stage.viewer("lhr1", "grace").await;
    let session = viewer.play(&id).await.expect("a session");
    let nigerian = [stage.cluster.pop_url("los1"), stage.cluster.pop_url("abv1")];
    assert!(
        nigerian.iter().any(|pop| session.hls_url.starts_with(pop)),
        "{session:?}"
    );
    let path = session
        .media_base_url
        .find("/media/")
        .map(|at| &session.media_base_url[at..])
        .expect("a media path");
    let segment = format!("{}/v360/1.m4s", path.trim_end_matches('/'));
    let sent_on = viewer
        .send(Method::GET, &segment, None)
        .await
        .expect("an answer");
    assert_eq!(sent_on.status(), 307);
    let place = sent_on.headers()["location"]
        .to_str()
        .expect("text")
        .to_owned();
    assert!(nigerian.iter().any(|pop| place.starts_with(pop)), "{place}");
    assert!(sent_on.headers().contains_key("cache-status"));

    // Known bytes of a segment: on the node that served it, and not a trace of them in London.
    let bytes = viewer
        .bytes(&place)
        .await
        .expect("the segment, from Nigeria");
    let known = &bytes[bytes.len() / 2..bytes.len() / 2 + 48];
    let serving = nigerian
        .iter()
        .position(|pop| place.starts_with(pop.as_str()))
        .map(|at| ["los1", "abv1"][at]);
    let serving = stage
        .cluster
        .pid(serving.expect("one of them"))
        .expect("it runs");
    assert!(
        process_holds(serving, known).expect("its memory"),
        "the search finds nothing where there is something"
    );
    let london = stage.cluster.pid("lhr1").expect("it runs");
    assert!(!process_holds(london, known).expect("its memory"));
    assert!(!folder_holds(&stage.layout.home("lhr1"), known).expect("its folder"));
    let origin = stage.cluster.pid("origin-global-london").expect("it runs");
    assert!(!process_holds(origin, known).expect("its memory"));
    assert!(!folder_holds(&stage.layout.home("origin-global-london"), known).expect("its folder"));
    stage.stop().await;
}
