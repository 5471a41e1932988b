//! The few shapes that a page is made of.

use std::fmt::Write;

use crate::svg::escape;

/// A section with a heading; `body` is HTML.
pub(super) fn section(id: &str, heading: &str, body: &str) -> String {
    format!(
        "<section id=\"{id}\" aria-labelledby=\"{id}-h\">\n<h2 id=\"{id}-h\">{}</h2>\n{body}</section>\n",
        escape(heading)
    )
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    Text,
    Number,
}

/// A table; cells are HTML. It scrolls by itself where the page is too narrow, with the keyboard too.
pub(super) fn table(caption: &str, heads: &[(&str, Column)], rows: &[Vec<String>]) -> String {
    let table = body(caption, heads, rows, "", [""; 4]);
    let caption = escape(caption);
    format!(
        "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"{caption}\">{table}</div>\n"
    )
}

/// A table whose rows become cards on a narrow page, looking as the style sheet says for `class`. Its parts say that they are those
/// of a table, since browsers forget that of what is laid out otherwise.
pub(super) fn cards(
    caption: &str,
    class: &str,
    heads: &[(&str, Column)],
    rows: &[Vec<String>],
) -> String {
    let roles = [
        " role=\"row\"",
        " role=\"columnheader\"",
        " role=\"rowheader\"",
        " role=\"cell\"",
    ];
    let attributes = format!(" class=\"cards {class}\" role=\"table\"");
    body(caption, heads, rows, &attributes, roles)
}

fn body(
    caption: &str,
    heads: &[(&str, Column)],
    rows: &[Vec<String>],
    attributes: &str,
    [row, column, first, cell]: [&str; 4],
) -> String {
    let class = |head: Option<&(&str, Column)>| match head {
        Some((_, Column::Number)) => " class=\"n\"",
        _ => "",
    };
    let mut html = format!(
        "<table{attributes}><caption>{}</caption>\n<thead><tr{row}>",
        escape(caption)
    );
    for head in heads {
        let class = class(Some(head));
        // Writing to a string cannot fail.
        let _ = write!(
            html,
            "<th scope=\"col\"{column}{class}>{}</th>",
            escape(head.0)
        );
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for cells in rows {
        let _ = write!(html, "<tr{row}>");
        for (index, text) in cells.iter().enumerate() {
            let class = class(heads.get(index));
            let _ = if index == 0 {
                write!(html, "<th scope=\"row\"{first}{class}>{text}</th>")
            } else {
                write!(html, "<td{cell}{class}>{text}</td>")
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table>\n");
    html
}

/// Something foreign: what it says of its own direction stays inside.
pub(super) fn foreign(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(&crate::number::one_line(text)))
}

/// Met or not, for those who see colours, shapes or neither.
pub(super) fn sign(is_met: bool) -> &'static str {
    if is_met {
        "<span class=\"sign yes\"><span aria-hidden=\"true\">✓</span> met</span>"
    } else {
        "<span class=\"sign no\"><span aria-hidden=\"true\">✕</span> missed</span>"
    }
}
