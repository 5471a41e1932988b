//! What a graph's lines and layers are.

use std::fmt::Write;

use super::lines::marker;
use super::stack::hatchings;
use super::{Series, escape};

/// A list of lines, each with its colour, dash and marker, and a number that sums it up.
pub(crate) fn legend(series: &[Series], sums: &[String]) -> String {
    list(series, sums, |svg, number| {
        let _ = write!(svg, "<path class=\"line s{number}\" d=\"M1 6H27\"/>");
        marker(svg, number, 14.0, 6.0);
    })
}

/// The same of layers; `id` is unique on the page.
pub(crate) fn stack_legend(id: &str, series: &[Series], sums: &[String]) -> String {
    list(series, sums, |svg, number| {
        hatchings(svg, &format!("{id}-l{number}"));
        let _ = write!(
            svg,
            "<path class=\"f{number}\" d=\"M2 0H26V12H2Z\"/><path fill=\"url(#{id}-l{number}-h{})\" d=\"M2 0H26V12H2Z\"/>",
            number % 5
        );
    })
}

fn list(series: &[Series], sums: &[String], swatch: impl Fn(&mut String, usize)) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for (number, series) in series.iter().enumerate() {
        html.push_str("<li><svg viewBox=\"0 0 28 12\" aria-hidden=\"true\">");
        swatch(&mut html, number);
        let sum = sums.get(number).map_or("", String::as_str);
        let _ = write!(
            html,
            "</svg>{} <b>{}</b></li>",
            escape(&series.name),
            escape(sum)
        );
    }
    html.push_str("</ul>\n");
    html
}
