//! Renditions of one pass, each told of as it is finished, and each failing for itself.

use std::sync::{Arc, Mutex};

use mcsp_media_package::RenditionInfo;
use mcsp_media_transcode::{Ladder, PassNews, PassResult, mezzanine_path, read_rendition};

use crate::support::{Studio, ids};

const CLIP: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=1280x720:rate=24:duration=6",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=48000:duration=6",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
];

/// Runs the second pass; returns its result and what it told of, in order. Each mezzanine is taken away at once.
async fn second_pass(studio: &Studio) -> (PassResult, Vec<RenditionInfo>) {
    let source = studio.make("source.mp4", CLIP);
    let probe = studio.probe(&source).await;
    let rest = Ladder::for_source(&probe).rest();
    assert_eq!(rest.ids(), ["v480", "v720", "a128"]);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (sink, work, taken) = (Arc::clone(&told), studio.work(), studio.path("taken"));
    std::fs::create_dir(&taken).unwrap();
    let result = studio
        .transcoder
        .run_rungs(&source, &studio.work(), &probe, rest, move |news| {
            if let PassNews::Made(info) = news {
                // It is whole now.
                assert_eq!(read_rendition(&work, &info.id).unwrap(), info);
                let from = mezzanine_path(&work, &info.id);
                std::fs::rename(from, mezzanine_path(&taken, &info.id)).unwrap();
                sink.lock().unwrap().push(info);
            }
        })
        .await
        .unwrap();
    let told = told.lock().unwrap().clone();
    (result, told)
}

#[tokio::test]
async fn each_rendition_is_told_of_once_as_it_is_finished_the_cheap_ones_first() {
    let studio = Studio::new();
    let (result, told) = second_pass(&studio).await;
    assert_eq!(ids(&told), ["a128", "v480", "v720"]);
    assert_eq!(ids(&result.renditions), ["v480", "v720", "a128"]);
    assert!(result.failed.is_empty());
    for info in &told {
        assert!(result.renditions.contains(info), "{}", info.id);
        let seconds = info.duration_ms() as f64 / 1000.0;
        assert!((6.0..6.1).contains(&seconds), "{}: {seconds} s", info.id);
    }
}

#[tokio::test]
async fn a_rendition_that_fails_leaves_the_others_alone() {
    let studio = Studio::new();
    // Its encoder cannot write.
    std::fs::create_dir(mezzanine_path(&studio.work(), "v480")).unwrap();
    let (result, told) = second_pass(&studio).await;
    assert_eq!(ids(&told), ["a128", "v720"]);
    let failed: Vec<&str> = result.failed.iter().map(|rung| rung.id.as_str()).collect();
    assert_eq!(failed, ["v480"]);
}

#[tokio::test]
async fn the_first_pass_fails_as_a_whole() {
    let studio = Studio::new();
    let source = studio.make("source.mp4", CLIP);
    std::fs::create_dir(mezzanine_path(&studio.work(), "a64")).unwrap();
    let error = studio.lowest(&source).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
}
