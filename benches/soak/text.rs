//! Plots made of characters, where no picture can be shown.

const WIDTH: usize = 60;
const HEIGHT: usize = 6;

/// Prints how a figure went over time: the median and the most of each sixtieth.
pub(crate) fn plot(name: &str, samples: &[f64]) {
    let columns: Vec<&[f64]> = (0..WIDTH)
        .map(|column| {
            let at = |column: usize| column * samples.len() / WIDTH;
            &samples[at(column)..at(column + 1).max(at(column) + 1)]
        })
        .collect();
    let most = samples.iter().copied().fold(f64::MIN, f64::max);
    let rows = |value: f64| (value / most * HEIGHT as f64).round() as usize;
    println!("{name}: # up to the median, : up to the maximum");
    for row in (1..=HEIGHT).rev() {
        let line: String = columns
            .iter()
            .map(|column| {
                let mut sorted = column.to_vec();
                sorted.sort_by(f64::total_cmp);
                let (median, top) = (sorted[sorted.len() / 2], sorted[sorted.len() - 1]);
                match row {
                    row if row <= rows(median) => '#',
                    row if row <= rows(top) => ':',
                    _ => ' ',
                }
            })
            .collect();
        let label = match row {
            HEIGHT => format!("{most:.0}"),
            _ => String::new(),
        };
        println!("{label:>8} |{}", line.trim_end());
    }
    println!("{:>8} +{}", 0, "-".repeat(WIDTH));
}
