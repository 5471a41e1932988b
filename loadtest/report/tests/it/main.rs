//! Reports, comparisons and live views of made-up runs.
