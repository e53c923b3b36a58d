//! Figures as a person reads them.

/// Microseconds as a person reads them.
pub fn duration(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => format!("{:.2} ms", micros as f64 / 1e3),
        10_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A number per second as a person reads it: whole, unless it is small.
pub fn rate(per_second: f64) -> String {
    if per_second < 10.0 && per_second.fract() != 0.0 {
        format!("{per_second:.1}")
    } else {
        number(per_second.round() as u64)
    }
}

/// A number with its thousands apart.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        for (micros, text) in
            [(0, "0 µs"), (999, "999 µs"), (1_500, "1.50 ms"), (25_040, "25.0 ms"), (2_000_000, "2.00 s")]
        {
            assert_eq!(duration(micros), text);
        }
        for (value, text) in [(0.5, "0.5"), (9.0, "9"), (99.6, "100"), (12_345.6, "12,346")] {
            assert_eq!(rate(value), text);
        }
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(number(value), text);
        }
    }
}
