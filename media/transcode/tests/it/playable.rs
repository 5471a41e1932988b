//! What comes out plays: every frame, at its time, in every rendition, by both manifests.

use std::fs;

use mcsp_media_package::mezzanine_parts;

use crate::support::{Studio, entry, file_frame_times, frame_times, ids, tool};

const CLIP: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=1280x720:rate=24:duration=9.5",
    "-f",
    "lavfi",
    "-i",
    "sine=frequency=440:sample_rate=48000:duration=9.5",
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-bf",
    "2",
    "-pix_fmt",
    "yuv420p",
    "-c:a",
    "aac",
    "-b:a",
    "192k",
    "-ac",
    "2",
];

#[tokio::test]
async fn every_frame_is_there_at_its_time_in_every_rendition() {
    let studio = Studio::new();
    let source = studio.make("source.mp4", CLIP);
    let all = studio.all(&source).await;
    assert_eq!(ids(&all), ["v360", "a64", "v480", "v720", "a128"]);
    let root = studio.publish(&all);
    let expected: Vec<f64> = (0..228).map(|n| f64::from(n) / 24.0).collect();
    for id in ["v360", "v480", "v720"] {
        let seen = frame_times(&root.join(id).join("index.m3u8"), "v");
        assert_eq!(seen.len(), expected.len(), "{id}");
        let worst = seen
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(worst < 0.001, "{id} is off by {worst} s");
    }
    for id in ["a64", "a128"] {
        let times = frame_times(&root.join(id).join("index.m3u8"), "a");
        assert_eq!(times[0], 0.0, "{id} begins at 0");
        let samples = times.len() * 1024;
        assert!(
            (9.5 * 48_000.0..9.5 * 48_000.0 + 2048.0).contains(&(samples as f64)),
            "{id}: {samples}"
        );
    }
    assert_eq!(
        entry(&root.join("v480/index.m3u8"), "v", "width,height"),
        "854,480"
    );
}

#[tokio::test]
async fn segments_of_all_renditions_begin_at_the_same_frames() {
    let studio = Studio::new();
    let source = studio.make("source.mp4", CLIP);
    let all = studio.all(&source).await;
    let video: Vec<_> = all.iter().filter(|info| info.is_video()).collect();
    for info in &video {
        assert_eq!(info.segments.len(), 3);
        assert_eq!(info.timescale, video[0].timescale);
        let durations: Vec<u64> = info.segments.iter().map(|s| s.duration_ticks).collect();
        assert_eq!(durations, [96_000, 96_000, 36_000], "{}", info.id);
    }
    // Each segment alone is decodable from its first frame.
    let root = studio.publish(&all);
    for n in 1..=3 {
        let init = fs::read(root.join("v720/init.mp4")).unwrap();
        let segment = fs::read(root.join(format!("v720/{n}.m4s"))).unwrap();
        let alone = studio.path("alone.mp4");
        fs::write(&alone, [init, segment].concat()).unwrap();
        assert_eq!(file_frame_times(&alone, "v").len(), [96, 96, 36][n - 1]);
    }
}

#[tokio::test]
async fn both_manifests_play_to_the_end() {
    let studio = Studio::new();
    let source = studio.make("source.mp4", CLIP);
    let all = studio.all(&source).await;
    let root = studio.publish(&all);
    let master = root.join("manifest.m3u8");
    let mpd = root.join("manifest.mpd");
    let playlist_options: &[&str] = &["-allowed_extensions", "ALL"];
    for (manifest, options) in [(master, playlist_options), (mpd, &[])] {
        let manifest = manifest.to_str().unwrap();
        // -xerror: any complaint is a failure.
        let mut arguments = vec!["-v", "error", "-nostdin", "-xerror"];
        arguments.extend(options);
        arguments.extend(["-i", manifest, "-map", "0", "-f", "null", "-"]);
        tool("ffmpeg", &arguments);
    }
}

#[tokio::test]
async fn the_bitrate_stays_under_the_cap_and_the_picture_is_the_sources() {
    let studio = Studio::new();
    // Noise: as hard as a picture can be.
    let source = studio.make(
        "hard.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=640x360:rate=25:duration=8,noise=alls=60:allf=t",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-crf",
            "30",
            "-pix_fmt",
            "yuv420p",
        ],
    );
    let all = studio.all(&source).await;
    assert_eq!(ids(&all), ["v360"]);
    assert!(all[0].average_bps() < 480_000, "{}", all[0].average_bps());

    let easy = studio.make("easy.mp4", CLIP);
    let all = studio.all(&easy).await;
    let root = studio.publish(&all);
    let psnr = std::process::Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-allowed_extensions",
            "ALL",
            "-i",
            root.join("v720/index.m3u8").to_str().unwrap(),
        ])
        .args([
            "-i",
            easy.to_str().unwrap(),
            "-lavfi",
            "[0:v][1:v]psnr",
            "-f",
            "null",
            "-",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&psnr.stderr).into_owned();
    let average: f64 = text
        .split("average:")
        .nth(1)
        .and_then(|t| t.split(' ').next())
        .unwrap()
        .parse()
        .unwrap();
    assert!(average > 33.0, "PSNR {average} dB");
}

#[tokio::test]
async fn a_pass_run_again_gives_the_same_parts() {
    let studio = Studio::new();
    let source = studio.make("source.mp4", CLIP);
    let first = studio.lowest(&source).await.unwrap().renditions;
    let again = studio.lowest(&source).await.unwrap().renditions;
    assert_eq!(ids(&first), ids(&again));
    for (a, b) in first.iter().zip(&again) {
        let durations = |info: &mcsp_media_package::RenditionInfo| {
            info.segments
                .iter()
                .map(|s| s.duration_ticks)
                .collect::<Vec<_>>()
        };
        assert_eq!(durations(a), durations(b));
        let mut mezzanine = fs::File::open(studio.work().join(format!("{}.mp4", b.id))).unwrap();
        assert_eq!(
            mezzanine_parts(&mut mezzanine, b).unwrap().len(),
            b.segments.len() + 1
        );
    }
}
