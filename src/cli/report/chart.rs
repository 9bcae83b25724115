//! A line chart over time as inline SVG.

use std::fmt::Write;

use super::page::{escape, seconds_text};
use crate::exec::format_bytes;

const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 230.0;
/// Room for labels left, right, above and below the lines.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 26.0;

/// What the values are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    BytesPerSecond,
    CountPerSecond,
}

/// One line.
pub(super) struct Series {
    pub(super) name: &'static str,
    /// One value a time.
    pub(super) values: Vec<f64>,
}

/// Lines over time.
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    pub(super) times: &'a [f64],
    pub(super) series: Vec<Series>,
    /// A line that the others stay below.
    pub(super) ceiling: Option<(&'static str, f64)>,
    /// When another step of the query began.
    pub(super) steps: &'a [f64],
    /// What else the legend says.
    pub(super) note: Option<String>,
}

impl Unit {
    fn text(self, value: f64) -> String {
        match self {
            Unit::Bytes => format_bytes(value as u64),
            Unit::BytesPerSecond => format!("{}/s", format_bytes(value as u64)),
            Unit::CountPerSecond => format!("{}/s", short_count(value)),
        }
    }

    /// At a grid line, where the title says what is counted.
    fn label(self, value: f64) -> String {
        match self {
            Unit::Bytes | Unit::BytesPerSecond => format_bytes(value as u64).replace(".00 ", " ").replace(".0 ", " "),
            Unit::CountPerSecond => short_count(value),
        }
    }

    /// A round distance of grid lines, about five of which reach `most`.
    fn step(self, most: f64) -> f64 {
        let wanted = (most / 5.0).max(1.0);
        match self {
            Unit::Bytes | Unit::BytesPerSecond => 2f64.powf(wanted.log2().ceil()),
            Unit::CountPerSecond => round_step(wanted),
        }
    }
}

/// The least of 1, 2, 5, 10, 20, .. that is not below `wanted`.
fn round_step(wanted: f64) -> f64 {
    let power = 10f64.powf(wanted.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| *step >= wanted * 0.999).unwrap_or(10.0 * power)
}

/// `1234567` as `1.2 M`.
pub(super) fn short_count(value: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) if value / size < 10.0 && (value / size).fract() > 0.05 => {
            format!("{:.1}{unit}", value / size)
        }
        Some((size, unit)) => format!("{:.0}{unit}", value / size),
        None => format!("{value:.0}"),
    }
}

