//! The sums.

use serde::Serialize;

use crate::figure::{Figure, Unit};
use crate::inputs::{Inputs, PlanError};

/// Says what the JSON is; a change that old readers would misread gets another number.
pub const PLAN_SCHEMA: &str = "mcsp-load/plan/1";

/// A result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What it is part of: `demand`, `nigeria`, `elsewhere`, `origin`, `total`.
    pub section: &'static str,
    /// What it is.
    pub name: &'static str,
    /// How much, in the unit.
    pub value: f64,
    /// In what.
    pub unit: Unit,
    /// How it was had, with the numbers in it.
    pub formula: String,
}

/// What is needed, and of what that follows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// [`PLAN_SCHEMA`].
    pub schema: &'static str,
    /// 1 or 3.
    pub year: u8,
    /// In the order in which they follow from each other.
    pub lines: Vec<Line>,
    /// What it was made of.
    pub inputs: Vec<Figure>,
}

impl Plan {
    /// A result; none: there is no such line.
    #[must_use]
    pub fn value(&self, section: &str, name: &str) -> Option<f64> {
        let line = self
            .lines
            .iter()
            .find(|line| line.section == section && line.name == name);
        line.map(|line| line.value)
    }
}

pub(crate) const DAY_S: f64 = 86_400.0;
const YEAR_DAYS: f64 = 365.0;

/// Does the sums.
///
/// # Errors
/// When all PoPs of a group are lost.
pub fn plan(inputs: &Inputs) -> Result<Plan, PlanError> {
    let mut sheet = Sheet {
        inputs,
        section: "demand",
        lines: Vec::new(),
    };
    let demand = sheet.demand();
    let share = inputs.get("nigeria_share");
    let nigeria = sheet.group(
        "nigeria",
        share,
        ["nigeria_pops", "nigeria_pops_lost"],
        &demand,
    )?;
    let elsewhere = sheet.group(
        "elsewhere",
        1.0 - share,
        ["other_pops", "other_pops_lost"],
        &demand,
    )?;
    sheet.origin(&demand);
    sheet.total(&nigeria, &elsewhere);
    Ok(Plan {
        schema: PLAN_SCHEMA,
        year: inputs.year().number(),
        lines: sheet.lines,
        inputs: inputs.figures().to_vec(),
    })
}

pub(crate) struct Sheet<'a> {
    inputs: &'a Inputs,
    pub(crate) section: &'static str,
    lines: Vec<Line>,
}

pub(crate) struct Demand {
    pub(crate) viewers: f64,
    pub(crate) egress_bit_s: f64,
    raw_item_bytes: f64,
    pub(crate) cache_bytes: f64,
}

/// Of all PoPs of a group.
pub(crate) struct Group {
    pub(crate) nodes: f64,
    pub(crate) cores: f64,
    pub(crate) disks: f64,
    pub(crate) memory_bytes: f64,
}

