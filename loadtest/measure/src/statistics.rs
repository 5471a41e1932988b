//! The few formulas that judging needs.

/// The lower end of Wilson's score interval (Wilson, JASA 22, 1927) for `count` of `whole`; 0 for none of none.
pub(crate) fn wilson_low(count: u64, whole: u64, z: f64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let n = whole as f64;
    let share = count as f64 / n;
    let square = z * z;
    let middle = share + square / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + square / (4.0 * n * n)).sqrt();
    ((middle - half) / (1.0 + square / n)).max(0.0)
}

/// Student's t for a normal z and degrees of freedom, by the first two terms of the Cornish-Fisher expansion (Abramowitz and Stegun,
/// 26.7.5): within 2 % from 9 degrees on.
pub(crate) fn student(z: f64, freedom: f64) -> f64 {
    let freedom = freedom.max(1.0);
    let square = z * z;
    let first = (square + 1.0) / 4.0;
    let second = (5.0 * square * square + 16.0 * square + 3.0) / 96.0;
    z * (1.0 + first / freedom + second / (freedom * freedom))
}

/// The standard deviation of a sample; 0 for fewer than two.
pub(crate) fn deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum();
    (squares / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilsons_interval_is_the_papers() {
        // Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 and 15 of 148 at 95 %.
        assert!((wilson_low(81, 263, 1.959_964) - 0.2553).abs() < 5e-5);
        assert!((wilson_low(15, 148, 1.959_964) - 0.0624).abs() < 5e-5);
        assert_eq!(wilson_low(0, 20, 1.96), 0.0);
        assert_eq!(wilson_low(0, 0, 1.96), 0.0);
    }

    #[test]
    fn students_t_is_close_to_the_tables() {
        for (z, freedom, table) in [
            (3.2905, 29.0, 3.659),
            (3.2905, 9.0, 4.781),
            (1.96, 10.0, 2.228),
            (1.96, 99.0, 1.984),
        ] {
            assert!(
                (student(z, freedom) / table - 1.0).abs() < 0.02,
                "{z} {freedom}"
            );
        }
    }

    #[test]
    fn a_deviation_is_of_a_sample() {
        assert!(
            (deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) - 2.138_089_935).abs() < 1e-8
        );
        assert_eq!(deviation(&[3.0]), 0.0);
    }
}
