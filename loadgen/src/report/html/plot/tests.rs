use super::*;

fn plot(points: &[(f64, f64)]) -> Plot {
    let axis = Axis { title: "x", scale: Scale::Linear, show: |value| format!("{value}") };
    let series = Series { name: "<b>".into(), class: "a".into(), points: points.to_vec(), dots: false };
    Plot { title: "\"t\"".into(), x: axis, y: axis, series: vec![series.clone(), series], gap: 1.5, to: 0.0 }
}

#[test]
fn ticks_are_round_and_within_the_range() {
    for (to, expected) in [(10.0, vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]), (0.9, vec![0.0, 0.2, 0.4, 0.6, 0.8])] {
        let ticks: Vec<f64> = linear_ticks(to, 5).iter().map(|tick| (tick * 1e6).round() / 1e6).collect();
        assert_eq!(ticks, expected);
    }
    let range = Range::of(Scale::Logarithmic, [900.0, 30_000.0].into_iter(), false).expect("two values");
    let ticks: Vec<u64> = range.ticks(5).iter().map(|tick| tick.round() as u64).collect();
    assert_eq!(ticks, [1_000, 2_000, 5_000, 10_000, 20_000]);
    let range = Range::of(Scale::Nines, [0.0, 99.95].into_iter(), false).expect("two values");
    assert_eq!(range.ticks(5), [0.0, 50.0, 90.0, 99.0, 99.9]);
}

#[test]
fn points_that_lie_apart_are_not_joined() {
    let drawn = draw(&plot(&[(1.0, 1.0), (2.0, 2.0), (5.0, 1.0), (6.0, 1.0), (9.0, 4.0)]));
    let path = drawn.split(" d=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a path");
    assert_eq!((path.matches('M').count(), path.matches('L').count(), path.matches("h0").count()), (3, 2, 1), "{path}");
}

#[test]
fn nothing_measured_is_said_and_strange_values_are_drawn() {
    assert!(draw(&plot(&[])).contains("Nothing was measured"));
    for points in [&[(0.0, 0.0)][..], &[(1.0, f64::NAN), (2.0, 3.0)], &[(5.0, 1e18), (6.0, 0.0)]] {
        let drawn = draw(&plot(points));
        let places = drawn.split("<script").next().expect("a first part");
        assert!(!places.contains("inf") && !places.contains("NaN"), "{drawn}");
    }
}

#[test]
fn shaded_part_lies_where_the_axis_has_it() {
    let part = Shade { from: 2.0, to: 4.0, name: "a < b".into() };
    let drawn = draw_shaded(&plot(&[(0.0, 1.0), (8.0, 2.0)]), &[part]);
    let quarter = (WIDTH - LEFT - RIGHT) / 4.0;
    let expected = format!("x=\"{:.1}\" y=\"{TOP}\" width=\"{quarter:.1}\"", LEFT + quarter);
    assert!(drawn.contains(&expected) && drawn.contains("<title>a &lt; b</title>"), "{drawn}");
}

#[test]
fn names_from_outside_stay_text() {
    let drawn = draw(&plot(&[(1.0, 1.0), (2.0, 2.0)]));
    assert!(!drawn.contains("<b>"), "{drawn}");
    assert!(drawn.contains("&lt;b&gt;") && drawn.contains("aria-label=\"&quot;t&quot;\""), "{drawn}");
}
