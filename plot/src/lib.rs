//! Charts over time on one page of HTML that needs nothing beside it: the demo's report, the simulation's day.

mod chart;

pub use chart::{Axis, Chart, Look, Series};

/// A page of charts.
pub struct Page<'a> {
    /// Its heading.
    pub title: &'a str,
    /// What it shows, HTML.
    pub intro: &'a str,
    /// Figures, each with its name.
    pub cards: &'a [(&'a str, String)],
    /// The time axis of all charts.
    pub axis: &'a Axis,
    /// The charts, from top to bottom.
    pub charts: &'a [Chart],
    /// What follows them, HTML.
    pub after: &'a str,
}

/// The page as HTML.
pub fn html(page: &Page<'_>) -> String {
    let Page { title, intro, cards, axis, charts, after } = page;
    let charts: String = charts.iter().map(|chart| chart::html(chart, axis)).collect();
    let cards: String =
        cards.iter().map(|(name, value)| format!("<div><b>{value}</b>{name}</div>")).collect();
    format!(
        r#"<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{css}</style>
<main>
<h1>{title}</h1>
<p>{intro}</p>
<section class="cards">{cards}</section>
{charts}
{after}
</main>
<div id="tip" hidden></div>
<script>const times = {times};
{js}</script>
</html>
"#,
        times = serde_json::json!(axis.times),
        css = include_str!("page.css"),
        js = include_str!("page.js"),
    )
}

/// A number with a comma before each three digits.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_page_needs_nothing_beside_it() {
        let axis = Axis { times: vec![0.0, 60.0], steps: vec![(0.0, "Begin".into())] };
        let series = Series {
            name: "pods".into(),
            color: "--blue",
            values: vec![Some(1.0), Some(2.0)],
            look: Look::Steps,
        };
        let chart = Chart::lines("Pods", "pods", vec![series], Some((3.0, "most")));
        let cards = [("pods at most", "2".into())];
        let page = Page {
            title: "A day",
            intro: "It passes.",
            cards: &cards,
            axis: &axis,
            charts: &[chart],
            after: "",
        };
        let page = html(&page);
        for outside in ["http:", "https:", "src=", "<link", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<svg").count(), 1);
        assert!(page.contains("<b>2</b>pods at most"));
    }
}
