//! Figures as their readers get them: files that programs can read, with everything in them.
#![allow(missing_docs, clippy::unwrap_used)]

use plenary_figures::{
    Arrangement, Axis, Bar, Bars, BoxGroup, Boxes, Figure, FigureError, Group, Lines, Series,
    Spread,
};
use roxmltree::Document;

fn bars(arrangement: Arrangement) -> Bars {
    let group = |label: &str, values: [Option<f64>; 2]| Group {
        label: label.into(),
        bars: values.map(|value| Bar::new(value).note("16 ×")).into(),
    };
    Bars {
        title: "Steps & <commits>".into(),
        caption: "One client, on a machine that is described here in so many words that they do \
                  not fit in a line of nine hundred pixels, however small they are written."
            .into(),
        axis: "mean latency, ms".into(),
        series: vec!["layer 2".into(), "layer 1".into()],
        arrangement,
        groups: vec![
            group("4-1", [Some(0.614), Some(9.43)]),
            group("16-1", [Some(12.26), None]),
        ],
    }
}

fn lines(x: Axis, y: Axis) -> Lines {
    let points = |scale: f64| {
        (1..=4)
            .map(|n| (f64::from(n) * 50.0, scale * f64::from(n)))
            .collect()
    };
    Lines {
        title: "Throughput against latency".into(),
        caption: "Open loop".into(),
        x,
        y,
        series: vec![
            Series {
                name: "p50".into(),
                points: points(0.5),
            },
            Series {
                name: "p99".into(),
                points: points(20.0),
            },
        ],
    }
}

/// The texts of a figure.
fn texts(figure: impl Into<Figure>) -> Vec<String> {
    let svg = figure.into().svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let nodes = document
        .descendants()
        .filter(|node| node.has_tag_name("text"));
    nodes
        .map(|node| node.text().unwrap_or("").trim().to_owned())
        .collect()
}

/// How many filled elements of a kind have a colour.
fn count(figure: impl Into<Figure>, tag: &str, fill: &str) -> usize {
    let svg = figure.into().svg().unwrap();
    let document = Document::parse(&svg).unwrap();
    let nodes = document.descendants().filter(|node| node.has_tag_name(tag));
    nodes
        .filter(|node| node.attribute("fill") == Some(fill))
        .count()
}

#[test]
fn bars_beside_each_other_have_title_axis_legend_values_and_notes() {
    let texts = texts(bars(Arrangement::Beside));
    for text in [
        "Steps & <commits>",
        "mean latency, ms",
        "layer 2",
        "layer 1",
        "4-1",
        "16-1",
        "0.61",
        "9.43",
        "12.3",
        "–",
        "16 ×",
    ] {
        assert!(
            texts.iter().any(|found| found == text),
            "{text} in {texts:?}"
        );
    }
}

#[test]
fn piled_bars_show_their_sums() {
    let texts = texts(bars(Arrangement::Piled));
    assert!(texts.iter().any(|text| text == "10.0"), "{texts:?}");
}

#[test]
fn a_bar_without_a_value_is_not_drawn_as_one() {
    // One in the legend besides.
    assert_eq!(count(bars(Arrangement::Piled), "rect", "#0072B2"), 3);
    assert_eq!(count(bars(Arrangement::Piled), "rect", "#E69F00"), 2);
}

#[test]
fn a_caption_is_broken_where_it_does_not_fit() {
    let texts = texts(bars(Arrangement::Beside));
    assert!(texts.iter().any(|text| text.ends_with("are written.")));
    assert!(texts.iter().all(|text| text.len() < 160), "{texts:?}");
}

