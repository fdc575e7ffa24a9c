//! How far another organisation's clock is from ours, by the time that its node says in Hello.
//!
//! What is signed is good from a time to a time, so clocks that differ by more than the tolerated half minute make
//! partners refuse each other's grants and delegations. The difference is told when they meet, before that.

use oc_trust::SKEW_MS;

/// How many milliseconds a clock is ahead of ours, negative where it is behind. It said `said_ms` at some moment
/// from `earliest_ms` to `latest_ms` by our clock; what that moment may explain is no difference. A node that says
/// nothing (0) shows none.
pub(crate) fn skew_ms(said_ms: u64, earliest_ms: u64, latest_ms: u64) -> i64 {
    if said_ms == 0 {
        return 0;
    }
    let apart = |from: u64| {
        let apart = i128::from(said_ms) - i128::from(from);
        i64::try_from(apart).unwrap_or(if apart < 0 { i64::MIN } else { i64::MAX })
    };
    if said_ms < earliest_ms {
        return apart(earliest_ms);
    }
    apart(latest_ms).max(0)
}

/// What to say where the clocks differ by more than is tolerated.
pub(crate) fn alarm(skew_ms: i64) -> Option<String> {
    if skew_ms.unsigned_abs() <= SKEW_MS {
        return None;
    }
    let side = if skew_ms > 0 { "ahead of" } else { "behind" };
    let seconds = skew_ms.unsigned_abs() / 1000;
    Some(format!(
        "its clock is {seconds} s {side} ours, {} s are tolerated: set both clocks by NTP",
        SKEW_MS / 1000
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_round_trip_is_no_difference() {
        assert_eq!(skew_ms(1_000, 900, 1_100), 0);
        assert_eq!(skew_ms(900, 900, 1_100), 0);
        assert_eq!(skew_ms(1_100, 900, 1_100), 0);
        assert_eq!(skew_ms(1_101, 900, 1_100), 1);
        assert_eq!(skew_ms(800, 900, 1_100), -100);
        assert_eq!(skew_ms(u64::MAX, 900, 1_100), i64::MAX);
    }

    #[test]
    fn a_node_that_says_no_time_shows_no_difference() {
        assert_eq!(skew_ms(0, 900, 1_100), 0);
    }

    #[test]
    fn more_than_half_a_minute_raises_an_alarm_that_says_whose_clock_is_ahead() {
        assert_eq!(alarm(30_000), None);
        assert_eq!(alarm(-30_000), None);
        assert!(alarm(95_000).unwrap().contains("95 s ahead of ours"));
        assert!(alarm(-30_001).unwrap().contains("30 s behind ours"));
        assert!(alarm(i64::MIN).is_some());
    }
}
