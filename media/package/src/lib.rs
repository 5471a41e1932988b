//! CMAF segments, HLS and DASH manifests over one segment set.
