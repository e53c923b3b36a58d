//! Plots as SVG, drawn here: axes, lines, and what the pointer shows. No colour stands here; classes are styled by the
//! page.

mod twofold;

pub use twofold::{Mark, draw_twofold};

use super::escape;
use std::fmt::Write;

/// The size of every plot, in units of its own; the page scales it.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 280.0;
/// Room for the figures beside the axes.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// About as many figures as an axis has room for.
const X_TICKS: usize = 8;
const Y_TICKS: usize = 5;
/// Decades beyond which a logarithmic axis shows powers of ten only.
const FEW_DECADES: f64 = 3.0;

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0.
    Linear,
    Logarithmic,
    /// Per cent, each further nine as far as the one before: 0, 90, 99, 99.9.
    Nines,
}

/// One axis.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub title: &'static str,
    pub scale: Scale,
    /// Writes a value.
    pub show: fn(f64) -> String,
}

/// One line, or dots where `dots` is set.
#[derive(Clone, Debug, Default)]
pub struct Series {
    pub name: String,
    /// A class that the page has a colour for.
    pub class: String,
    pub points: Vec<(f64, f64)>,
    pub dots: bool,
}

/// One plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows, for those who cannot see it.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
    /// Points further apart than this are not joined: nothing is known of what lies between.
    pub gap: f64,
    /// The horizontal axis goes this far, and further where points do.
    pub to: f64,
}

/// A part of the horizontal axis that stands out, from one value to another, and why.
#[derive(Clone, Debug)]
pub struct Shade {
    pub from: f64,
    pub to: f64,
    pub name: String,
}

/// The plot as a `figure`, with its legend and what the pointer needs; one without any point says so.
pub fn draw(plot: &Plot) -> String {
    draw_shaded(plot, &[])
}

/// The same, with parts shaded.
pub fn draw_shaded(plot: &Plot, shades: &[Shade]) -> String {
    let mut plot = plot.clone();
    plot.series.iter_mut().for_each(|series| series.points.retain(|(x, y)| x.is_finite() && y.is_finite()));
    draw_finite(&plot, shades)
}

fn draw_finite(plot: &Plot, shades: &[Shade]) -> String {
    let mut text = String::from("<figure class=\"plot\">");
    let points: Vec<(f64, f64)> = plot.series.iter().flat_map(|series| series.points.iter().copied()).collect();
    let far = (!points.is_empty() && plot.to > 0.0).then_some(plot.to);
    let (Some(x), Some(y)) = (
        Range::of(plot.x.scale, points.iter().map(|point| point.0).chain(far), true),
        Range::of(plot.y.scale, points.iter().map(|point| point.1), false),
    ) else {
        text.push_str("<p class=\"empty\">Nothing was measured.</p></figure>");
        return text;
    };
    let frame = Frame { x, y, right: RIGHT };
    legend(plot, &mut text);
    let title = escape(&plot.title);
    // Writing to memory cannot fail, here and below.
    let _ = write!(text, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    shades.iter().for_each(|part| shade(part, &frame, &mut text));
    axes(plot, &frame, &mut text);
    // The first lies on top.
    plot.series.iter().rev().for_each(|series| line(plot, series, &frame, &mut text));
    text.push_str("<line class=\"cursor\" y1=\"0\" y2=\"0\"/></svg><div class=\"tip\" hidden></div>");
    pointer_data(&[(plot, &frame)], &mut text);
    text.push_str("</figure>");
    text
}

fn legend(plot: &Plot, text: &mut String) {
    if plot.series.len() >= 2 {
        legend_of(plot.series.iter(), text);
    }
}

fn legend_of<'a>(series: impl Iterator<Item = &'a Series>, text: &mut String) {
    text.push_str("<figcaption>");
    for series in series.filter(|series| !series.points.is_empty()) {
        let _ = write!(text, "<span class=\"{}\"><i></i>{}</span>", escape(&series.class), escape(&series.name));
    }
    text.push_str("</figcaption>");
}

fn shade(part: &Shade, frame: &Frame, text: &mut String) {
    let (from, to) = (frame.x_of(part.from), frame.x_of(part.to));
    let (width, height) = ((to - from).max(1.0), HEIGHT - TOP - BOTTOM);
    let name = escape(&part.name);
    let _ = write!(
        text,
        "<rect class=\"shade\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{height}\">\
         <title>{name}</title></rect>"
    );
}

