//! Records where they are known to lie: read past the storage engine, and forgotten when they are not there.

use std::ops::Range;
use std::sync::Arc;

use mcsp_edge_mapped::Part as FilePart;

use super::direct::{self, Part, Unread, Wait};
use super::mapped::Mapped;
use super::medium::Loaded;
use super::places::{Place, Places};
use super::record::RecordKey;
use super::spare::Spare;

/// Where records lie, and memory to read them into.
#[derive(Debug)]
pub(super) struct InPlace {
    pub(super) places: Arc<Places>,
    spare: Arc<Spare>,
    mapped: Mapped,
}

/// A part of a record that is to be read.
#[derive(Debug)]
pub(super) struct Lying {
    key: RecordKey,
    place: Place,
    part: Part,
    /// Is it all of it?
    is_whole: bool,
}

impl Lying {
    /// Reads and checks it.
    pub(super) fn read(&mut self, wait: Wait) -> Result<(), Unread> {
        self.part.read(self.place.file.file(), wait)
    }
}

impl InPlace {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self {
            places,
            spare: Arc::default(),
            mapped: Mapped::default(),
        }
    }

    /// Bytes of memory that lie idle.
    pub(super) fn spare_bytes(&self) -> u64 {
        self.spare.bytes()
    }

    /// The whole record, if the kernel has it in memory.
    pub(super) fn whole_now(&self, key: RecordKey) -> Option<Loaded> {
        let place = self.places.find(key)?;
        match direct::whole(place.file.file(), place.extent, key, Wait::No) {
            Ok(whole) if place.print.is_none_or(|print| print == whole.print) => Some(Loaded {
                content: whole.content,
                is_leaving: self.places.is_leaving(place.block),
            }),
            Err(Unread::WouldWait) => None,
            Ok(_) | Err(Unread::NotThere) => {
                self.places.is_not(key, &place);
                None
            }
        }
    }

    /// A part of a record; nothing when it is not known where that lies, or it is not so long.
    pub(super) fn find_part(&self, key: RecordKey, within: Range<usize>) -> Option<Lying> {
        let place = self.places.find(key)?;
        let is_whole = within.start == 0 && place.extent.is_of(within.end);
        let Some(part) = Part::of(place.extent, key, within, &self.spare) else {
            self.places.is_not(key, &place);
            return None;
        };
        Some(Lying {
            key,
            place,
            part,
            is_whole,
        })
    }

    /// Where a part of a record may be sent from as it lies: where all of it was checked, and it does not leave soon, so that it
    /// need not be read to be written again.
    pub(super) fn lying(&self, key: RecordKey, within: Range<usize>) -> Option<FilePart> {
        let place = self.places.find(key)?;
        if !place.is_checked || self.places.is_leaving(place.block) {
            return None;
        }
        let range = place.extent.part(within)?;
        let file = place.file;
        self.mapped.map(&file);
        Some(FilePart { file, range })
    }

    /// What has the kernel begin to fetch the record after this one, which is likely to be read next. It blocks its thread for a
    /// moment.
    pub(super) fn fetch_ahead(&self, key: RecordKey) -> Option<impl FnOnce() + Send + use<>> {
        let next = key.next()?;
        let place = self.places.find(next)?;
        let places = Arc::clone(&self.places);
        Some(move || {
            // Nobody checks what comes so.
            places.note_checked(next, &place, false);
            direct::fetch_ahead(place.file.file(), place.extent);
        })
    }

    /// What came of reading it.
    pub(super) fn part_loaded(&self, lying: Lying, read: Result<(), Unread>) -> Option<Loaded> {
        let Lying {
            key,
            place,
            part,
            is_whole,
        } = lying;
        match read {
            Ok(()) => {
                if is_whole {
                    self.places.note_checked(key, &place, true);
                }
                Some(Loaded {
                    content: part.into_bytes()?,
                    is_leaving: is_whole && self.places.is_leaving(place.block),
                })
            }
            Err(Unread::WouldWait) => {
                // The kernel may have begun to fetch it all the same.
                self.places.note_checked(key, &place, false);
                None
            }
            Err(Unread::NotThere) => {
                self.places.is_not(key, &place);
                None
            }
        }
    }
}
