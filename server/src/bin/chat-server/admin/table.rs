//! Tables for people: columns as wide as their widest value, numbers to the right.

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: &str = "  ";

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Left,
    Right,
}

/// `heads` above `rows`; each row has as many cells. What would move the terminal's cursor is shown as `�`.
pub fn table<const COLUMNS: usize>(heads: [(&str, Side); COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<[String; COLUMNS]> = rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell))).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([heads[column].0.width()]).max().unwrap_or_default()
    };
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(&heads.map(|(head, _)| head.to_owned())).chain(&rows) {
        let cells = (0..COLUMNS).map(|column| {
            let padding = " ".repeat(widths[column] - row[column].width());
            match heads[column].1 {
                Side::Left => format!("{}{padding}", row[column]),
                Side::Right => format!("{padding}{}", row[column]),
            }
        });
        text.push_str(cells.collect::<Vec<_>>().join(GAP).trim_end());
        text.push('\n');
    }
    text
}

/// Without control characters, nor those that turn the direction of text.
pub fn harmless(text: &str) -> String {
    let is_harmful = |character: char| {
        character.is_control()
            || matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|character| if is_harmful(character) { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_whatever_the_script() {
        let rows = [["7", "张三", "a"], ["1024", "bob\u{1b}[2J", "node-2"]].map(|row| row.map(str::to_owned));

        let text = table([("ID", Side::Right), ("NAME", Side::Left), ("NODE", Side::Left)], &rows);

        assert_eq!(text, "  ID  NAME     NODE\n   7  张三     a\n1024  bob\u{fffd}[2J  node-2\n");
        assert_eq!(table([("ID", Side::Right)], &[]), "ID\n");
    }
}
