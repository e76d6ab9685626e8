//! Spans of time as people write them.

use std::time::Duration;

use crate::ParseError;

/// Reads a span like `90s`, `10m`, `26h`, `35d`, `1h30m`, and `0`.
///
/// Errors: what is no such text, or longer than 2^64 seconds.
pub fn parse_span(text: &str) -> Result<Duration, ParseError> {
    let rule = "write it like 90s, 10m, 26h, 35d or 1h30m";
    let wrong = || ParseError::new("span of time", text, rule);
    let (mut rest, mut seconds) = (text.trim(), 0u64);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let unit = match tail.bytes().next() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => 86_400,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let more = number.checked_mul(unit).ok_or_else(wrong)?;
        seconds = seconds.checked_add(more).ok_or_else(wrong)?;
        rest = &tail[1..];
    }
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_nonsense_is_refused() {
        let seconds = |text| parse_span(text).map(|it| it.as_secs());
        assert_eq!(seconds("1h30m"), Ok(5400));
        assert_eq!(seconds("2d"), Ok(172_800));
        assert_eq!(seconds("0"), Ok(0));
        for text in [
            "",
            "5",
            "m",
            "1h30",
            "1w",
            "-1s",
            "99999999999999999999s",
            "300000000000000d",
        ] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }
}
