//! Sources of all shapes: silent, sound alone, turned, odd, deep, surround, irregular, still.

use crate::support::{Studio, entry, frame_times, ids, tool};

const X264: &[&str] = &[
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-pix_fmt",
    "yuv420p",
];

#[tokio::test]
async fn a_silent_video_has_no_sound() {
    let studio = Studio::new();
    let source = studio.make(
        "a.mkv",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=480x270:rate=30:duration=3",
            ],
            X264,
        ]
        .concat(),
    );
    let all = studio.all(&source).await;
    assert_eq!(ids(&all), ["v270"]);
    let root = studio.publish(&all);
    assert_eq!(frame_times(&root.join("v270/index.m3u8"), "v").len(), 90);
    assert!(
        !std::fs::read_to_string(root.join("manifest.m3u8"))
            .unwrap()
            .contains("AUDIO")
    );
}

#[tokio::test]
async fn sound_alone_gets_the_audio_ladder() {
    let studio = Studio::new();
    let source = studio.make(
        "a.wav",
        &[
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=44100:duration=9,aformat=channel_layouts=stereo",
        ],
    );
    let all = studio.all(&source).await;
    assert_eq!(ids(&all), ["a64", "a128", "a256", "a320"]);
    let root = studio.publish(&all);
    let times = frame_times(&root.join("a64/index.m3u8"), "a");
    assert_eq!(times.len(), (9 * 44_100_usize).div_ceil(1024));
    assert_eq!(all[0].segments.len(), 3);
    // The tone is still the tone: its loudness survives within a decibel.
    let volume = |path: &str| {
        let out = std::process::Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-allowed_extensions",
                "ALL",
                "-i",
                path,
                "-af",
                "volumedetect",
                "-f",
                "null",
                "-",
            ])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        text.split("mean_volume: ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    let wav = std::process::Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-i",
            source.to_str().unwrap(),
            "-af",
            "volumedetect",
            "-f",
            "null",
            "-",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&wav.stderr).into_owned();
    let before: f64 = text
        .split("mean_volume: ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let after = volume(root.join("a128/index.m3u8").to_str().unwrap());
    assert!(
        (before - after).abs() < 1.0,
        "{before} dB became {after} dB"
    );
}

#[tokio::test]
async fn surround_becomes_stereo_and_mono_stays_mono() {
    let studio = Studio::new();
    let picture: &[&str] = &[
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=320x180:rate=25:duration=2",
    ];
    let surround: &[&str] = &[
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:duration=2,aformat=channel_layouts=5.1",
        "-c:a",
        "aac",
    ];
    let all = studio
        .all(&studio.make("a.mp4", &[picture, surround, X264].concat()))
        .await;
    assert_eq!(ids(&all), ["v180", "a64"]);
    let root = studio.publish(&all);
    assert_eq!(entry(&root.join("a64/index.m3u8"), "a", "channels"), "2");
    let mono: &[&str] = &[
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=440:sample_rate=22050:duration=2",
        "-c:a",
        "libmp3lame",
    ];
    let all = studio
        .all(&studio.make("b.mkv", &[picture, mono, X264].concat()))
        .await;
    let root = studio.publish(&all);
    assert_eq!(
        entry(&root.join("a64/index.m3u8"), "a", "sample_rate,channels"),
        "44100,1"
    );
}

#[tokio::test]
async fn a_turned_picture_stands_as_ffmpeg_turns_it() {
    let studio = Studio::new();
    let plain = studio.make(
        "plain.mp4",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=640x360:rate=25:duration=1",
            ],
            X264,
        ]
        .concat(),
    );
    for rotate in ["90", "180", "270"] {
        let tag = format!("rotate={rotate}");
        let turned = studio.make(
            "turned.mp4",
            &[
                "-i",
                plain.to_str().unwrap(),
                "-c",
                "copy",
                "-metadata:s:v",
                &tag,
            ],
        );
        let all = studio.all(&turned).await;
        let root = studio.publish(&all);
        let ours = root.join(&all[0].id).join("index.m3u8");
        // FFmpeg turns the source by itself; both must show the same picture.
        let compared = std::process::Command::new("ffmpeg")
            .args([
                "-nostdin",
                "-allowed_extensions",
                "ALL",
                "-i",
                ours.to_str().unwrap(),
                "-i",
                turned.to_str().unwrap(),
            ])
            .args(["-lavfi", "[0:v][1:v]psnr", "-f", "null", "-"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&compared.stderr).into_owned();
        let psnr = text
            .split("average:")
            .nth(1)
            .unwrap_or_else(|| panic!("{rotate}: {text}"));
        let psnr: f64 = psnr.split(' ').next().unwrap().parse().unwrap();
        assert!(psnr > 28.0, "turned by {rotate}: {psnr} dB");
    }
}