impl Sheet<'_> {
    pub(crate) fn get(&self, name: &str) -> f64 {
        self.inputs.get(name)
    }

    pub(crate) fn add(
        &mut self,
        name: &'static str,
        unit: Unit,
        value: f64,
        formula: String,
    ) -> f64 {
        self.lines.push(Line {
            section: self.section,
            name,
            value,
            unit,
            formula,
        });
        value
    }

    pub(crate) fn show(&self, name: &str) -> String {
        let figure = self
            .inputs
            .figures()
            .iter()
            .find(|figure| figure.name == name);
        figure
            .map(|figure| figure.unit.show(figure.value))
            .unwrap_or_default()
    }

    fn demand(&mut self) -> Demand {
        use Unit::{BitPerS, Byte, Ratio};
        let viewers = self.get("viewers");
        let video = self.get("video_share");
        let audio = 1.0 - video;
        let blend = video * self.get("video_bit_s") + audio * self.get("audio_bit_s");
        let formula = format!(
            "{} video × {} + {} audio × {}",
            Unit::Ratio.show(video),
            self.show("video_bit_s"),
            Unit::Ratio.show(audio),
            self.show("audio_bit_s")
        );
        self.add("a stream by bitrates", BitPerS, blend, formula);
        let stream = blend.max(self.get("stated_viewer_bit_s"));
        let formula = format!(
            "the larger of {} and the stated {}",
            BitPerS.show(blend),
            self.show("stated_viewer_bit_s")
        );
        self.add("a stream, planned for", BitPerS, stream, formula);
        let egress = viewers * stream;
        let formula = format!(
            "{} viewers × {}",
            self.show("viewers"),
            BitPerS.show(stream)
        );
        let egress_bit_s = self.add("egress at peak", BitPerS, egress, formula);
        let raw = video * self.get("raw_video_bytes") + audio * self.get("raw_audio_bytes");
        let formula = format!(
            "{} video × {} + {} audio × {}",
            Ratio.show(video),
            self.show("raw_video_bytes"),
            Ratio.show(audio),
            self.show("raw_audio_bytes")
        );
        let raw_item_bytes = self.add("an item, raw", Byte, raw, formula);
        // Of N items with popularity rank^-s, the first k get (k/N)^(1-s) of the requests: the integral in place of the sum.
        let (hit, zipf_s) = (self.get("pop_hit_ratio"), self.get("zipf_s"));
        let hot = hit.powf(1.0 / (1.0 - zipf_s));
        let formula = format!(
            "hit ratio {} ^ (1 / (1 − Zipf {}))",
            Ratio.show(hit),
            Ratio.show(zipf_s)
        );
        self.add("catalogue share that is hot", Ratio, hot, formula);
        let cache = self.get("items") * hot * raw * self.get("rendition_ratio");
        let formula = format!(
            "{} items × {} × {} × renditions {}",
            self.show("items"),
            Ratio.show(hot),
            Byte.show(raw),
            self.show("rendition_ratio")
        );
        let cache_bytes = self.add("cached bytes a PoP", Byte, cache, formula);
        Demand {
            viewers,
            egress_bit_s,
            raw_item_bytes,
            cache_bytes,
        }
    }

    fn origin(&mut self, demand: &Demand) {
        use Unit::{BitPerS, Byte, BytePerDay, Ratio};
        self.section = "origin";
        let offload = self.get("offload_ratio");
        let egress = demand.egress_bit_s * (1.0 - offload);
        let formula = format!(
            "{} × (1 − offload {})",
            BitPerS.show(demand.egress_bit_s),
            Ratio.show(offload)
        );
        self.add("origin egress at peak", BitPerS, egress, formula);
        let used = self.get("link_use_ratio");
        let formula = format!(
            "{} / {} used at most",
            BitPerS.show(egress),
            Ratio.show(used)
        );
        self.add("origin links", BitPerS, egress / used, formula);
        let ingest = self.get("uploads_day") * demand.raw_item_bytes;
        let formula = format!(
            "{} uploads × {}",
            self.show("uploads_day"),
            Byte.show(demand.raw_item_bytes)
        );
        self.add("uploads a day", BytePerDay, ingest, formula);
        let peak = self.get("upload_peak_ratio");
        let formula = format!(
            "{} × 8 / 86 400 s × peak {} / {}",
            Byte.show(ingest),
            Ratio.show(peak),
            Ratio.show(used)
        );
        self.add(
            "links for uploads",
            BitPerS,
            ingest * 8.0 / DAY_S * peak / used,
            formula,
        );
        let (renditions, copies) = (self.get("rendition_ratio"), self.get("copies"));
        let kept = demand.raw_item_bytes * (1.0 + renditions) * copies;
        let formula = format!(
            "{} × (1 + renditions {}) × {} copies",
            Byte.show(demand.raw_item_bytes),
            Ratio.show(renditions),
            Ratio.show(copies)
        );
        self.add("an item, stored", Byte, kept, formula);
        let formula = format!("{} items × {}", self.show("items"), Byte.show(kept));
        self.add("storage", Byte, self.get("items") * kept, formula);
        let growth = self.get("uploads_day") * YEAR_DAYS * kept;
        let formula = format!(
            "{} uploads × 365 × {}",
            self.show("uploads_day"),
            Byte.show(kept)
        );
        self.add("storage more a year", Byte, growth, formula);
    }

    fn total(&mut self, nigeria: &Group, elsewhere: &Group) {
        use Unit::{Byte, Core, Count};
        self.section = "total";
        for (name, unit, of) in [
            (
                "edge nodes",
                Count,
                (|group| group.nodes) as fn(&Group) -> f64,
            ),
            ("edge cores", Core, |group| group.cores),
            ("edge disks", Count, |group| group.disks),
            ("edge memory", Byte, |group| group.memory_bytes),
        ] {
            let (here, there) = (of(nigeria), of(elsewhere));
            let formula = format!(
                "Nigeria {} + elsewhere {}",
                unit.show(here),
                unit.show(there)
            );
            self.add(name, unit, here + there, formula);
        }
    }
}
