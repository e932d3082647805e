//! Tables for a terminal.

use slotkeeper::say;

/// Prints rows under their heads, every column as wide as its widest cell.
pub(crate) fn print<const N: usize>(heads: [&str; N], rows: &[[String; N]]) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].chars().count()]).max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    print_row(&heads.map(String::from), &widths);
    for row in rows {
        print_row(row, &widths);
    }
}

fn print_row<const N: usize>(cells: &[String; N], widths: &[usize; N]) {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
    say!("{}", padded.join("  ").trim_end());
}
