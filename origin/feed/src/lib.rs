//! The edge feed: purges, revocations and keys, in order, to every edge and to the peer region.
