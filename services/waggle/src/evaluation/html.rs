//! Evaluations as one page each, with its plots inside.

use waggle_evaluation::{Comparison, Slice};
use waggle_jobs::{
    TimeSplitReport,
    single::{Plots, SplitReport},
};

use super::svg::{self, Series, escaped};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
    table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}\
    td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;text-align:right}\
    td:first-child,th:first-child{text-align:left}.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(24rem,1fr));gap:1.5rem}\
    figure{margin:0}svg{display:block;max-width:36rem}td{white-space:nowrap}figcaption{font-size:.85rem;color:#555}pre{overflow:auto;background:#f4f4f4;padding:.8rem}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}figcaption{color:#aaa}td,th{border-color:#444}pre{background:#222}}";

/// One model on public data.
pub(crate) fn of_split(report: &SplitReport) -> String {
    let SplitReport { protocol, n_users, n_items, n_train, n_test, n_cases, .. } = report;
    let mut body = format!(
        "<p>Protocol {}: {n_users} users, {n_items} items, {n_train} pairs to learn from, {n_test} asked about, of {n_cases} users. \
         Seed {}. Fitted in {:.2} s, asked in {:.1} s.</p>",
        escaped(protocol),
        report.seed,
        report.fit_s,
        report.evaluate_s
    );
    body += &figures(report);
    let mut plots = vec![
        figure(
            &svg::bars("NDCG@20", &slices(&report.by_activity)),
            "By how many items are known of a person; with 95 % intervals.",
        ),
        figure(
            &svg::bars("Recall@20", &named(&report.by_item_age, "recall_of_truth@20")),
            "What was chosen among items that hardly anybody touched, and among the others, each as if it were all.",
        ),
    ];
    plots.extend(report.plots.iter().flat_map(more_plots));
    body += &format!("<div class='plots'>{}</div>", plots.concat());
    let settings = serde_json::to_string_pretty(&report.settings).unwrap_or_default();
    body += &format!("<h2>Settings</h2><pre>{}</pre>", escaped(&settings));
    page(&report.model, &body)
}

/// The whole system and its rulers on the last weeks.
pub(crate) fn of_time_split(report: &TimeSplitReport) -> String {
    let always = [&report.all_items, &report.new_to_person];
    let tables = always.into_iter().chain(&report.next_items).chain(&report.cold);
    let mut body =
        String::from("<p>Learned from everything before the last window, and asked about that window.</p>");
    body += &tables.map(comparison).collect::<String>();
    body += "<h2>Two-stage, by person and by item</h2><div class='plots'>";
    body += &figure(
        &svg::bars("NDCG@20", &slices(&report.by_activity)),
        "By how many items are known of a person.",
    );
    body += &figure(
        &svg::bars("Recall@20", &named(&report.by_item_age, "recall_of_truth@20")),
        "What was chosen among items that hardly anybody touched, and among the others, each as if it were all.",
    );
    body += "</div>";
    page("The last weeks", &body)
}

fn figures(report: &SplitReport) -> String {
    let rows = [
        ("Recall@20", report.recall_at_20, "recall_at_20"),
        ("Recall@20 of what was possible", report.recall_of_possible_at_20, "recall_of_possible_at_20"),
        ("NDCG@20", report.ndcg_at_20, "ndcg_at_20"),
        ("HR@10", report.hr_at_10, "hr_at_10"),
        ("NDCG@10", report.ndcg_at_10, "ndcg_at_10"),
        ("MAP@20", report.map_at_20, "map_at_20"),
    ];
    let row = |(name, value, key): (&str, f64, &str)| {
        let (low, high) = report.intervals.get(key).copied().unwrap_or((value, value));
        format!("<tr><td>{name}<td>{value:.4}<td>{low:.4} – {high:.4}</tr>")
    };
    let plain = [
        ("Coverage@20, share of the catalogue", Some(report.coverage_at_20)),
        ("Novelty@20, bits", report.novelty_at_20),
        ("Places@20 of the most touched tenth", report.popularity_share_at_20),
    ];
    let plain = plain
        .into_iter()
        .filter_map(|(name, value)| Some(format!("<tr><td>{name}<td>{:.4}<td></tr>", value?)));
    format!(
        "<table><tr><th>Metric<th>Value<th>95 % interval</tr>{}</table>",
        rows.map(row).into_iter().chain(plain).collect::<String>()
    )
}

fn more_plots(plots: &Plots) -> Vec<String> {
    let tail = |name: &str, value: fn(&waggle_evaluation::TailPoint) -> f64| Series {
        name: name.to_owned(),
        points: plots.long_tail.iter().map(|point| (100.0 * point.of_items, 100.0 * value(point))).collect(),
    };
    let learned = plots.learning_curve.iter().map(|point| (point.n_pairs as f64, point.ndcg_at_20)).collect();
    let most = plots.item_map.iter().map(|point| point.count).max().unwrap_or(1) as f64;
    let mapped: Vec<_> = plots
        .item_map
        .iter()
        .map(|point| {
            let name = format!("item {}: {} users", point.item, point.count);
            (point.x, point.y, (point.count as f64 / most).sqrt(), name)
        })
        .collect();
    vec![
        figure(
            &svg::lines("pairs learned from", "NDCG@20", &[Series { name: String::new(), points: learned }]),
            "The same people asked by the same model, fitted on a part of the users.",
        ),
        figure(
            &svg::lines(
                "most touched items, % of the catalogue",
                "%",
                &[
                    tail("of what is recommended", |p| p.of_recommended),
                    tail("of what was touched", |p| p.of_touched),
                ],
            ),
            "The long tail: the nearer to the diagonal, the more of the catalogue is shown.",
        ),
        figure(
            &svg::points(&mapped),
            "The most touched items by the two main axes of their factors (iALS, PCA): items that the same people touch are near each other.",
        ),
    ]
}

fn comparison(table: &Comparison) -> String {
    const SHOWN: [&str; 6] = ["ndcg@10", "recall@10", "hit_rate@10", "map@10", "ndcg@20", "recall@20"];
    let head: String = SHOWN.iter().map(|metric| format!("<th>{metric}")).collect();
    let rows = table.rows.iter().map(|row| {
        let cells = SHOWN.iter().map(|metric| {
            row.metrics.get(*metric).map_or_else(
                || "<td>".to_owned(),
                |m| {
                    format!(
                        "<td title='{:.4} – {:.4}'>{:.4} ± {:.4}",
                        m.low,
                        m.high,
                        m.value,
                        (m.high - m.low) / 2.0
                    )
                },
            )
        });
        format!("<tr><td>{}{}</tr>", escaped(&row.name), cells.collect::<String>())
    });
    let bars: Vec<_> = table
        .rows
        .iter()
        .filter_map(|row| row.metrics.get("ndcg@10").map(|m| (row.name.clone(), m.value, (m.low, m.high))))
        .collect();
    // Names are long, and bars are numbered like the rows.
    let numbered: Vec<_> =
        bars.iter().enumerate().map(|(n, (_, value, ends))| ((n + 1).to_string(), *value, *ends)).collect();
    format!(
        "<h2>{}</h2><p>{} people.</p><table><tr><th>Model{head}</tr>{}</table>{}",
        escaped(&table.title),
        table.n_cases,
        rows.collect::<String>(),
        figure(&svg::bars("NDCG@10", &numbered), "In the order of the table.")
    )
}

/// NDCG of people by what is known of them.
fn slices(slices: &[Slice]) -> Vec<(String, f64, (f64, f64))> {
    named(slices, "ndcg@20")
        .into_iter()
        .map(|(name, value, ends)| (name.trim_end_matches(" known items").replace(" to ", "–"), value, ends))
        .collect()
}

fn named(slices: &[Slice], metric: &str) -> Vec<(String, f64, (f64, f64))> {
    let bar = |slice: &Slice| {
        let interval = slice.metrics.get(metric)?;
        let name = slice.name.trim_start_matches("items that ");
        Some((name.to_owned(), interval.value, (interval.low, interval.high)))
    };
    slices.iter().filter_map(bar).collect()
}

fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>{svg}<figcaption>{caption}</figcaption></figure>")
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>\
         <title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waggle_jobs::{
        Silent,
        single::{PublicData, SingleModel, evaluate_split},
    };

    use super::*;

    #[test]
    fn the_page_of_a_split_needs_nothing_else_and_has_every_plot() {
        let lists = |from: u32| {
            (0..40_u32).map(move |user| (user, (from..from + 8).map(|n| (n * 3 + user) % 30).collect()))
        };
        let data = PublicData::FixedSplit { train: lists(0).collect(), test: lists(8).collect() };
        let split = data.test(1).unwrap();
        let report = evaluate_split(&split, SingleModel::Slim, &json!({}), 1, true, &Silent).unwrap();
        let page = of_split(&report);
        assert_eq!(page.matches("<svg").count(), 5, "{page}");
        assert_eq!(page.matches("<figure>").count(), page.matches("</figure>").count());
        for elsewhere in ["http://", "https://", "src=", "<script"] {
            assert!(!page.contains(elsewhere), "{elsewhere}");
        }
        assert!(page.contains(&format!("{:.4}", report.map_at_20)));
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
    }
}
