//! Columns as kubectl prints them.

/// Rows under a heading, each column as wide as its widest cell.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a heading.
    pub fn new<const N: usize>(heading: [&str; N]) -> Self {
        Self { rows: vec![heading.map(str::to_owned).to_vec()] }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The text, each line behind `indent`.
    pub fn render(&self, indent: &str) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let line: String =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}   ")).collect();
            text += &format!("{indent}{}\n", line.trim_end());
        }
        text
    }
}

/// A duration as kubectl shows ages: the largest unit, two for the small ones.
pub fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..=119 => format!("{s}s"),
        s @ 120..=7_199 => format!("{}m{:02}s", s / 60, s % 60),
        s @ 7_200..=172_799 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["POD", "SOCKETS"]);
        table.row(["chat-a".into(), "12".into()]);
        assert_eq!(table.render("  "), "  POD      SOCKETS\n  chat-a   12\n");
    }

    #[test]
    fn ages_use_the_largest_unit() {
        assert_eq!(
            ["5s", "2m00s", "2h", "2d"],
            [5, 120, 7_200, 172_800].map(age).each_ref().map(String::as_str)
        );
        assert_eq!(age(-3), "0s");
    }
}
