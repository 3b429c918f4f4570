//! Timestamps of log lines: UTC with microseconds, in the format of RFC 3339.

use std::time::{SystemTime, UNIX_EPOCH};

use super::number;

/// Length of a timestamp, up to the year 9999.
const LENGTH: usize = "2026-05-04T09:30:12.481920Z".len();

/// Offset of the fraction of the second.
const FRACTION: usize = "2026-05-04T09:30:12.".len();

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

/// A formatter of timestamps. It keeps the last one, because most timestamps differ from the one
/// before only in the fraction of the second.
#[derive(Debug)]
pub(super) struct Clock {
    /// The second that `text` shows, counted from the epoch.
    second: u64,
    text: [u8; LENGTH],
}

impl Default for Clock {
    fn default() -> Clock {
        Clock {
            second: 0,
            text: *b"1970-01-01T00:00:00.000000Z",
        }
    }
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock::default()
    }

    /// Formats `time`. Times before 1970 are shown as the epoch.
    pub(super) fn format(&mut self, time: SystemTime) -> &[u8] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if since.as_secs() != self.second {
            self.show_second(since.as_secs());
        }
        let fraction = number::digits::<6>(since.subsec_micros());
        self.text[FRACTION..LENGTH - 1].copy_from_slice(&fraction);
        &self.text
    }

    fn show_second(&mut self, second: u64) {
        self.second = second;
        let (year, month, day) = date(second / SECONDS_PER_DAY);
        let of_day = u32::try_from(second % SECONDS_PER_DAY).unwrap_or(0);
        self.text[0..4].copy_from_slice(&number::digits::<4>(year));
        let pairs = [month, day, of_day / 3600, of_day / 60 % 60, of_day % 60];
        for (index, pair) in pairs.into_iter().enumerate() {
            let start = "2026-".len() + index * "05-".len();
            self.text[start..start + 2].copy_from_slice(&number::digits::<2>(pair));
        }
    }
}

/// Converts a number of days since the epoch to year, month and day of the Gregorian calendar.
fn date(day: u64) -> (u32, u32, u32) {
    // Years start in March here, so that a leap day is the last day of its year. Every era of 400
    // years has the same number of days.
    const DAYS_PER_ERA: u64 = 146_097;
    let day = day + 719_468;
    let era = day / DAYS_PER_ERA;
    let day_of_era = day % DAYS_PER_ERA;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year_after) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year_of_era + year_after;
    let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    (small(year), small(month), small(day_of_month))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn timestamps() {
        let mut clock = Clock::new();
        let mut check = |micros: u64, expected: &str| {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(clock.format(time), expected.as_bytes());
        };
        check(0, "1970-01-01T00:00:00.000000Z");
        check(1_777_887_012_481_920, "2026-05-04T09:30:12.481920Z");
        check(1_777_887_012_000_001, "2026-05-04T09:30:12.000001Z");
        check(951_782_399_999_999, "2000-02-28T23:59:59.999999Z");
        check(951_782_400_000_000, "2000-02-29T00:00:00.000000Z");
        check(4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z");
        check(253_402_300_799_000_000, "9999-12-31T23:59:59.000000Z");
    }

    proptest! {
        #[test]
        fn every_time_is_shown_as_it_is(
            seconds in 0u64..253_402_300_800,
            nanos in 0u32..1_000_000_000,
        ) {
            let time = UNIX_EPOCH + Duration::new(seconds, nanos);
            let mut clock = Clock::new();
            let text = str::from_utf8(clock.format(time)).unwrap();
            prop_assert_eq!(parse(text), (seconds, nanos / 1000));
        }
    }

    /// Parses a timestamp into seconds and microseconds, counting day by day.
    fn parse(text: &str) -> (u64, u32) {
        let part = |range: std::ops::Range<usize>| text[range].parse::<u64>().unwrap();
        let is_leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let year = part(0..4);
        let months = [
            31,
            28 + u64::from(is_leap(year)),
            31,
            30,
            31,
            30,
            31,
            31,
            30,
            31,
            30,
            31,
        ];
        let days = (1970..year)
            .map(|year| 365 + u64::from(is_leap(year)))
            .sum::<u64>()
            + months[..usize::try_from(part(5..7)).unwrap() - 1]
                .iter()
                .sum::<u64>()
            + part(8..10)
            - 1;
        let seconds =
            days * SECONDS_PER_DAY + part(11..13) * 3600 + part(14..16) * 60 + part(17..19);
        (seconds, u32::try_from(part(20..26)).unwrap())
    }
}
