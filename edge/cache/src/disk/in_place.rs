//! Records where they are known to lie: read past the storage engine, and forgotten when they are not there.

use std::ops::Range;
use std::sync::Arc;

use mcsp_edge_mapped::Part as FilePart;

use super::direct::{self, Part, Unread, Wait, Whole};
use super::medium::Loaded;
use super::places::{Fetched, Place, Places};
use super::record::RecordKey;
use super::spare::Spare;

/// Where records lie, and memory to read them into.
#[derive(Debug)]
pub(super) struct InPlace {
    pub(super) places: Arc<Places>,
    spare: Arc<Spare>,
}

/// A record that is to be read in whole.
#[derive(Debug)]
pub(super) struct WholeLying {
    key: RecordKey,
    place: Place,
}

impl WholeLying {
    /// Reads and checks it, if the kernel has it in memory.
    pub(super) fn read_now(&self) -> Result<Whole, Unread> {
        direct::whole(
            self.place.file.file(),
            self.place.extent,
            self.key,
            Wait::No,
        )
    }

    /// Has the kernel fetch what is likely to be asked for next. Blocks its thread for a moment.
    pub(super) fn fetch_after(&self, places: &Places) -> Option<Fetched> {
        places.fetch_after(self.key, &self.place)
    }

    /// Reads and checks it, and has the kernel keep it. Blocks its thread.
    pub(super) fn read(&self, places: &Places) -> Result<Whole, Unread> {
        let whole = direct::whole(
            self.place.file.file(),
            self.place.extent,
            self.key,
            Wait::Yes,
        );
        places.keep_read(&self.place);
        whole
    }
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
    /// Reads and checks it, if the kernel has it in memory.
    pub(super) fn read_now(&mut self) -> Result<(), Unread> {
        self.part.read(self.place.file.file(), Wait::No)
    }

    /// Reads and checks it, and has the kernel keep the record. Blocks its thread.
    pub(super) fn read(&mut self, places: &Places) -> Result<(), Unread> {
        let read = self.part.read(self.place.file.file(), Wait::Yes);
        places.keep_read(&self.place);
        read
    }
}

impl InPlace {
    pub(super) fn new(places: Arc<Places>) -> Self {
        Self {
            places,
            spare: Arc::default(),
        }
    }

    /// Bytes of memory that lie idle.
    pub(super) fn spare_bytes(&self) -> u64 {
        self.spare.bytes()
    }

    /// A record; nothing when it is not known where it lies.
    pub(super) fn find_whole(&self, key: RecordKey) -> Option<WholeLying> {
        let place = self.places.find(key)?;
        Some(WholeLying { key, place })
    }

    /// What came of reading it.
    pub(super) fn whole_loaded(
        &self,
        lying: &WholeLying,
        read: Result<Whole, Unread>,
    ) -> Option<Loaded> {
        let WholeLying { key, place } = lying;
        match read {
            Ok(whole) if place.print.is_none_or(|print| print == whole.print) => Some(Loaded {
                content: whole.content,
                is_leaving: self.places.is_leaving(place.block),
            }),
            Err(Unread::WouldWait) => None,
            Ok(_) | Err(Unread::NotThere) => {
                self.places.is_not(*key, place);
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
        if !place.is_checked || self.places.are_distrusted() || self.places.is_leaving(place.block)
        {
            return None;
        }
        let range = place.extent.part(within)?;
        let file = place.file;
        self.places.mapped.map(&file);
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
            direct::fetch_ahead(place.file.file(), place.extent.range());
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
