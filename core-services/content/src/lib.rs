//! The content service: the record, its status and its visibility.