fn axes(plot: &Plot, frame: &Frame, text: &mut String) {
    let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - frame.right);
    for value in frame.y.ticks(Y_TICKS) {
        let (y, label) = (frame.y_of(value), escape(&label(plot.y, value)));
        let _ = write!(text, "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let _ = write!(text, "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>", LEFT - 7.0, y + 4.0);
    }
    for value in frame.x.ticks(X_TICKS) {
        let (x, label) = (frame.x_of(value), escape(&label(plot.x, value)));
        let _ = write!(
            text,
            "<line class=\"tick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{:.1}\"/>",
            bottom + 4.0
        );
        let _ = write!(text, "<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>", bottom + 17.0);
    }
    let _ = write!(text, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\"/>");
    let (x, y) = ((LEFT + right) / 2.0, HEIGHT - 6.0);
    let _ = write!(text, "<text class=\"middle title\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(plot.x.title));
}

/// A value beside an axis, where round ones need no zeros behind the point.
fn label(axis: Axis, value: f64) -> String {
    (axis.show)(value).replace(".00 ", " ").replace(".0 ", " ")
}

fn line(plot: &Plot, series: &Series, frame: &Frame, text: &mut String) {
    let class = escape(&series.class);
    if series.dots {
        for point in &series.points {
            let (x, y) = frame.place(*point);
            let _ = write!(text, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.5\"/>");
        }
        return;
    }
    let mut path = String::new();
    let mut last: Option<f64> = None;
    for (place, point) in series.points.iter().enumerate() {
        let (x, y) = frame.place(*point);
        let joined = last.is_some_and(|last| point.0 - last <= plot.gap);
        let alone = !joined && series.points.get(place + 1).is_none_or(|next| next.0 - point.0 > plot.gap);
        let _ = write!(path, "{}{x:.1} {y:.1}", if joined { "L" } else { "M" });
        if alone {
            // A line of no length has round ends: a dot.
            path.push_str("h0");
        }
        last = Some(point.0);
    }
    let _ = write!(text, "<path class=\"{class}\" d=\"{path}\"/>");
}

/// What stands under the pointer: places and texts, so that the script only has to look up.
fn pointer_data(plots: &[(&Plot, &Frame)], text: &mut String) {
    let series: Vec<_> = plots
        .iter()
        .flat_map(|(plot, frame)| plot.series.iter().map(move |series| (*plot, *frame, series)))
        .map(|(plot, frame, series)| {
            let points: Vec<_> = series
                .points
                .iter()
                .map(|point| {
                    let (x, y) = frame.place(*point);
                    let tenth = |value: f64| (value * 10.0).round() / 10.0;
                    serde_json::json!([tenth(x), tenth(y), (plot.x.show)(point.0), (plot.y.show)(point.1)])
                })
                .collect();
            serde_json::json!({ "name": series.name, "class": series.class, "points": points })
        })
        .collect();
    let data =
        serde_json::json!({ "title": plots[0].0.x.title, "top": TOP, "bottom": HEIGHT - BOTTOM, "series": series });
    let _ = write!(text, "<script type=\"application/json\">{}</script>", super::script_json(&data));
}

/// The part of an axis that is shown, in transformed values.
#[derive(Clone, Copy, Debug)]
struct Range {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Range {
    /// `tight`: ends with the last value, instead of at the next figure.
    fn of(scale: Scale, values: impl Iterator<Item = f64>, tight: bool) -> Option<Range> {
        let values = values.map(|value| transform(scale, value)).filter(|value| value.is_finite());
        let (least, most) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), value| (a.min(value), b.max(value)));
        if least > most {
            return None;
        }
        let (from, to) = match scale {
            Scale::Linear if tight => (0.0, if most > 0.0 { most } else { 1.0 }),
            Scale::Linear => (0.0, if most > 0.0 { most * 1.08 } else { 1.0 }),
            Scale::Nines => (0.0, most.max(1.0)),
            Scale::Logarithmic => (least - 0.08, (most + 0.08).max(least + 0.3)),
        };
        Some(Range { scale, from, to })
    }

    fn part(&self, value: f64) -> f64 {
        ((transform(self.scale, value) - self.from) / (self.to - self.from)).clamp(0.0, 1.0)
    }

    /// Values to write beside the axis.
    fn ticks(&self, about: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.to, about),
            Scale::Logarithmic => self.logarithmic_ticks(),
            Scale::Nines => {
                let nines = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999, 99.99999];
                nines.into_iter().filter(|value| transform(Scale::Nines, *value) <= self.to + 1e-9).collect()
            }
        }
    }

    fn logarithmic_ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.to - self.from > FEW_DECADES { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let decades = self.from.floor() as i32..=self.to.ceil() as i32;
        let ticks = decades.flat_map(|decade| steps.iter().map(move |step| step * 10f64.powi(decade)));
        ticks.filter(|value| (self.from..=self.to).contains(&value.log10())).collect()
    }
}

fn transform(scale: Scale, value: f64) -> f64 {
    match scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
        Scale::Nines => -(1.0 - value / 100.0).max(1e-12).log10(),
    }
}

fn linear_ticks(to: f64, about: usize) -> Vec<f64> {
    let rough = to / about as f64;
    let decade = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|step| step * decade).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(decade * 10.0);
    (0..=(to / step) as usize).map(|place| place as f64 * step).collect()
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    x: Range,
    y: Range,
    /// Room on the right.
    right: f64,
}

impl Frame {
    fn x_of(&self, value: f64) -> f64 {
        LEFT + self.x.part(value) * (WIDTH - LEFT - self.right)
    }

    fn y_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.part(value) * (HEIGHT - TOP - BOTTOM)
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x_of(x), self.y_of(y))
    }
}

#[cfg(test)]
mod tests;
