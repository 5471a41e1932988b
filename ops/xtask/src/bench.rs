//! `cargo xtask bench NAME`: benchmarks beside their peers, interleaved, medians.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::demo::{self, Profile};
use crate::report::{self, Row};
use crate::setup::{self, Assets};
use crate::shell::{Failure, command, output, run, say, target_dir};

/// Interleaved passes of ours and the peer's.
const PASSES: usize = 5;

/// Upload-complete to playable, ours / ffmpeg by hand making the same lowest rendition.
const FIRST_PLAY_GOAL: f64 = 1.5;
/// CPU of the whole ladder, ours / one ffmpeg with a split.
const LADDER_GOAL: f64 = 1.15;

/// What `mcsp-media bench-ladder` prints.
#[derive(Debug, Deserialize)]
struct LadderFigures {
    lowest_wall_s: f64,
    lowest_cpu_s: f64,
    rest_cpu_s: f64,
    renditions: Vec<RenditionFigures>,
}

#[derive(Debug, Deserialize)]
struct RenditionFigures {
    id: String,
    width: u32,
    height: u32,
    bitrate_bps: u64,
}

/// What `mcsp-cluster bench-first-play` prints.
#[derive(Debug, Deserialize)]
struct FirstPlayFigures {
    first_play_s: f64,
}

/// The words that make x264 and the AAC encoder do for one rendition what our pipeline asks of them.
fn encoder_words(rendition: &RenditionFigures, stream: usize) -> Vec<String> {
    let rate = rendition.bitrate_bps;
    [
        (format!("-c:v:{stream}"), "libx264".to_owned()),
        (format!("-preset:v:{stream}"), "veryfast".to_owned()),
        (format!("-crf:v:{stream}"), "23".to_owned()),
        (format!("-maxrate:v:{stream}"), rate.to_string()),
        (format!("-bufsize:v:{stream}"), (rate * 2).to_string()),
        (format!("-sc_threshold:v:{stream}"), "0".to_owned()),
    ]
    .into_iter()
    .flat_map(|(name, value)| [name, value])
    .collect()
}

/// User and system seconds that ffmpeg says it used.
fn ffmpeg_cpu_s(words: &[String]) -> Result<f64, Failure> {
    let mut command = command("ffmpeg");
    command
        .args([
            "-hide_banner",
            "-nostdin",
            "-y",
            "-benchmark",
            "-loglevel",
            "info",
        ])
        .args(words);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::Other(format!("cannot start ffmpeg: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let figure = |name: &str| {
        let (_, rest) = text.rsplit_once(name)?;
        rest.split_once('s')?.0.parse::<f64>().ok()
    };
    match (output.status.success(), figure("utime="), figure("stime=")) {
        (true, Some(user), Some(system)) => Ok(user + system),
        _ => Err(Failure::Other(format!(
            "ffmpeg {}: {text}",
            words.join(" ")
        ))),
    }
}

/// The words of one ffmpeg that makes all these pictures with a split, and all these sounds, CMAF segments included.
fn split_words(source: &Path, renditions: &[RenditionFigures], out: &Path) -> Vec<String> {
    let (pictures, sounds): (Vec<_>, Vec<_>) = renditions
        .iter()
        .partition(|rendition| rendition.height > 0);
    let mut graph = format!("[0:v]split={}", pictures.len());
    graph.extend((0..pictures.len()).map(|i| format!("[s{i}]")));
    for (i, rendition) in pictures.iter().enumerate() {
        graph.push_str(&format!(
            ";[s{i}]scale={}:{},format=yuv420p[v{i}]",
            rendition.width, rendition.height
        ));
    }
    if !sounds.is_empty() {
        graph.push_str(&format!(
            ";[0:a]aformat=channel_layouts=stereo,asplit={}",
            sounds.len()
        ));
        graph.extend((0..sounds.len()).map(|i| format!("[a{i}]")));
    }
    let mut words = vec![
        "-i".to_owned(),
        source.display().to_string(),
        "-filter_complex".to_owned(),
        graph,
    ];
    for i in 0..pictures.len() {
        words.extend(["-map".to_owned(), format!("[v{i}]")]);
    }
    for i in 0..sounds.len() {
        words.extend(["-map".to_owned(), format!("[a{i}]")]);
    }
    for (i, rendition) in pictures.iter().enumerate() {
        words.extend(encoder_words(rendition, i));
    }
    for (i, rendition) in sounds.iter().enumerate() {
        words.extend([
            format!("-c:a:{i}"),
            "aac".to_owned(),
            format!("-b:a:{i}"),
            rendition.bitrate_bps.to_string(),
        ]);
    }
    let keys = "expr:gte(t,n_forced*2)".to_owned();
    words.extend([
        "-force_key_frames".to_owned(),
        keys,
        "-seg_duration".to_owned(),
        "4".to_owned(),
    ]);
    words.extend([
        "-f".to_owned(),
        "dash".to_owned(),
        out.join("manifest.mpd").display().to_string(),
    ]);
    words
}

fn fresh(folder: &Path) -> Result<(), Failure> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    Ok(std::fs::create_dir_all(folder)?)
}

