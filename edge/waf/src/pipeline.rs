//! Transformations one after another, and what of their result is known without applying them.

use crate::bytemap::ByteSet;
use crate::transform::Transformation;

/// A rule's transformations, in order.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    steps: Vec<Transformation>,
    /// No step makes something of every value.
    may_leave: bool,
    /// Bytes that some step looks for.
    touches: ByteSet,
    /// The same without making letters small, and with both cases of each letter where they are made small.
    touches_but_case: ByteSet,
    lowers: bool,
}

impl Pipeline {
    pub(crate) fn new(steps: Vec<Transformation>) -> Self {
        let lowers = steps.contains(&Transformation::Lowercase);
        let (mut touches, mut touches_but_case) = (ByteSet::EMPTY, ByteSet::EMPTY);
        for step in &steps {
            touches.extend(step.touches());
            if *step != Transformation::Lowercase {
                touches_but_case.extend(step.touches());
            }
        }
        if lowers {
            for letter in b'a'..=b'z' {
                if touches_but_case.has(letter) {
                    touches_but_case.insert(letter.to_ascii_uppercase());
                }
            }
            touches.extend(&touches_but_case);
        }
        Self {
            may_leave: steps.iter().all(|step| step.may_leave()),
            steps,
            touches,
            touches_but_case,
            lowers,
        }
    }

    #[inline]
    pub(crate) fn steps(&self) -> &[Transformation] {
        &self.steps
    }

    /// Whether a value with these bytes goes through unchanged.
    #[inline]
    pub(crate) fn leaves(&self, bytes: &ByteSet) -> bool {
        self.may_leave && !bytes.meets(&self.touches)
    }

    /// Whether nothing is done to a value with these bytes but to make its letters small, if that is among the steps.
    #[inline]
    pub(crate) fn leaves_but_case(&self, bytes: &ByteSet) -> bool {
        self.may_leave && !bytes.meets(&self.touches_but_case)
    }

    /// Whether letters are made small.
    #[inline]
    pub(crate) fn lowers(&self) -> bool {
        self.lowers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn applied(steps: &[Transformation], value: &[u8]) -> Vec<u8> {
        steps.iter().fold(value.to_vec(), |value, step| {
            let mut result = Vec::new();
            step.apply(&value, &mut result);
            result
        })
    }

    proptest! {
        #[test]
        fn what_it_leaves_it_leaves(
            steps in prop::collection::vec(prop::sample::select(&Transformation::ALL[..]), 0..5),
            value in prop::collection::vec(prop::sample::select(&b"aAxXzZ09 %+&\\/.*-#\0\xa0\xc3^,;\"'(\t"[..]), 0..8),
        ) {
            let pipeline = Pipeline::new(steps.clone());
            let bytes = ByteSet::of(&value);
            if pipeline.leaves(&bytes) {
                assert_eq!(applied(&steps, &value), value);
            }
            if pipeline.leaves_but_case(&bytes) {
                let result = match pipeline.lowers() {
                    true => value.to_ascii_lowercase(),
                    false => value.clone(),
                };
                assert_eq!(applied(&steps, &value), result);
            }
        }
    }

    #[test]
    fn a_letter_counts_in_both_cases_where_it_is_made_small() {
        let pipeline = Pipeline::new(vec![
            Transformation::Lowercase,
            Transformation::SqlHexDecode,
        ]);
        assert!(!pipeline.leaves_but_case(&ByteSet::of(b"0X41")));
        assert!(pipeline.leaves_but_case(&ByteSet::of(b"0Y41")));
    }

    #[test]
    fn some_make_something_of_nothing() {
        let pipeline = Pipeline::new(vec![Transformation::Length]);
        assert!(!pipeline.leaves(&ByteSet::EMPTY));
    }
}
