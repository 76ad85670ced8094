//! Charts over time as inline SVG. All charts of a page share their time axis, so that what the pointer
//! shows in one shows in all.

use std::fmt::Write as _;

use serde_json::json;

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = 22.0;
/// An axis of so many seconds shows hours.
const LONG: f64 = 7_200.0;

/// The time axis: when the samples were taken and the steps began, seconds.
pub struct Axis {
    pub times: Vec<f64>,
    pub steps: Vec<(f64, String)>,
}

/// One line, or one layer of a stack; a value for each time.
pub struct Series {
    pub name: String,
    /// A CSS custom property, as in `--blue`.
    pub color: &'static str,
    pub values: Vec<Option<f64>>,
    pub look: Look,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Line,
    /// A value that holds until the next.
    Steps,
    /// Steps, dashed: what is wanted rather than what is.
    Wanted,
    /// A layer on top of the earlier ones; every other layer is paler.
    Layer {
        pale: bool,
    },
}

/// A chart with a legend.
pub struct Chart {
    pub title: &'static str,
    pub unit: &'static str,
    /// Name and color of each entry.
    pub legend: Vec<(String, &'static str)>,
    pub series: Vec<Series>,
    /// A level that should not be passed.
    pub limit: Option<(f64, &'static str)>,
}

impl Chart {
    /// Lines, each named in the legend.
    pub fn lines(
        title: &'static str,
        unit: &'static str,
        series: Vec<Series>,
        limit: Option<(f64, &'static str)>,
    ) -> Self {
        let legend = series.iter().map(|s| (s.name.clone(), s.color)).collect();
        Self { title, unit, legend, series, limit }
    }
}

impl Axis {
    fn end(&self) -> f64 {
        self.times.last().copied().unwrap_or(1.0).max(1.0)
    }

    fn x(&self, time: f64) -> f64 {
        LEFT + time / self.end() * (WIDTH - LEFT - RIGHT)
    }
}

/// The chart as HTML.
pub fn html(chart: &Chart, axis: &Axis) -> String {
    let Chart { title, unit, legend, series, limit } = chart;
    let layers = stacked(series);
    let highest = layers
        .iter()
        .flat_map(|(_, tops)| tops.iter().copied())
        .chain(limit.map(|l| l.0))
        .fold(0.0, f64::max);
    let tick = nice(highest / 4.0);
    let top = (highest / tick).ceil().max(1.0) * tick;
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);

    let mut svg = String::new();
    for (n, (began, name)) in axis.steps.iter().enumerate() {
        let ends = axis.steps.get(n + 1).map_or(axis.end(), |s| s.0);
        let (x, width) = (axis.x(*began), axis.x(ends) - axis.x(*began));
        let shade = if n % 2 == 0 { "band" } else { "band odd" };
        let _ = write!(
            svg,
            r#"<rect class="{shade}" x="{x:.1}" y="{TOP}" width="{width:.1}" height="{:.1}"/>"#,
            HEIGHT - TOP - BOTTOM
        );
        if width > name.len() as f64 * 6.5 {
            let _ = write!(svg, r#"<text class="step" x="{:.1}" y="{}">{name}</text>"#, x + 4.0, TOP - 7.0);
        }
    }
    for n in 0..=(top / tick).round() as usize {
        let value = n as f64 * tick;
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{}" y1="{1:.1}" y2="{1:.1}"/>"#,
            WIDTH - RIGHT,
            y(value)
        );
        let _ = write!(
            svg,
            r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{}</text>"#,
            LEFT - 6.0,
            y(value) + 3.5,
            short(value)
        );
    }
    let minute = if axis.end() < LONG { nice(axis.end() / 60.0 / 8.0).max(0.5) } else { 120.0 };
    let mut at = 0.0;
    while at * 60.0 <= axis.end() {
        let _ = write!(
            svg,
            r#"<text class="tick" x="{:.1}" y="{}" text-anchor="middle">{}</text>"#,
            axis.x(at * 60.0),
            HEIGHT - 6.0,
            clock(at * 60.0, axis.end())
        );
        at += minute;
    }
    for (series, (bottoms, tops)) in series.iter().zip(&layers) {
        svg.push_str(&drawn(series, bottoms, tops, axis, &y));
    }
    if let Some((value, name)) = limit {
        let _ = write!(
            svg,
            r#"<line class="limit" x1="{LEFT}" x2="{}" y1="{1:.1}" y2="{1:.1}"/>"#,
            WIDTH - RIGHT,
            y(*value)
        );
        let _ = write!(
            svg,
            r#"<text class="tick" x="{}" y="{:.1}" text-anchor="end">{name}</text>"#,
            WIDTH - RIGHT - 4.0,
            y(*value) - 4.0
        );
    }

    let keys: String = legend
        .iter()
        .map(|(name, color)| format!(r#"<span><i style="background:var({color})"></i>{name}</span>"#))
        .collect();
    let data = json!({
        "unit": unit,
        "series": series.iter().map(|s| json!({ "name": s.name, "color": s.color, "values": s.values })).collect::<Vec<_>>(),
    });
    format!(
        r#"<figure><figcaption><b>{title}</b> <small>{unit}</small><span class="legend">{keys}</span></figcaption>
<svg viewBox="0 0 {WIDTH} {HEIGHT}" data-left="{LEFT}" data-right="{RIGHT}" role="img" aria-label="{title}">{svg}<line class="cursor" y1="{TOP}" y2="{}"/></svg>
<script type="application/json">{data}</script></figure>
"#,
        HEIGHT - BOTTOM
    )
}

/// Bottom and top of each series at each time: layers stand on one another, lines on 0.
fn stacked(series: &[Series]) -> Vec<(Vec<f64>, Vec<f64>)> {
    let mut ground = vec![0.0; series.iter().map(|s| s.values.len()).max().unwrap_or(0)];
    series
        .iter()
        .map(|s| {
            let values = s.values.iter().map(|v| v.unwrap_or(0.0));
            match s.look {
                Look::Layer { .. } => {
                    let bottoms = ground.clone();
                    for (level, value) in ground.iter_mut().zip(values) {
                        *level += value;
                    }
                    (bottoms, ground.clone())
                }
                Look::Line | Look::Steps | Look::Wanted => (Vec::new(), values.collect()),
            }
        })
        .collect()
}

fn drawn(series: &Series, bottoms: &[f64], tops: &[f64], axis: &Axis, y: &impl Fn(f64) -> f64) -> String {
    let Series { name, color, values, look } = series;
    let point = |(time, value): (&f64, &f64)| format!("{:.1},{:.1}", axis.x(*time), y(*value));
    if let Look::Layer { pale } = look {
        let Some(first) = values.iter().position(Option::is_some) else { return String::new() };
        let last = values.iter().rposition(Option::is_some).unwrap_or(first);
        let times = &axis.times[first..=last];
        let over = times.iter().zip(&tops[first..=last]).map(point);
        let back = times.iter().zip(&bottoms[first..=last]).rev().map(point);
        let points = over.chain(back).collect::<Vec<_>>().join(" ");
        let opacity = if *pale { 0.55 } else { 0.85 };
        return format!(
            r#"<polygon points="{points}" style="fill:var({color});fill-opacity:{opacity}"><title>{name}</title></polygon>"#
        );
    }
    let mut path = String::new();
    let mut pen_down = false;
    for (time, value) in axis.times.iter().zip(values) {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let (x, y) = (axis.x(*time), y(*value));
        match (pen_down, look) {
            (false, _) => write!(path, "M{x:.1} {y:.1}"),
            (true, Look::Line) => write!(path, "L{x:.1} {y:.1}"),
            (true, _) => write!(path, "H{x:.1}V{y:.1}"),
        }
        .unwrap_or_default();
        pen_down = true;
    }
    let dashes = if *look == Look::Wanted { r#" stroke-dasharray="4 3""# } else { "" };
    format!(r#"<path d="{path}" style="stroke:var({color})"{dashes}><title>{name}</title></path>"#)
}

/// The next of 1, 2, 5, 10, 20, … that is not below `value`.
fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let magnitude = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|n| n * magnitude).find(|n| *n >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    if value >= 10_000.0 {
        format!("{}k", value / 1000.0)
    } else {
        format!("{}", (value * 100.0).round() / 100.0)
    }
}

/// Minutes and seconds, or hours and minutes on an axis that is hours long.
fn clock(seconds: f64, end: f64) -> String {
    let (seconds, unit) = (seconds as u64, if end < LONG { 1 } else { 60 });
    format!("{}:{:02}", seconds / unit / 60, seconds / unit % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!([0.0, 0.9, 3.0, 70.0, 201.0].map(nice), [1.0, 1.0, 5.0, 100.0, 500.0]);
    }

    #[test]
    fn layers_stand_on_one_another_and_lines_on_zero() {
        let series = |look, values: &[Option<f64>]| Series {
            name: "x".into(),
            color: "--blue",
            values: values.to_vec(),
            look,
        };
        let layer = Look::Layer { pale: false };
        let all = [
            series(layer, &[Some(1.0), None]),
            series(layer, &[Some(2.0), Some(5.0)]),
            series(Look::Line, &[Some(4.0), None]),
        ];
        let stacked = stacked(&all);
        assert_eq!(stacked[1], (vec![1.0, 0.0], vec![3.0, 5.0]));
        assert_eq!(stacked[2].1, [4.0, 0.0]);
    }
}