/// A clip of 30 s at 1280×720 with stereo sound, cut from the default video once.
fn clip(assets: &Assets, folder: &Path) -> Result<PathBuf, Failure> {
    let clip = folder.join("clip-720p-30s.mp4");
    if clip.is_file() {
        return Ok(clip);
    }
    say("making the clip: 30 s of 720p");
    let part = folder.join("clip.part.mp4");
    run(command("ffmpeg")
        .args([
            "-hide_banner",
            "-nostdin",
            "-y",
            "-loglevel",
            "error",
            "-stream_loop",
            "1",
            "-i",
        ])
        .arg(&assets.video)
        .args([
            "-t",
            "30",
            "-vf",
            "scale=1280:720",
            "-c:v",
            "libx264",
            "-preset",
            "medium",
            "-crf",
            "20",
        ])
        .args(["-c:a", "aac", "-ac", "2", "-b:a", "160k"])
        .arg(&part))?;
    std::fs::rename(part, &clip)?;
    Ok(clip)
}

fn ladder(bin_dir: &Path, source: &Path, out: &Path) -> Result<LadderFigures, Failure> {
    fresh(out)?;
    let mut command = Command::new(bin_dir.join("mcsp-media"));
    let text = output(
        command
            .arg("bench-ladder")
            .arg("--input")
            .arg(source)
            .arg("--out")
            .arg(out),
    )?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::Other(format!("mcsp-media bench-ladder: {error}: {text}")))
}

/// Upload-complete to playable beside ffmpeg by hand, and the ladder's CPU beside one ffmpeg with a split.
pub(crate) fn first_play(options: &[&str]) -> Result<(), Failure> {
    let passes = match options {
        [] => PASSES,
        ["--passes", count] => count
            .parse()
            .map_err(|_| Failure::Usage(format!("--passes wants a number, not {count:?}")))?,
        other => {
            return Err(Failure::Usage(format!(
                "bench first-play takes --passes N, not {other:?}"
            )));
        }
    };
    setup::system_packages()?;
    let assets = setup::assets()?;
    let bin_dir = demo::build(Profile::Release)?;
    let folder = target_dir().join("bench/first-play");
    std::fs::create_dir_all(&folder)?;
    let clip = clip(&assets, &folder)?;
    let load = report::load_average();

    say("learning the ladder from one pass that is not counted");
    let figures = ladder(&bin_dir, &clip, &folder.join("ours"))?;
    let is_lowest = |rendition: &&RenditionFigures| {
        let same_kind = figures
            .renditions
            .iter()
            .filter(|other| (other.height > 0) == (rendition.height > 0));
        same_kind.map(|other| other.bitrate_bps).min() == Some(rendition.bitrate_bps)
    };
    let lowest: Vec<RenditionFigures> = figures
        .renditions
        .iter()
        .filter(is_lowest)
        .map(|rendition| RenditionFigures {
            id: rendition.id.clone(),
            ..*rendition
        })
        .collect();
    let names: Vec<&str> = figures
        .renditions
        .iter()
        .map(|rendition| rendition.id.as_str())
        .collect();
    say(&format!("the ladder is {}", names.join(", ")));

    let peer_folder = folder.join("peer");
    let lowest_words = split_words(&clip, &lowest, &peer_folder);
    let ladder_words = split_words(&clip, &figures.renditions, &peer_folder);
    let mut first_play = (Vec::new(), Vec::new());
    let mut lowest_pass = (Vec::new(), Vec::new());
    let mut lowest_cpu = (Vec::new(), Vec::new());
    let mut ladder_cpu = (Vec::new(), Vec::new());
    for pass in 1..=passes {
        say(&format!("pass {pass} of {passes}"));
        let text = output(
            demo::cluster("bench-first-play", &bin_dir, &assets)
                .arg("--video")
                .arg(&clip)
                .arg("--data-dir")
                .arg(folder.join("cluster")),
        )?;
        let measured: FirstPlayFigures = serde_json::from_str(&text).map_err(|error| {
            Failure::Other(format!("mcsp-cluster bench-first-play: {error}: {text}"))
        })?;
        first_play.0.push(measured.first_play_s);

        fresh(&peer_folder)?;
        let started = Instant::now();
        lowest_cpu.1.push(ffmpeg_cpu_s(&lowest_words)?);
        let by_hand_s = started.elapsed().as_secs_f64();
        first_play.1.push(by_hand_s);
        lowest_pass.1.push(by_hand_s);

        let ours = ladder(&bin_dir, &clip, &folder.join("ours"))?;
        lowest_pass.0.push(ours.lowest_wall_s);
        lowest_cpu.0.push(ours.lowest_cpu_s);
        ladder_cpu.0.push(ours.lowest_cpu_s + ours.rest_cpu_s);

        fresh(&peer_folder)?;
        ladder_cpu.1.push(ffmpeg_cpu_s(&ladder_words)?);
    }
    let by_hand = "ffmpeg by hand: decode, scale, x264 veryfast, AAC, CMAF by its dash muxer";
    let with_split = "one ffmpeg: decode once, split, the same renditions, CMAF by its dash muxer";
    let rows = [
        Row::new(
            "upload complete → playable",
            "wall",
            "s",
            &first_play.0,
            (by_hand, &first_play.1),
            FIRST_PLAY_GOAL,
        ),
        Row::new(
            "lowest pass alone",
            "wall",
            "s",
            &lowest_pass.0,
            (by_hand, &lowest_pass.1),
            FIRST_PLAY_GOAL,
        ),
        Row::new(
            "lowest pass alone",
            "CPU",
            "s",
            &lowest_cpu.0,
            (by_hand, &lowest_cpu.1),
            FIRST_PLAY_GOAL,
        ),
        Row::new(
            "whole ladder",
            "CPU",
            "s",
            &ladder_cpu.0,
            (with_split, &ladder_cpu.1),
            LADDER_GOAL,
        ),
    ];
    report::publish("first-play", load, &rows)
}
