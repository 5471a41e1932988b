//! The sums of a group of PoPs.

use crate::arithmetic::{DAY_S, Demand, Group, Sheet};
use crate::figure::Unit;
use crate::inputs::PlanError;

impl Sheet<'_> {
    pub(crate) fn group(
        &mut self,
        section: &'static str,
        share: f64,
        [pops_name, lost_name]: [&'static str; 2],
        demand: &Demand,
    ) -> Result<Group, PlanError> {
        use Unit::{BitPerS, Core, Count};
        self.section = section;
        let (pops, lost) = (self.get(pops_name), self.get(lost_name));
        let up = pops - lost;
        if up < 1.0 {
            return Err(PlanError::AllLost {
                name: lost_name,
                lost,
                pops,
            });
        }
        let viewers = demand.viewers * share / up;
        let of_group = format!(
            "× {} / ({} PoPs − {} lost)",
            Unit::Ratio.show(share),
            Count.show(pops),
            Count.show(lost)
        );
        self.add(
            "viewers a PoP",
            Count,
            viewers,
            format!("{} {of_group}", Count.show(demand.viewers)),
        );
        let egress = demand.egress_bit_s * share / up;
        self.add(
            "egress a PoP",
            BitPerS,
            egress,
            format!("{} {of_group}", BitPerS.show(demand.egress_bit_s)),
        );
        let cores = self.cores(viewers, egress);
        let disks = self.disks(egress, demand.cache_bytes);
        let by_cores = (cores / self.get("node_cores")).ceil();
        let by_links = (egress / (self.get("node_link_bit_s") * self.get("link_use_ratio"))).ceil();
        let by_disks = (disks / self.get("node_disks_max")).ceil();
        let working = by_cores.max(by_links).max(by_disks).max(1.0);
        let spare = self.get("spare_nodes");
        let formula = format!(
            "the most of cores {} / {}, links {} / ({} × {}), disks {} / {}; + {} spare",
            Core.show(cores),
            self.show("node_cores"),
            BitPerS.show(egress),
            self.show("node_link_bit_s"),
            self.show("link_use_ratio"),
            Count.show(disks),
            self.show("node_disks_max"),
            Count.show(spare)
        );
        let nodes = self.add("nodes a PoP", Count, working + spare, formula);
        let node_disks = (disks / working).ceil();
        let formula = format!(
            "{} / {} working nodes",
            Count.show(disks),
            Count.show(working)
        );
        self.add("disks a node", Count, node_disks, formula);
        let memory = self.memory(working, viewers, demand.cache_bytes);
        self.links(working, egress);
        let total = nodes * pops;
        let formula = format!("{} a PoP × {} PoPs", Count.show(nodes), Count.show(pops));
        self.add("nodes", Count, total, formula);
        Ok(Group {
            nodes: total,
            cores: total * self.get("node_cores"),
            disks: total * node_disks,
            memory_bytes: total * memory,
        })
    }

    fn cores(&mut self, viewers: f64, egress: f64) -> f64 {
        use Unit::{BitPerS, Core, Count, PerS};
        let media = egress / 8e9 * self.get("media_core_s_gb");
        let formula = format!(
            "{} / 8 × {}",
            BitPerS.show(egress),
            self.show("media_core_s_gb")
        );
        self.add("cores for media", Core, media, formula);
        let handshakes = viewers / self.get("session_s") * self.get("handshake_core_us") / 1e6;
        let formula = format!(
            "{} / {} × {} a handshake",
            Count.show(viewers),
            self.show("session_s"),
            self.show("handshake_core_us")
        );
        self.add("cores for handshakes", Core, handshakes, formula);
        let requests = viewers * self.get("api_requests_viewer_s");
        let api = requests * self.get("api_core_us") / 1e6;
        let formula = format!(
            "{} × {} a request",
            PerS.show(requests),
            self.show("api_core_us")
        );
        self.add("cores for the API", Core, api, formula);
        let used = self.get("core_use_ratio");
        let formula = format!(
            "({} + {} + {}) / {} used at most",
            Core.show(media),
            Core.show(handshakes),
            Core.show(api),
            Unit::Ratio.show(used)
        );
        self.add(
            "cores a PoP",
            Core,
            (media + handshakes + api) / used,
            formula,
        )
    }

    fn disks(&mut self, egress: f64, cache_bytes: f64) -> f64 {
        use Unit::{BitPerS, Byte, BytePerDay, Count};
        let hit = self.get("pop_hit_ratio");
        let by_size = (cache_bytes / (self.get("disk_bytes") * self.get("disk_use_ratio"))).ceil();
        let formula = format!(
            "{} / ({} × {})",
            Byte.show(cache_bytes),
            self.show("disk_bytes"),
            self.show("disk_use_ratio")
        );
        self.add("disks by size", Count, by_size, formula);
        let mean = self.get("mean_to_peak_ratio");
        let written = egress / 8.0 * mean * (1.0 - hit) * DAY_S * self.get("write_amplification");
        let formula = format!(
            "{} / 8 × mean {} × (1 − {}) × 86 400 s × amplification {}",
            BitPerS.show(egress),
            Unit::Ratio.show(mean),
            Unit::Ratio.show(hit),
            self.show("write_amplification")
        );
        self.add("written a day", BytePerDay, written, formula);
        let by_wear = (written / self.get("disk_writes_bytes_day")).ceil();
        let formula = format!(
            "{} / {}",
            BytePerDay.show(written),
            self.show("disk_writes_bytes_day")
        );
        self.add("disks by write endurance", Count, by_wear, formula);
        let memory = self.get("memory_hit_share");
        let by_reads = (egress * hit * (1.0 - memory) / self.get("disk_read_bit_s")).ceil();
        let formula = format!(
            "{} × {} × (1 − {} from memory) / {}",
            BitPerS.show(egress),
            Unit::Ratio.show(hit),
            Unit::Ratio.show(memory),
            self.show("disk_read_bit_s")
        );
        self.add("disks by reads", Count, by_reads, formula);
        let disks = by_size.max(by_wear).max(by_reads).max(1.0);
        let formula = format!(
            "the most of {}, {} and {}",
            Count.show(by_size),
            Count.show(by_wear),
            Count.show(by_reads)
        );
        self.add("disks a PoP", Count, disks, formula)
    }

    fn memory(&mut self, working: f64, viewers: f64, cache_bytes: f64) -> f64 {
        use Unit::{Byte, Count, Ratio};
        let (base, share, connection) = (
            self.get("base_memory_bytes"),
            self.get("memory_share"),
            self.get("connection_bytes"),
        );
        let bytes = base + (cache_bytes * share + viewers * connection) / working;
        let formula = format!(
            "{} + ({} × {} + {} × {}) / {}",
            Byte.show(base),
            Byte.show(cache_bytes),
            Ratio.show(share),
            Count.show(viewers),
            Byte.show(connection),
            Count.show(working)
        );
        self.add("memory a node", Byte, bytes, formula)
    }

    fn links(&mut self, working: f64, egress: f64) {
        use Unit::{BitPerS, Count, Ratio};
        let used = self.get("link_use_ratio");
        let viewers_link = egress / used;
        let formula = format!(
            "{} / {} used at most",
            BitPerS.show(egress),
            Ratio.show(used)
        );
        self.add("link to viewers a PoP", BitPerS, viewers_link, formula);
        let formula = format!(
            "{} / {} working nodes",
            BitPerS.show(viewers_link),
            Count.show(working)
        );
        self.add("link a node", BitPerS, viewers_link / working, formula);
        let hit = self.get("pop_hit_ratio");
        let formula = format!(
            "{} × (1 − {}) / {}",
            BitPerS.show(egress),
            Ratio.show(hit),
            Ratio.show(used)
        );
        self.add(
            "link for fills a PoP",
            BitPerS,
            egress * (1.0 - hit) / used,
            formula,
        );
    }
}
