//! Line plots in SVG, readable on a light and on a dark page.

use std::fmt::Write;

use super::summary;

pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// The points on the x axis by name, evenly spaced.
    pub(crate) ticks: Vec<String>,
    /// A logarithmic y axis.
    pub(crate) log: bool,
    pub(crate) lines: Vec<(String, Vec<f64>)>,
}

const COLORS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#888888", "#e69f00", "#56b4e9", "#994f00",
];
/// The plot's inside, in pixels.
const LEFT: f64 = 70.0;
const TOP: f64 = 40.0;
const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 260.0;

impl Plot {
    /// Writes `target/bench-summary/FILE`.
    pub(crate) fn write(&self, file: &str) {
        summary::write(
            file,
            &self.draw().expect("a string takes all that is written"),
        );
    }

    fn draw(&self) -> Result<String, std::fmt::Error> {
        let mut svg = String::new();
        let (width, height) = (LEFT + WIDTH + 190.0, TOP + HEIGHT + 60.0);
        writeln!(
            svg,
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12" fill="#222"><rect width="100%" height="100%" fill="#fff"/>"##
        )?;
        let middle = LEFT + WIDTH / 2.0;
        let bottom = TOP + HEIGHT;
        let text = |svg: &mut String, x: f64, y: f64, anchor: &str, text: &str| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            writeln!(
                svg,
                r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
            )
        };
        text(&mut svg, middle, 22.0, "middle", self.title)?;
        text(&mut svg, middle, bottom + 42.0, "middle", self.x)?;
        let y_axis = TOP + HEIGHT / 2.0;
        writeln!(
            svg,
            r#"<text transform="translate(16 {y_axis}) rotate(-90)" text-anchor="middle">{}</text>"#,
            self.y
        )?;
        let scale = Scale::new(self);
        for mark in scale.marks() {
            let y = scale.y(mark);
            writeln!(
                svg,
                r##"<line x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}" stroke="#ddd"/>"##,
                LEFT + WIDTH
            )?;
            text(&mut svg, LEFT - 6.0, y + 4.0, "end", &short(mark))?;
        }
        for (index, tick) in self.ticks.iter().enumerate() {
            text(&mut svg, self.at(index), bottom + 18.0, "middle", tick)?;
        }
        for (number, (name, values)) in self.lines.iter().enumerate() {
            let color = COLORS[number % COLORS.len()];
            let points: Vec<String> = values
                .iter()
                .enumerate()
                .map(|(index, value)| format!("{:.1},{:.1}", self.at(index), scale.y(*value)))
                .collect();
            writeln!(
                svg,
                r#"<polyline points="{}" fill="none" stroke="{color}" stroke-width="2"/>"#,
                points.join(" ")
            )?;
            for point in &points {
                let (x, y) = point.split_once(',').unwrap_or_default();
                writeln!(svg, r#"<circle cx="{x}" cy="{y}" r="3" fill="{color}"/>"#)?;
            }
            let (x, y) = (LEFT + WIDTH + 16.0, TOP + 10.0 + 20.0 * number as f64);
            writeln!(
                svg,
                r#"<rect x="{x}" y="{:.1}" width="12" height="12" fill="{color}"/>"#,
                y - 10.0
            )?;
            text(&mut svg, x + 18.0, y, "start", name)?;
        }
        svg.push_str("</svg>\n");
        Ok(svg)
    }

    fn at(&self, index: usize) -> f64 {
        let gaps = self.ticks.len().saturating_sub(1).max(1);
        LEFT + 12.0 + (WIDTH - 24.0) * index as f64 / gaps as f64
    }
}

/// From values to pixels.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
}

impl Scale {
    fn new(plot: &Plot) -> Self {
        let values = || {
            plot.lines
                .iter()
                .flat_map(|(_, values)| values.iter().copied())
        };
        let high = values().fold(f64::MIN, f64::max);
        let low = values().fold(f64::MAX, f64::min);
        if plot.log {
            let low = low.max(1e-9).log10().floor();
            return Self {
                log: true,
                low,
                high: high.max(1e-9).log10().ceil().max(low + 1.0),
            };
        }
        let step = step(high);
        Self {
            log: false,
            low: 0.0,
            high: (high / step).ceil() * step,
        }
    }

    fn marks(&self) -> Vec<f64> {
        if self.log {
            let powers = self.low as i32..=self.high as i32;
            return powers.map(|power| 10f64.powi(power)).collect();
        }
        let step = step(self.high);
        let count = (self.high / step).round() as usize;
        (0..=count).map(|mark| mark as f64 * step).collect()
    }

    fn y(&self, value: f64) -> f64 {
        let value = if self.log {
            value.max(1e-9).log10()
        } else {
            value
        };
        let share = (value - self.low) / (self.high - self.low);
        TOP + HEIGHT * (1.0 - share.clamp(0.0, 1.0))
    }
}

/// A round step that gives about five marks.
fn step(high: f64) -> f64 {
    let rough = (high / 5.0).max(1e-9);
    let power = 10f64.powf(rough.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let fits = factors.into_iter().find(|factor| factor * power >= rough);
    fits.unwrap_or(10.0) * power
}

fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => format!("{}", (value * 1e6).round() / 1e6),
    }
}
