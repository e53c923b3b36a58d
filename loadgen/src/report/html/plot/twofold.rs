//! Two plots over one horizontal axis, the second with a vertical axis of its own on the right, its lines dashed.

use super::{
    BOTTOM, Frame, HEIGHT, LEFT, Plot, Range, TOP, WIDTH, Y_TICKS, axes, escape, label, legend_of, line, pointer_data,
};
use std::fmt::Write;

/// Room for the figures on the right.
const RIGHT: f64 = 66.0;

/// A place on the horizontal axis that stands out.
#[derive(Clone, Debug)]
pub struct Mark {
    pub at: f64,
    pub name: String,
    /// A class that the page has a colour for.
    pub class: String,
}

/// Both plots as one `figure`, with their marks; where either has no point, that is said.
pub fn draw_twofold(left: &Plot, right: &Plot, marks: &[Mark]) -> String {
    let [left, right] = [left, right].map(|plot| {
        let mut plot = plot.clone();
        plot.series.iter_mut().for_each(|series| series.points.retain(|(x, y)| x.is_finite() && y.is_finite()));
        plot
    });
    let points = |plot: &Plot| plot.series.iter().flat_map(|series| series.points.clone()).collect::<Vec<_>>();
    let (ours, theirs) = (points(&left), points(&right));
    let x = Range::of(left.x.scale, ours.iter().chain(&theirs).map(|point| point.0), true);
    let [left_y, right_y] = [(&left, &ours), (&right, &theirs)]
        .map(|(plot, points)| Range::of(plot.y.scale, points.iter().map(|point| point.1), false));
    let mut text = String::from("<figure class=\"plot\">");
    let (Some(x), Some(left_y), Some(right_y)) = (x, left_y, right_y) else {
        text.push_str("<p class=\"empty\">Nothing was measured.</p></figure>");
        return text;
    };
    let [left_frame, right_frame] = [left_y, right_y].map(|y| Frame { x, y, right: RIGHT });
    legend_of(left.series.iter().chain(&right.series), &mut text);
    let title = escape(&format!("{}; {}", left.title, right.title));
    // Writing to memory cannot fail, here and below.
    let _ = write!(text, "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">");
    axes(&left, &left_frame, &mut text);
    right_axis(&right, &right_frame, &mut text);
    marks.iter().enumerate().for_each(|(place, one)| mark(one, place, &left_frame, &mut text));
    text.push_str("<g class=\"dashed\">");
    right.series.iter().rev().for_each(|series| line(&right, series, &right_frame, &mut text));
    text.push_str("</g>");
    left.series.iter().rev().for_each(|series| line(&left, series, &left_frame, &mut text));
    text.push_str("<line class=\"cursor\" y1=\"0\" y2=\"0\"/></svg><div class=\"tip\" hidden></div>");
    pointer_data(&[(&left, &left_frame), (&right, &right_frame)], &mut text);
    text.push_str("</figure>");
    text
}

fn right_axis(plot: &Plot, frame: &Frame, text: &mut String) {
    let at = WIDTH - RIGHT;
    for value in frame.y.ticks(Y_TICKS) {
        let (y, label) = (frame.y_of(value), escape(&label(plot.y, value)));
        let _ = write!(text, "<line class=\"tick\" x1=\"{at}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>", at + 4.0);
        let _ = write!(text, "<text x=\"{}\" y=\"{:.1}\">{label}</text>", at + 8.0, y + 4.0);
    }
    let _ = write!(text, "<line class=\"axis\" x1=\"{at}\" x2=\"{at}\" y1=\"{TOP}\" y2=\"{}\"/>", HEIGHT - BOTTOM);
}

/// A line from top to bottom, and its name beside it, each name on a line of its own.
fn mark(mark: &Mark, place: usize, frame: &Frame, text: &mut String) {
    let (x, class, name) = (frame.x_of(mark.at), escape(&mark.class), escape(&mark.name));
    let _ = write!(
        text,
        "<line class=\"mark {class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{}\"/>",
        HEIGHT - BOTTOM
    );
    let is_far = x > LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    let (x, side) = if is_far { (x - 6.0, "end") } else { (x + 6.0, "start") };
    let y = TOP + 12.0 + 15.0 * place as f64;
    let _ = write!(text, "<text class=\"{side}\" x=\"{x:.1}\" y=\"{y:.1}\">{name}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::plot::{Axis, Scale, Series};

    fn plot(points: &[(f64, f64)]) -> Plot {
        let axis = Axis { title: "x", scale: Scale::Linear, show: |value| format!("{value}") };
        let series = Series { name: "<b>".into(), class: "a".into(), points: points.to_vec(), dots: false };
        Plot { title: "t".into(), x: axis, y: axis, series: vec![series], gap: f64::INFINITY, to: 0.0 }
    }

    #[test]
    fn each_plot_has_its_own_scale_and_marks_lie_on_the_common_axis() {
        let mark = Mark { at: 4.0, name: "knee <4>".into(), class: "a".into() };
        let drawn = draw_twofold(&plot(&[(0.0, 1.0), (8.0, 2.0)]), &plot(&[(0.0, 1e6), (8.0, 2e6)]), &[mark]);
        let paths: Vec<&str> = drawn.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(paths.len(), 2);
        assert_eq!(paths[0], paths[1], "alike, as each on its own scale is");
        let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
        assert!(
            drawn.contains(&format!("class=\"mark a\" x1=\"{middle:.1}\"")) && drawn.contains("knee &lt;4&gt;"),
            "{drawn}"
        );
        assert!(!drawn.contains("<b>"));
    }

    #[test]
    fn nothing_measured_is_said() {
        assert!(draw_twofold(&plot(&[]), &plot(&[(1.0, 1.0)]), &[]).contains("Nothing was measured"));
    }
}