impl<'a> Chart<'a> {
    /// An empty chart over the same time.
    pub(super) fn like(&self, times: &'a [f64], steps: &'a [f64]) -> Chart<'a> {
        Chart { title: self.title, unit: self.unit, times, series: Vec::new(), ceiling: None, steps, note: None }
    }

    fn most(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| series.values.iter().copied());
        values.chain(self.ceiling.map(|(_, value)| value)).fold(1.0, f64::max)
            * if self.ceiling.is_some() { 1.14 } else { 1.06 }
    }

    fn x(&self, seconds: f64) -> f64 {
        let last = self.times.last().copied().unwrap_or(1.0).max(1e-6);
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / last).clamp(0.0, 1.0)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / self.most()).clamp(0.0, 1.0)
    }

    /// The chart with its title and legend.
    pub(super) fn to_html(&self) -> String {
        let mut svg = String::new();
        self.draw_grid(&mut svg);
        for (idx, series) in self.series.iter().enumerate() {
            self.draw_line(series, idx, &mut svg);
        }
        self.draw_ceiling(&mut svg);
        format!(
            "<figure data-points=\"{}\"><figcaption>{}{}</figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} over time\">\n{svg}\
             <line class=\"cursor\" y1=\"{TOP}\" y2=\"{}\"/></svg><output></output></figure>\n",
            escape(&self.points()),
            self.title,
            self.legend(),
            self.title,
            HEIGHT - BOTTOM,
        )
    }

    fn draw_grid(&self, svg: &mut String) {
        let step = self.unit.step(self.most());
        let mut value = 0.0;
        while value <= self.most() {
            let y = self.y(value);
            // Writing to a String does not fail.
            let _ = writeln!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0,
                if value == 0.0 { "0".into() } else { self.unit.label(value) },
            );
            value += step;
        }
        let last = self.times.last().copied().unwrap_or(1.0).max(1e-3);
        let step = round_step(last / 5.0);
        for n in 0..=(last / step) as usize {
            let seconds = n as f64 * step;
            let anchor = if n == 0 { "start" } else { "middle" };
            let _ = writeln!(
                svg,
                "<text class=\"label\" x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
                self.x(seconds).min(WIDTH - 22.0),
                HEIGHT - 8.0,
                seconds_label(seconds, step),
            );
        }
        for step in self.steps {
            let x = self.x(*step);
            let _ = writeln!(
                svg,
                "<line class=\"step\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>",
                HEIGHT - BOTTOM
            );
        }
    }

    fn draw_line(&self, series: &Series, idx: usize, svg: &mut String) {
        let mut line = String::new();
        for (seconds, value) in self.times.iter().zip(&series.values) {
            let verb = if line.is_empty() { 'M' } else { 'L' };
            let _ = write!(line, "{verb}{:.1} {:.1}", self.x(*seconds), self.y(*value));
        }
        let floor = self.y(0.0);
        let (start, end) = (self.x(0.0), self.x(f64::MAX));
        if idx == 0 {
            let _ = writeln!(svg, "<path class=\"area s0\" d=\"{line}L{end:.1} {floor:.1}L{start:.1} {floor:.1}Z\"/>");
        }
        let _ = writeln!(svg, "<path class=\"line s{idx}\" d=\"{line}\"/>");
    }

    fn draw_ceiling(&self, svg: &mut String) {
        let Some((name, value)) = self.ceiling else { return };
        let y = self.y(value);
        let _ = writeln!(
            svg,
            "<line class=\"ceiling\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"ceiling-label\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name} {}</text>",
            WIDTH - RIGHT,
            WIDTH - RIGHT - 4.0,
            y - 5.0,
            self.unit.text(value),
        );
    }

    /// Names of the lines; one line needs none.
    fn legend(&self) -> String {
        let entry = |(idx, series): (usize, &Series)| format!("<span class=\"key s{idx}\">{}</span>", series.name);
        let lines = self.series.iter().enumerate().map(entry).filter(|_| self.series.len() > 1);
        let step = (!self.steps.is_empty()).then(|| "<span class=\"key steps\">a new step</span>".to_string());
        let note = self.note.as_ref().map(|note| format!("<span class=\"note\">{}</span>", escape(note)));
        lines.chain(step).chain(note).collect()
    }

    /// Where each sample stands and what to say when it is pointed at.
    fn points(&self) -> String {
        let points = self.times.iter().enumerate().map(|(idx, seconds)| {
            let values = self.series.iter().map(|series| {
                let value = self.unit.text(series.values.get(idx).copied().unwrap_or(0.0));
                format!("{} {value}", series.name)
            });
            let text = format!("{} · {}", seconds_text(*seconds), values.collect::<Vec<_>>().join(" · "));
            serde_json::json!([(self.x(*seconds) * 10.0).round() / 10.0, text])
        });
        serde_json::Value::from(points.collect::<Vec<_>>()).to_string()
    }
}

/// `0.5 s`, `20 s` or `3 min`, with as many digits as the distance of the labels asks for.
fn seconds_label(seconds: f64, step: f64) -> String {
    match step {
        _ if seconds == 0.0 => "0".into(),
        _ if step >= 60.0 => format!("{:.0} min", seconds / 60.0),
        _ if step >= 1.0 => format!("{seconds:.0} s"),
        _ if step >= 0.1 => format!("{seconds:.1} s"),
        _ => format!("{:.0} ms", seconds * 1000.0),
    }
}
