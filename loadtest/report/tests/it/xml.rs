//! A strict reader of what is meant to be XML.

use std::collections::{BTreeMap, BTreeSet};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Elements that HTML closes by themselves; in SVG any may be.
const VOID: [&str; 4] = ["meta", "link", "br", "hr"];

/// An element without its children.
#[derive(Debug, Clone)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Its own text and that of all within.
    pub(crate) text: String,
}

/// All elements in order. Panics where a parser must stop: unclosed elements, foreign entities, attributes twice; and where HTML and
/// XML would differ.
pub(crate) fn elements(document: &str) -> Vec<Element> {
    let document = document.trim_start_matches("<!DOCTYPE html>");
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_end_names = true;
    let mut all: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        match reader.read_event().expect("well-formed") {
            Event::Start(start) => {
                open.push(all.len());
                all.push(element(&start));
            }
            Event::Empty(start) => {
                let own = element(&start);
                let is_svg = open.iter().any(|index| all[*index].name == "svg");
                let is_xml = all.first().is_some_and(|first| first.name == "testsuites");
                assert!(
                    is_svg || is_xml || VOID.contains(&own.name.as_str()),
                    "<{}/>",
                    own.name
                );
                all.push(own);
            }
            Event::End(_) => {
                open.pop().expect("an open element");
            }
            Event::Text(text) => {
                tell(&mut all, &open, &text.xml10_content());
            }
            Event::GeneralRef(entity) => {
                let name = entity.xml10_content().into_owned();
                let resolved = match entity.resolve_char_ref().unwrap() {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&name)
                        .unwrap_or_else(|| panic!("&{name};"))
                        .to_owned(),
                };
                tell(&mut all, &open, &resolved);
            }
            Event::Eof => break,
            Event::Decl(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open.len(), 0, "unclosed elements");
    all
}

fn tell(all: &mut [Element], open: &[usize], text: &str) {
    for index in open {
        all[*index].text.push_str(text);
    }
}

fn element(start: &BytesStart<'_>) -> Element {
    let attributes: BTreeMap<String, String> = start
        .attributes()
        .map(|attribute| {
            let attribute = attribute.expect("an attribute");
            let key = attribute.key.as_ref().to_owned();
            let value = attribute
                .normalized_value(quick_xml::XmlVersion::Implicit1_0)
                .expect("a value")
                .into_owned();
            (key, value)
        })
        .collect();
    Element {
        name: start.name().as_ref().to_owned(),
        attributes,
        text: String::new(),
    }
}

/// What must be true of every page, whatever the run.
pub(crate) fn check_page(html: &str) -> Vec<Element> {
    let all = elements(html);
    let mut ids = BTreeSet::new();
    for element in &all {
        if let Some(id) = element.attributes.get("id") {
            assert!(ids.insert(id.clone()), "id {id} twice");
        }
    }
    for element in &all {
        assert_ne!(element.name, "script");
        for (name, value) in &element.attributes {
            assert!(
                !name.starts_with("on") && name != "style" && name != "src",
                "{name}={value}"
            );
            match name.as_str() {
                "href" => assert!(ids.contains(value.trim_start_matches('#')), "{value}"),
                "aria-labelledby" => {
                    assert!(value.split(' ').all(|id| ids.contains(id)), "{value}");
                }
                "fill" => {
                    let id = value.trim_start_matches("url(#").trim_end_matches(')');
                    assert!(ids.contains(id), "{value}");
                }
                "d" | "x" | "y" | "cx" | "cy" | "r" | "width" | "height" | "viewBox" => {
                    check_numbers(element, name, value);
                }
                _ => {}
            }
        }
        if element.name == "svg" && !element.attributes.contains_key("aria-hidden") {
            assert_eq!(
                element.attributes.get("role").map(String::as_str),
                Some("img")
            );
            assert!(element.attributes.contains_key("aria-labelledby"));
        }
    }
    all
}

/// Coordinates are numbers that a drawing may have; sizes are not negative.
fn check_numbers(element: &Element, name: &str, value: &str) {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'e');
    assert!(
        !value.contains("NaN") && !value.contains("inf"),
        "{name}={value}"
    );
    let pieces = value
        .split(|c: char| !is_number(c))
        .filter(|piece| !piece.is_empty());
    for piece in pieces {
        let number: f64 = piece.parse().unwrap_or_else(|_| panic!("{name}={value}"));
        assert!(
            number.is_finite() && number.abs() <= 2_000.0,
            "{name}={value}"
        );
        if name == "width" || name == "height" || name == "r" {
            assert!(number >= 0.0, "{} {name}={value}", element.name);
        }
    }
}
