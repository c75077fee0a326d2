//! Plots as SVG, for pages that need nothing else.

use std::fmt::Write as _;

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 320.0;
/// Left, top, right and bottom of the area of the plot.
const AREA: [f64; 4] = [64.0, 16.0, WIDTH - 16.0, HEIGHT - 48.0];
/// Told apart by who does not see all colours, too (Okabe and Ito's).
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// A line or points.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Curves over numbers; `x` and `y` are what the axes say.
pub(super) fn lines(x: &str, y: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|series| series.points.iter().copied());
    let scale = Scale { x: range(all().map(|p| p.0)), y: range(all().map(|p| p.1).chain([0.0])) };
    let mut svg = scale.frame(x, y);
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = series.points.iter().map(|&point| scale.at(point)).collect();
        let _ = write!(
            svg,
            "<polyline fill='none' stroke='{colour}' stroke-width='2' points='{}'/>",
            path.join(" ")
        );
        if series.points.len() <= 20 {
            for &(x, y) in &series.points {
                let (left, top) = scale.place((x, y));
                let _ = write!(
                    svg,
                    "<circle cx='{left:.1}' cy='{top:.1}' r='3.5' fill='{colour}'><title>{x:.3}: {y:.4}</title></circle>"
                );
            }
        }
    }
    svg + &legend(series) + "</svg>"
}

/// Bars with what they stand for below, and the ends of their intervals.
pub(super) fn bars(y: &str, bars: &[(String, f64, (f64, f64))]) -> String {
    let scale =
        Scale { x: (0.0, bars.len().max(1) as f64), y: range(bars.iter().map(|bar| bar.2.1).chain([0.0])) };
    let mut svg = scale.frame_of_bars(y);
    for (place, (name, value, (low, high))) in bars.iter().enumerate() {
        let (left, top) = scale.place((place as f64 + 0.2, *value));
        let (right, bottom) = scale.place((place as f64 + 0.8, 0.0));
        let (middle, low, high) =
            ((left + right) / 2.0, scale.place((0.0, *low)).1, scale.place((0.0, *high)).1);
        let _ = write!(
            svg,
            "<rect x='{left:.1}' y='{top:.1}' width='{:.1}' height='{:.1}' fill='{}'><title>{value:.4}</title></rect>\
             <path d='M{middle:.1} {low:.1}V{high:.1}' stroke='currentColor'/>\
             <text x='{middle:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
            right - left,
            (bottom - top).max(0.0),
            COLOURS[0],
            AREA[3] + 16.0,
            escaped(name)
        );
    }
    svg + "</svg>"
}

/// Points of a plane whose axes mean nothing, larger where `size` (0 to 1) is.
pub(super) fn points(points: &[(f64, f64, f64, String)]) -> String {
    let scale = Scale { x: range(points.iter().map(|p| p.0)), y: range(points.iter().map(|p| p.1)) };
    let mut svg = open();
    for (x, y, size, name) in points {
        let (left, top) = scale.place((*x, *y));
        let _ = write!(
            svg,
            "<circle cx='{left:.1}' cy='{top:.1}' r='{:.1}' fill='{}' fill-opacity='.45'><title>{}</title></circle>",
            1.5 + 6.0 * size,
            COLOURS[0],
            escaped(name)
        );
    }
    svg + "</svg>"
}

/// As text of a page.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

/// From numbers to places on the page.
struct Scale {
    x: (f64, f64),
    y: (f64, f64),
}

impl Scale {
    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let share = |value: f64, (low, high): (f64, f64)| (value - low) / (high - low);
        let [left, top, right, bottom] = AREA;
        (left + share(x, self.x) * (right - left), bottom - share(y, self.y) * (bottom - top))
    }

    fn at(&self, point: (f64, f64)) -> String {
        let (left, top) = self.place(point);
        format!("{left:.1},{top:.1}")
    }

    fn frame(&self, x: &str, y: &str) -> String {
        let mut svg = self.frame_of_bars(y);
        for tick in ticks(self.x) {
            let (left, _) = self.place((tick, self.y.0));
            let _ = write!(
                svg,
                "<text x='{left:.1}' y='{:.1}' text-anchor='middle'>{}</text>",
                AREA[3] + 16.0,
                number(tick)
            );
        }
        let (middle, bottom) = (f64::midpoint(AREA[0], AREA[2]), HEIGHT - 8.0);
        let _ = write!(svg, "<text x='{middle}' y='{bottom}' text-anchor='middle'>{}</text>", escaped(x));
        svg
    }

    /// The upright axis alone, with lines across.
    fn frame_of_bars(&self, y: &str) -> String {
        let mut svg = open();
        for tick in ticks(self.y) {
            let (_, top) = self.place((self.x.0, tick));
            let _ = write!(
                svg,
                "<path d='M{} {top:.1}H{}' stroke='currentColor' stroke-opacity='.15'/>\
                 <text x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>",
                AREA[0],
                AREA[2],
                AREA[0] - 6.0,
                top + 4.0,
                number(tick)
            );
        }
        let middle = f64::midpoint(AREA[1], AREA[3]);
        svg + &format!(
            "<text transform='translate(14 {middle}) rotate(-90)' text-anchor='middle'>{}</text>",
            escaped(y)
        )
    }
}

fn open() -> String {
    format!("<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' font-size='12' fill='currentColor'>")
}

fn legend(series: &[Series]) -> String {
    let n_series = series.len();
    let entries = series.iter().zip(COLOURS.iter().cycle()).enumerate().filter(|_| series.len() > 1);
    // Where rising curves leave room.
    let entry = |(place, (series, colour)): (usize, (&Series, &&str))| {
        let top = AREA[3] - 18.0 * (n_series - place) as f64;
        format!(
            "<path d='M{} {top}h18' stroke='{colour}' stroke-width='2'/><text x='{}' y='{}'>{}</text>",
            AREA[2] - 190.0,
            AREA[2] - 166.0,
            top + 4.0,
            escaped(&series.name)
        )
    };
    entries.map(entry).collect()
}

/// The least and the greatest, apart from each other.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let finite = values.filter(|value| value.is_finite());
    let (low, high) =
        finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match (low.is_finite(), high > low) {
        (false, _) => (0.0, 1.0),
        (true, false) => (low - 0.5, low + 0.5),
        (true, true) => (low, high),
    }
}

/// Round numbers, about five of them, within the range.
fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let rough = (high - low) / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].map(|n| n * power).into_iter().find(|step| *step >= rough).unwrap_or(rough);
    let (first, last) = ((low / step - 1e-9).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

fn number(value: f64) -> String {
    if value.abs() >= 10_000.0 {
        format!("{:.0}k", value / 1000.0)
    } else {
        format!("{}", (value * 1e4).round() / 1e4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.0, 1.0)), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks((3.0, 4_700.0)), [1_000.0, 2_000.0, 3_000.0, 4_000.0]);
        assert_eq!(range([2.0, f64::NAN].into_iter()), (1.5, 2.5));
        assert_eq!(range(std::iter::empty()), (0.0, 1.0));
    }

    #[test]
    fn what_is_plotted_lies_in_its_area_and_names_cannot_break_out() {
        let scale = Scale { x: (0.0, 2.0), y: (0.0, 0.5) };
        assert_eq!(scale.place((0.0, 0.0)), (AREA[0], AREA[3]));
        assert_eq!(scale.place((2.0, 0.5)), (AREA[2], AREA[1]));
        let svg = bars("<y>", &[("<script>".to_owned(), 0.5, (0.4, 0.6))]);
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"), "{svg}");
    }
}
