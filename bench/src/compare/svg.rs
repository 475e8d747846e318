//! Small, neat SVG plots: lines on linear or logarithmic axes, with a legend beside them.

use std::fmt::Write;

/// One line.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
    /// Draw a mark at every point?
    pub(crate) marks: bool,
    /// Which colour, and is it dashed?
    pub(crate) style: (usize, bool),
}

/// A plot.
pub(crate) struct Chart<'t> {
    pub(crate) title: &'t str,
    pub(crate) x: &'t str,
    pub(crate) y: &'t str,
    /// Are the axes logarithmic?
    pub(crate) log: (bool, bool),
    pub(crate) lines: Vec<Line>,
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
/// The plane: left, right, top, bottom.
const PLANE: (f64, f64, f64, f64) = (84.0, 676.0, 52.0, 418.0);
/// Between two names of the legend.
const LEADING: f64 = 20.0;
/// Told apart by people who see colours differently as well (Okabe and Ito).
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a7a00"];

struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// From and to, in pixels.
    span: (f64, f64),
}

impl Axis {
    fn new(figures: impl Iterator<Item = f64>, log: bool, span: (f64, f64)) -> Self {
        let known: Vec<f64> = figures.filter(|figure| figure.is_finite() && (!log || *figure > 0.0)).collect();
        let (low, high) = known.iter().fold((f64::MAX, f64::MIN), |(a, b), figure| (a.min(*figure), b.max(*figure)));
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        if log {
            let (low, high) = (low.log10().floor(), high.log10().ceil());
            return Self { low, high: high.max(low + 1.0), log, span };
        }
        let step = step(low.min(0.0), high);
        Self { low: low.min(0.0), high: (high / step).ceil().max(1.0) * step, log, span }
    }

    fn at(&self, figure: f64) -> f64 {
        let figure = if self.log { figure.max(f64::MIN_POSITIVE).log10() } else { figure };
        let share = ((figure - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        self.span.0 + share * (self.span.1 - self.span.0)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (low, high) = (self.low as i32, self.high as i32);
            return (low..=high).map(|power| 10_f64.powi(power)).collect();
        }
        let step = step(self.low, self.high);
        let count = ((self.high - self.low) / step).round() as usize;
        (0..=count).map(|place| self.low + place as f64 * step).collect()
    }
}

/// 1, 2 or 5 times a power of ten, so that there are about six.
fn step(low: f64, high: f64) -> f64 {
    let rough = ((high - low) / 6.0).max(f64::MIN_POSITIVE);
    let power = 10_f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= rough).unwrap_or(10.0 * power)
}

/// A figure on an axis.
fn label(figure: f64) -> String {
    let (scaled, suffix) = match figure.abs() {
        size if size >= 1e9 => (figure / 1e9, " G"),
        size if size >= 1e6 => (figure / 1e6, " M"),
        size if size >= 1e3 => (figure / 1e3, " k"),
        _ => (figure, ""),
    };
    let digits = format!("{scaled:.4}");
    format!("{}{suffix}", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl Chart<'_> {
    /// As SVG.
    pub(crate) fn svg(&self) -> String {
        let (left, right, top, bottom) = PLANE;
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let x = Axis::new(points().map(|point| point.0), self.log.0, (left, right));
        let y = Axis::new(points().map(|point| point.1), self.log.1, (bottom, top));
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{left}\" y=\"28\" font-size=\"16\" font-weight=\"600\">{}</text>\n",
            escape(self.title)
        );
        for tick in x.ticks() {
            let at = x.at(tick);
            let _ =
                writeln!(out, "<line x1=\"{at:.1}\" y1=\"{top}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#e4e4e4\"/>");
            let low = bottom + 20.0;
            let _ = writeln!(out, "<text x=\"{at:.1}\" y=\"{low}\" text-anchor=\"middle\">{}</text>", label(tick));
        }
        for tick in y.ticks() {
            let (at, before) = (y.at(tick), left - 8.0);
            let _ =
                writeln!(out, "<line x1=\"{left}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>");
            let _ =
                writeln!(out, "<text x=\"{before}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", at + 4.0, label(tick));
        }
        let (width, height) = (right - left, bottom - top);
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"none\" stroke=\"#888\"/>"
        );
        let (middle, below) = (left + width / 2.0, bottom + 44.0);
        let _ = writeln!(out, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">{}</text>", escape(self.x));
        let across = top + height / 2.0;
        let _ = writeln!(
            out,
            "<text x=\"20\" y=\"{across}\" text-anchor=\"middle\" transform=\"rotate(-90 20 {across})\">{}</text>",
            escape(self.y)
        );
        for (place, line) in self.lines.iter().enumerate() {
            draw(&mut out, place, line, (&x, &y));
        }
        out.push_str("</svg>\n");
        out
    }
}

fn draw(out: &mut String, place: usize, line: &Line, (x, y): (&Axis, &Axis)) {
    let (colour, dashed) = line.style;
    let colour = COLOURS.get(colour % COLOURS.len()).copied().unwrap_or("#000");
    let dash = if dashed { " stroke-dasharray=\"6 4\"" } else { "" };
    let drawn: Vec<(f64, f64)> = line.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
    let path: Vec<String> = drawn.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"{dash}/>",
        path.join(" ")
    );
    if line.marks {
        for (x, y) in &drawn {
            let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" fill=\"{colour}\"/>");
        }
    }
    let (from, at) = (PLANE.1 + 16.0, PLANE.2 + 8.0 + LEADING * place as f64);
    let (to, text) = (from + 22.0, from + 30.0);
    let _ = writeln!(
        out,
        "<line x1=\"{from}\" y1=\"{at}\" x2=\"{to}\" y2=\"{at}\" stroke=\"{colour}\" stroke-width=\"2.4\"{dash}/>"
    );
    let _ = writeln!(out, "<text x=\"{text}\" y=\"{}\">{}</text>", at + 4.5, escape(&line.name));
}
