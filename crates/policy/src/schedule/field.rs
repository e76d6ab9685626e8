//! One field of a schedule: numbers, ranges, steps, and lists of them.

/// A number of one or two digits.
pub(super) fn number(text: &str) -> Option<u32> {
    let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|it| it.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

/// A field's bounds and how it is written.
pub(super) struct Field<'f> {
    pub(super) low: u32,
    pub(super) high: u32,
    /// Between the ends of a range: `-` for cron, `..` for systemd.
    pub(super) range: &'f str,
    /// Reads a number or a name.
    pub(super) value: fn(&str) -> Option<u32>,
}

impl Field<'_> {
    /// The bits of `*`, `5`, `1-5`, `*/10`, `1-30/2`, `5/10`, and lists of them.
    pub(super) fn bits(&self, text: &str) -> Option<u64> {
        let mut bits = 0;
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, number(step).filter(|step| *step > 0)?),
                None => (part, 0),
            };
            let (first, last) = match range.split_once(self.range) {
                _ if matches!(range, "*" | "?") => (self.low, self.high),
                Some((first, last)) => ((self.value)(first)?, (self.value)(last)?),
                None if step > 0 => ((self.value)(range)?, self.high),
                None => ((self.value)(range)?, (self.value)(range)?),
            };
            if first < self.low || last > self.high || first > last {
                return None;
            }
            for bit in (first..=last).step_by(step.max(1) as usize) {
                bits |= 1 << bit;
            }
        }
        Some(bits)
    }
}
