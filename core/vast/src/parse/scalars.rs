//! Single values of VAST.

use crate::{bounds::DURATION_MS_MAX, model::Offset};

/// `HH:MM:SS` or `HH:MM:SS.mmm` in milliseconds, up to an hour.
pub(super) fn time_ms(text: &str) -> Option<u32> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, max| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || ![hours, minutes, seconds].iter().all(|part| digits(part, 2)) || !digits(fraction, 3) {
        return None;
    }
    let number = |part: &str| part.parse::<u32>().ok();
    let (hours, minutes, seconds) = (number(hours)?, number(minutes)?, number(seconds)?);
    // Half a second is written .5, .50 or .500.
    let ms = ((hours * 60 + minutes) * 60 + seconds) * 1_000 + number(&format!("{fraction:0<3}"))?;
    (minutes < 60 && seconds < 60 && ms <= DURATION_MS_MAX).then_some(ms)
}

/// A time, or a percentage such as `25%`.
pub(super) fn offset(text: &str) -> Option<Offset> {
    let Some(percent) = text.strip_suffix('%') else { return time_ms(text).map(Offset::Time) };
    percent.parse().ok().filter(|percent| *percent <= 100).map(Offset::Percent)
}

/// A price such as `25.00` in millionths.
pub(super) fn micros(text: &str) -> Option<i64> {
    let (units, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str, max| (1..=max).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(units, 9) || !digits(decimals, 6) {
        return None;
    }
    let (units, decimals): (i64, i64) = (units.parse().ok()?, format!("{decimals:0<6}").parse().ok()?);
    Some(units * 1_000_000 + decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_to_the_millisecond_and_anything_else_is_none() {
        for (text, ms) in [
            ("00:00:16", Some(16_000)),
            ("00:01:00.5", Some(60_500)),
            ("00:00:15.033", Some(15_033)),
            ("1:00:00", Some(3_600_000)),
            ("01:00:00.001", None),
            ("00:60:00", None),
            ("00:00:60", None),
            ("16", None),
            ("00:16", None),
            ("00:00:00:16", None),
            ("00:00:-1", None),
            ("00:00:+1", None),
            ("00:00:16.1234", None),
            ("00:00:16.", None),
            ("", None),
        ] {
            assert_eq!(time_ms(text), ms, "{text:?}");
        }
        assert_eq!(offset("25%"), Some(Offset::Percent(25)));
        assert_eq!(offset("00:00:05"), Some(Offset::Time(5_000)));
        assert_eq!((offset("101%"), offset("-1%"), offset("%"), offset("5")), (None, None, None, None));
        assert_eq!((Offset::Percent(33).ms(3_600_000), Offset::Time(7).ms(1)), (1_188_000, 7));
    }

    #[test]
    fn a_price_is_read_exactly() {
        for (text, value) in [
            ("25.00", Some(25_000_000)),
            ("0.000001", Some(1)),
            ("7", Some(7_000_000)),
            ("-1", None),
            ("1e3", None),
            ("1.2.3", None),
            ("1,5", None),
            ("9999999999", None),
        ] {
            assert_eq!(micros(text), value, "{text:?}");
        }
    }
}
