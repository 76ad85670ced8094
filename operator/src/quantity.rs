//! Kubernetes quantities (`500m`, `2Gi`, `1e3`), as far as the operator looks into them: comparing what it planned
//! with the form that the API server stores, and reckoning Redis' memory.
//!
//! Own code, because the crates that do this bring a decimal library of 20 crates with them.

/// Thousandths of a unit, rounded up as Kubernetes does; `None` for what is not a quantity or too large.
///
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
pub fn millis(text: &str) -> Option<i128> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (binary, mut ten) = suffix_power(suffix)?;
    ten += 3 - i32::try_from(fraction.len()).ok()?;
    let mut value = digits.parse::<i128>().ok()?.checked_mul(1_i128.checked_shl(binary)?)?;
    if ten >= 0 {
        value = value.checked_mul(10_i128.checked_pow(ten.unsigned_abs())?)?;
    } else {
        let divisor = 10_i128.checked_pow(ten.unsigned_abs())?;
        value = value / divisor + i128::from(value % divisor != 0);
    }
    Some(if negative { -value } else { value })
}

/// Whole units, rounded up; `None` for what is not a quantity, negative or too large.
pub fn units(text: &str) -> Option<u64> {
    let millis = millis(text)?;
    u64::try_from(millis / 1000 + i128::from(millis % 1000 > 0)).ok()
}

/// Exponents of two and of ten.
fn suffix_power(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => {
            let exponent: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            (-30..=30).contains(&exponent).then_some((0, exponent))?
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_quantity() {
        for (text, expected) in [
            ("0", 0),
            ("1", 1000),
            ("250m", 250),
            ("0.5", 500),
            (".5", 500),
            ("5.", 5000),
            ("+2", 2000),
            ("-2", -2000),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("1E", 1_000_000_000_000_000_000_000),
            ("1500u", 2),
            ("1n", 1),
            ("2Ki", 2_048_000),
            ("1.5Gi", 1_610_612_736_000),
            ("100M", 100_000_000_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_quantity() {
        for text in
            ["", ".", "Mi", "1 Gi", "1gi", "1Gib", "0x10", "1e", "1e99", "--1", "1-1", "1.2.3", "ten", "1e+"]
        {
            assert_eq!(millis(text), None, "{text}");
        }
    }

    #[test]
    fn units_round_up() {
        assert_eq!(units("1001m"), Some(2));
        assert_eq!(units("1Gi"), Some(1 << 30));
        assert_eq!(units("-1"), None);
    }
}