#[test]
fn curves_are_drawn_on_all_kinds_of_axes() {
    for (x, y) in [
        (Axis::linear("steps/s"), Axis::linear("latency, ms")),
        (Axis::linear("steps/s"), Axis::logarithmic("latency, ms")),
        (Axis::logarithmic("steps/s"), Axis::linear("latency, ms")),
        (
            Axis::logarithmic("steps/s"),
            Axis::logarithmic("latency, ms"),
        ),
    ] {
        let lines = lines(x, y);
        let found = texts(lines.clone());
        for text in ["steps/s", "latency, ms", "p50", "p99"] {
            assert!(
                found.iter().any(|found| found == text),
                "{text} in {found:?}"
            );
        }
        // Four points of the first curve, and its sign in the legend.
        assert_eq!(count(lines, "circle", "#0072B2"), 5);
    }
}

#[test]
fn what_a_logarithmic_axis_cannot_show_is_left_out() {
    let mut lines = lines(Axis::linear("x"), Axis::logarithmic("y"));
    lines.series[0].points[0].1 = 0.0;
    assert_eq!(count(lines, "circle", "#0072B2"), 4);
}

fn boxes() -> Boxes {
    let spread = |median: f64| Spread {
        low: median / 2.0,
        lower: median * 0.8,
        median,
        upper: median * 1.3,
        high: median * 2.0,
    };
    let group = |label: &str, boxes: [Option<Spread>; 2]| BoxGroup {
        label: label.into(),
        boxes: boxes.into(),
    };
    Boxes {
        title: "Latency".into(),
        caption: "Whiskers reach to the 1st and the 99th percentile.".into(),
        axis: "seconds".into(),
        series: vec!["optimistic".into(), "failing".into()],
        groups: vec![
            group("10", [Some(spread(0.4)), Some(spread(0.6))]),
            group("100", [Some(spread(1.2)), None]),
        ],
    }
}

#[test]
fn boxes_have_title_axis_legend_labels_and_the_ends_of_their_whiskers() {
    let texts = texts(boxes());
    for text in [
        "Latency",
        "seconds",
        "optimistic",
        "failing",
        "10",
        "100",
        "0.80",
        "1.20",
        "2.40",
    ] {
        assert!(
            texts.iter().any(|found| found == text),
            "{text} in {texts:?}"
        );
    }
}

#[test]
fn a_box_without_values_is_not_drawn() {
    // One in the legend besides.
    assert_eq!(count(boxes(), "rect", "#0072B2"), 3);
    assert_eq!(count(boxes(), "rect", "#E69F00"), 2);
}

#[test]
fn a_figure_without_values_is_refused() {
    let empty = Bars {
        groups: Vec::new(),
        ..bars(Arrangement::Beside)
    };
    assert!(matches!(
        Figure::from(empty).svg(),
        Err(FigureError::Empty(_))
    ));
    let mut empty = boxes();
    empty.groups.clear();
    assert!(matches!(
        Figure::from(empty).svg(),
        Err(FigureError::Empty(_))
    ));
    let mut lines = lines(Axis::linear("x"), Axis::linear("y"));
    lines.series.clear();
    assert!(matches!(
        Figure::from(lines).png(),
        Err(FigureError::Empty(_))
    ));
}

#[test]
fn both_formats_are_saved_and_the_png_is_twice_as_large() {
    let directory = tempfile::tempdir().unwrap();
    let figure = Figure::from(bars(Arrangement::Beside));
    figure.save(directory.path(), "layers").unwrap();
    let svg = std::fs::read_to_string(directory.path().join("layers.svg")).unwrap();
    let svg = Document::parse(&svg).unwrap();
    let file = std::fs::File::open(directory.path().join("layers.png")).unwrap();
    let png = png::Decoder::new(std::io::BufReader::new(file));
    let mut png = png.read_info().unwrap();
    let width: u32 = svg
        .root_element()
        .attribute("width")
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(png.info().width, 2 * width);
    let mut pixels = vec![0; png.output_buffer_size().unwrap()];
    png.next_frame(&mut pixels).unwrap();
    // Not an empty sheet, and text is there: more colours than fills have.
    let mut colours: Vec<_> = pixels.chunks(3).collect();
    colours.sort_unstable();
    colours.dedup();
    assert!(colours.len() > 20, "{}", colours.len());
}