#[tokio::test]
async fn odd_stretched_and_deep_pictures_become_plain_ones() {
    let studio = Studio::new();
    let odd = studio.make(
        "odd.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc=size=321x179:rate=25:duration=1",
            "-c:v",
            "ffv1",
        ],
    );
    let all = studio.all(&odd).await;
    let root = studio.publish(&all);
    let out = root.join(&all[0].id).join("index.m3u8");
    assert_eq!(entry(&out, "v", "width,height,pix_fmt"), "322,180,yuv420p");

    let stretched = studio.make(
        "stretched.mp4",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=720x576:rate=25:duration=1,setsar=64/45",
            ],
            X264,
        ]
        .concat(),
    );
    let all = studio.all(&stretched).await;
    assert_eq!(ids(&all), ["v360", "v480", "v576"]);
    let root = studio.publish(&all);
    assert_eq!(
        entry(
            &root.join("v576/index.m3u8"),
            "v",
            "width,height,sample_aspect_ratio"
        ),
        "1024,576,1:1"
    );

    let deep = studio.make(
        "deep.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25:duration=1",
            "-vf",
            "format=yuv420p10le",
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            "log-level=none:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
        ],
    );
    let all = studio.all(&deep).await;
    let root = studio.publish(&all);
    let out = root.join(&all[0].id).join("index.m3u8");
    assert_eq!(entry(&out, "v", "pix_fmt,color_transfer"), "yuv420p,bt709");
    assert_eq!(frame_times(&out, "v").len(), 25);
}

#[tokio::test]
async fn irregular_and_fast_frames_keep_their_times() {
    let studio = Studio::new();
    // Every third frame missing, and a pause of two seconds.
    let source = studio.make(
        "vfr.mkv",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=30:duration=6",
                "-vf",
                "select='not(eq(mod(n,3),2))*not(between(t,2,4))'",
                "-vsync",
                "vfr",
            ],
            X264,
        ]
        .concat(),
    );
    let before = tool(
        "ffprobe",
        &[
            "-v",
            "error",
            "-select_streams",
            "v",
            "-show_entries",
            "frame=best_effort_timestamp_time",
            "-of",
            "csv=p=0",
            source.to_str().unwrap(),
        ],
    );
    let before: Vec<f64> = before
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse().ok())
        .collect();
    let all = studio.all(&source).await;
    let root = studio.publish(&all);
    let after = frame_times(&root.join(&all[0].id).join("index.m3u8"), "v");
    for time in &before {
        assert!(
            after
                .iter()
                .any(|seen| (seen - (time - before[0])).abs() < 0.002),
            "the frame at {time} s is gone"
        );
    }
    assert!(
        after.windows(2).all(|pair| pair[1] - pair[0] < 0.76),
        "long pictures are repeated"
    );

    let fast = studio.make(
        "fast.mp4",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=120:duration=2",
            ],
            X264,
        ]
        .concat(),
    );
    let all = studio.all(&fast).await;
    let root = studio.publish(&all);
    assert_eq!(
        frame_times(&root.join(&all[0].id).join("index.m3u8"), "v").len(),
        120,
        "120 frames a second become 60"
    );
}

#[tokio::test]
async fn sound_that_begins_late_stays_in_step() {
    let studio = Studio::new();
    let source = studio.make(
        "late.mkv",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=25:duration=6",
                "-itsoffset",
                "2",
                "-f",
                "lavfi",
                "-i",
                "sine=frequency=440:sample_rate=48000:duration=3,aformat=channel_layouts=stereo",
                "-c:a",
                "flac",
            ],
            X264,
        ]
        .concat(),
    );
    let all = studio.all(&source).await;
    let root = studio.publish(&all);
    let out = std::process::Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-allowed_extensions",
            "ALL",
            "-i",
            root.join("a64/index.m3u8").to_str().unwrap(),
        ])
        .args(["-af", "silencedetect=noise=-50dB:d=0.5", "-f", "null", "-"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    let end: f64 = text
        .split("silence_end: ")
        .nth(1)
        .expect("silence first")
        .split([' ', '\n'])
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!((end - 2.0).abs() < 0.05, "the sound begins at {end} s");
}

#[tokio::test]
async fn one_long_picture_is_spread_over_its_time() {
    let studio = Studio::new();
    let source = studio.make(
        "still.mp4",
        &[
            &[
                "-f",
                "lavfi",
                "-i",
                "testsrc2=size=320x180:rate=1/9:duration=9",
                "-f",
                "lavfi",
                "-i",
                "sine=duration=9",
                "-c:a",
                "aac",
            ],
            X264,
        ]
        .concat(),
    );
    let all = studio.all(&source).await;
    let video = all.iter().find(|info| info.is_video()).unwrap();
    assert!(video.segments.len() >= 2, "{video:?}");
    assert!(
        (8900..=9100).contains(&video.duration_ms()),
        "{}",
        video.duration_ms()
    );
}
