//! What a file's ladder costs, made as the stages make it, without log and object storage.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Instant;

use mcsp_media_package::{
    DASH_MANIFEST, HLS_MASTER, HLS_MEDIA, PackageError, RenditionInfo, compose_dash,
    compose_hls_master, compose_hls_media, split_mezzanine,
};
use mcsp_media_sandbox::{ChildError, Launcher};
use mcsp_media_transcode::{
    Ladder, PassError, PassNews, TranscodePolicy, Transcoder, mezzanine_path,
};
use serde::Serialize;
use thiserror::Error;

/// Why there are no figures.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    #[error("{0}")]
    Child(#[from] ChildError),
    #[error("{0}")]
    Pass(#[from] PassError),
    #[error("{0}")]
    Package(#[from] PackageError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// What is printed.
#[derive(Debug, Serialize)]
struct Figures {
    /// From the source on disk to the lowest renditions in segments and manifests, seconds.
    lowest_wall_s: f64,
    /// Processor time of that, this process and its children, seconds.
    lowest_cpu_s: f64,
    /// Processor time of all other renditions, likewise.
    rest_cpu_s: f64,
    /// From the beginning of that to its end, seconds.
    rest_wall_s: f64,
    /// When each of them was finished, in that order.
    rest_finished: Vec<Finished>,
    /// What was asked for.
    renditions: Vec<RenditionFigures>,
}

#[derive(Debug, Serialize)]
struct Finished {
    id: String,
    /// From the beginning of its pass, seconds.
    after_s: f64,
}

#[derive(Debug, Serialize)]
struct RenditionFigures {
    id: String,
    /// Pixels; 0 for sound.
    width: u32,
    /// Pixels; 0 for sound.
    height: u32,
    bitrate_bps: u32,
}

/// Makes the ladder of `input` in `out`; returns the figures as JSON.
pub(crate) fn run(input: &Path, out: &Path) -> Result<String, BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(measure(input, out))?;
    Ok(serde_json::to_string(&figures)?)
}

async fn measure(input: &Path, out: &Path) -> Result<Figures, BenchError> {
    fs::create_dir_all(out.join("work"))?;
    // Children run in another folder.
    let (input, out) = (input.canonicalize()?, out.canonicalize()?);
    let work = out.join("work");
    let transcoder = Transcoder::new(Launcher::this_binary(), TranscodePolicy::default());

    let (began, cpu_began_s) = (Instant::now(), cpu_s()?);
    let probe = transcoder.probe(&input).await?;
    let lowest = transcoder.run_lowest(&input, &work, &probe, |_| {}).await?;
    let mut listed = lowest.renditions;
    package(&work, &out, &listed, &listed)?;
    let (lowest_wall_s, lowest_cpu_s) = (began.elapsed().as_secs_f64(), cpu_s()? - cpu_began_s);

    let (began, cpu_began_s) = (Instant::now(), cpu_s()?);
    let rungs = Ladder::for_source(&probe).rest();
    let (tell, told) = mpsc::sync_channel(rungs.ids().len());
    let on_news = move |news| {
        if let PassNews::Made(info) = news {
            let after_s = began.elapsed().as_secs_f64();
            // There is a place for each.
            let _ = tell.try_send(Finished {
                id: info.id,
                after_s,
            });
        }
    };
    let rest = transcoder
        .run_rungs(&input, &work, &probe, rungs, on_news)
        .await?;
    listed.extend(rest.renditions.iter().cloned());
    package(&work, &out, &rest.renditions, &listed)?;
    Ok(Figures {
        lowest_wall_s,
        lowest_cpu_s,
        rest_cpu_s: cpu_s()? - cpu_began_s,
        rest_wall_s: began.elapsed().as_secs_f64(),
        rest_finished: told.try_iter().collect(),
        renditions: asked_for(&Ladder::for_source(&probe)),
    })
}

fn package(
    work: &Path,
    out: &Path,
    fresh: &[RenditionInfo],
    listed: &[RenditionInfo],
) -> Result<(), BenchError> {
    for info in fresh {
        let folder: PathBuf = out.join(&info.id);
        fs::create_dir_all(&folder)?;
        split_mezzanine(&mezzanine_path(work, &info.id), info, &folder)?;
        fs::write(folder.join(HLS_MEDIA), compose_hls_media(info)?)?;
    }
    fs::write(out.join(HLS_MASTER), compose_hls_master(listed)?)?;
    fs::write(out.join(DASH_MANIFEST), compose_dash(listed)?)?;
    Ok(())
}

fn asked_for(ladder: &Ladder) -> Vec<RenditionFigures> {
    let video = ladder.video.iter().map(|rung| RenditionFigures {
        id: rung.id.clone(),
        width: rung.width,
        height: rung.height,
        bitrate_bps: rung.bitrate_bps,
    });
    let audio = ladder.audio.iter().map(|rung| RenditionFigures {
        id: rung.id.clone(),
        width: 0,
        height: 0,
        bitrate_bps: rung.bitrate_bps,
    });
    video.chain(audio).collect()
}

/// Processor time of this process and of its children that have ended, seconds (proc_pid_stat(5), fields 14 to 17).
fn cpu_s() -> Result<f64, io::Error> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let ticks = cpu_ticks(&text).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "/proc/self/stat is of no known form",
        )
    })?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn cpu_ticks(stat: &str) -> Option<u64> {
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut sum = 0_u64;
    for _ in 0..4 {
        sum += fields.next()?.parse::<u64>().ok()?;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 1 0 5 6 7";
        assert_eq!(cpu_ticks(stat), Some(4330));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
        assert!(cpu_s().unwrap() >= 0.0);
    }
}
