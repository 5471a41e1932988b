//! Which renditions a plan pays for, by the names of their folders: `v720` is 720 pixels high, `a128` has 128 kb/s.

/// The best that a viewer may have; 0 is without limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RenditionLimits {
    /// The highest picture, pixels.
    pub max_height: u32,
    /// The highest rate of sound, kb/s.
    pub max_audio_kbps: u32,
}

impl RenditionLimits {
    /// May this part of an item (what follows its id in the path) be had? Manifests and art always; a folder whose
    /// number cannot be read is above every limit.
    #[must_use]
    pub fn allow(&self, rest: &str) -> bool {
        let Some((folder, _)) = rest.split_once('/') else {
            return true;
        };
        let (limit, number) = match folder.as_bytes() {
            [b'v', number @ ..] => (self.max_height, number),
            [b'a', number @ ..] => (self.max_audio_kbps, number),
            _ => return true,
        };
        // The first digits count: whatever `v1080hdr` may come to be, it is no less than `v1080`.
        let digits = number.iter().take_while(|b| b.is_ascii_digit()).count();
        if limit == 0 || digits == 0 {
            return true;
        }
        let read = std::str::from_utf8(&number[..digits]).ok();
        read.and_then(|digits| digits.parse::<u32>().ok())
            .is_some_and(|number| number <= limit)
    }

    /// What both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let lower = |a: u32, b: u32| match (a, b) {
            (0, limit) | (limit, 0) => limit,
            (a, b) => a.min(b),
        };
        Self {
            max_height: lower(self.max_height, other.max_height),
            max_audio_kbps: lower(self.max_audio_kbps, other.max_audio_kbps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_limit_is_refused_and_nothing_else() {
        let limits = RenditionLimits {
            max_height: 720,
            max_audio_kbps: 128,
        };
        for rest in [
            "manifest.m3u8",
            "v360/1.m4s",
            "v720/init.mp4",
            "v720hdr/1.m4s",
            "a128/1.m4s",
            "a64/index.m3u8",
            "art/1.jpg",
            "v/1",
            "audio/1",
            "subtitles/ng.vtt",
            "v0720/1.m4s",
        ] {
            assert!(limits.allow(rest), "{rest}");
        }
        for rest in [
            "v721/1.m4s",
            "v1080/1.m4s",
            "v1080hdr/1.m4s",
            "v99999999999/1.m4s",
            "v01080/1.m4s",
            "a192/1.m4s",
            "a320lossless/1.m4s",
        ] {
            assert!(!limits.allow(rest), "{rest}");
            assert!(RenditionLimits::default().allow(rest), "{rest}");
        }
    }

    #[test]
    fn two_limits_are_the_lower_one() {
        let of = |max_height, max_audio_kbps| RenditionLimits {
            max_height,
            max_audio_kbps,
        };
        assert_eq!(of(0, 128).and(of(720, 320)), of(720, 128));
        assert_eq!(of(1080, 0).and(of(720, 0)), of(720, 0));
    }
}
