//! A viewer without a screen: every playlist and every segment of an item, checked for wholeness.

use std::time::Duration;

use m3u8_rs::{MasterPlaylist, MediaPlaylist, Playlist};
use tokio::time::Instant;
use url::Url;

use crate::client::Client;
use crate::error::ClusterError;

/// How long between tries while something is away.
const PAUSE: Duration = Duration::from_millis(200);

fn broken(what: &str, why: impl std::fmt::Display) -> ClusterError {
    ClusterError::Broken(format!("{what}: {why}"))
}

fn join(base: &Url, relative: &str) -> Result<Url, ClusterError> {
    base.join(relative).map_err(|error| broken(relative, error))
}

async fn master(client: &Client, url: &Url) -> Result<MasterPlaylist, ClusterError> {
    let bytes = client.bytes(url.as_str()).await?;
    match m3u8_rs::parse_playlist_res(&bytes) {
        Ok(Playlist::MasterPlaylist(playlist)) => Ok(playlist),
        Ok(Playlist::MediaPlaylist(_)) => Err(broken(url.as_str(), "is no multivariant playlist")),
        Err(error) => Err(broken(url.as_str(), error)),
    }
}

async fn media(client: &Client, url: &Url) -> Result<MediaPlaylist, ClusterError> {
    let bytes = client.bytes(url.as_str()).await?;
    let playlist =
        m3u8_rs::parse_media_playlist_res(&bytes).map_err(|error| broken(url.as_str(), error))?;
    if !playlist.end_list || playlist.segments.is_empty() {
        return Err(broken(url.as_str(), "is not a whole playlist"));
    }
    Ok(playlist)
}

/// Top-level boxes (ISO/IEC 14496-12 section 4.2) that fill the bytes exactly, so nothing is cut off.
fn check_boxes(url: &Url, bytes: &[u8]) -> Result<(), ClusterError> {
    let mut rest = bytes;
    while let Some((size, _)) = rest.split_first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        if size < 8 || size > rest.len() {
            return Err(broken(
                url.as_str(),
                format!("a box of {size} bytes where {} are left", rest.len()),
            ));
        }
        rest = &rest[size..];
    }
    if rest.is_empty() && !bytes.is_empty() {
        return Ok(());
    }
    Err(broken(url.as_str(), "ends inside a box"))
}

/// Fetches every rendition's every segment once; returns how many segments there were.
///
/// # Errors
/// [`ClusterError::Broken`] for wrong bytes; another for what could not be had.
pub async fn fetch_all(client: &Client, content_id: &str) -> Result<usize, ClusterError> {
    let session = client.play(content_id).await?;
    let base = Url::parse(&session.hls_url).map_err(|error| broken(&session.hls_url, error))?;
    let master = master(client, &base).await?;
    let variants = master.variants.iter().map(|variant| variant.uri.clone());
    let alternatives = master
        .alternatives
        .iter()
        .filter_map(|alternative| alternative.uri.clone());
    let mut playlists: Vec<String> = variants.chain(alternatives).collect();
    playlists.sort();
    playlists.dedup();
    let mut segments = 0;
    for playlist in playlists {
        let url = join(&base, &playlist)?;
        let media = media(client, &url).await?;
        let map = media
            .segments
            .first()
            .and_then(|segment| segment.map.as_ref())
            .map(|map| map.uri.clone());
        for name in map
            .into_iter()
            .chain(media.segments.iter().map(|segment| segment.uri.clone()))
        {
            let segment = join(&url, &name)?;
            check_boxes(&segment, &client.bytes(segment.as_str()).await?)?;
            segments += 1;
        }
    }
    Ok(segments)
}

/// [`fetch_all`], again and again until it succeeds. Wrong bytes end it at once.
///
/// # Errors
/// Those of [`fetch_all`], the last ones when `limit` passes.
pub async fn fetch_all_within(
    client: &Client,
    content_id: &str,
    limit: Duration,
) -> Result<usize, ClusterError> {
    let until = Instant::now() + limit;
    loop {
        match fetch_all(client, content_id).await {
            Ok(segments) => return Ok(segments),
            Err(error @ ClusterError::Broken(_)) => return Err(error),
            Err(error) if Instant::now() >= until => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_that_was_cut_off_is_seen() {
        let url = Url::parse("http://pop/1.m4s").expect("a URL");
        let whole = [&[0, 0, 0, 12][..], b"moof", &[0; 4], &[0, 0, 0, 8], b"mdat"].concat();
        assert!(check_boxes(&url, &whole).is_ok());
        for cut in [0, 3, 11, 13, 19] {
            assert!(check_boxes(&url, &whole[..cut]).is_err(), "cut at {cut}");
        }
    }
}
