//! A handshake as Node shows it: what other servers get with `fetchSockets`.

use serde_json::{Map, Value, json};

use crate::engine::Handshake;
use crate::packet::Payload;

/// `socket.handshake`.
pub(super) fn to_json(handshake: &Handshake, auth: Option<&Payload>) -> Value {
    let headers: Map<_, _> =
        handshake.headers().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let query: Map<_, _> =
        handshake.queries().map(|(name, value)| (name.into_owned(), value.into_owned().into())).collect();
    json!({
        "headers": headers,
        "time": time(handshake.issued()),
        "address": handshake.peer().ip().to_string(),
        "xdomain": handshake.header("origin").is_some(),
        // TLS ends at the load balancer.
        "secure": false,
        "issued": handshake.issued(),
        "url": handshake.url(),
        "query": query,
        "auth": auth.and_then(|auth| auth.parse::<Value>().ok()).unwrap_or_else(|| json!({})),
    })
}

/// As JavaScript's `Date` writes itself, in UTC.
fn time(millis: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = millis / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date from days since 1970, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    format!(
        "{} {} {day:02} {year} {:02}:{:02}:{:02} GMT+0000 (Coordinated Universal Time)",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn time_is_written_as_in_javascript() {
        let gmt = |text: &str| format!("{text} GMT+0000 (Coordinated Universal Time)");
        assert_eq!(super::time(0), gmt("Thu Jan 01 1970 00:00:00"));
        assert_eq!(super::time(951_782_400_000), gmt("Tue Feb 29 2000 00:00:00"));
        assert_eq!(super::time(1_798_761_599_999), gmt("Thu Dec 31 2026 23:59:59"));
    }
}
