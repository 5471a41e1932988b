//! What a file really is: demuxed, not believed.
