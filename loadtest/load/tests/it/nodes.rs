//! Nodes are watched and harmed while users are there.

use mcsp_loadtest_bench::Plant;
use mcsp_loadtest_measure::{RequestClass, Results};

use crate::harness::{SHORT, Stage, finish, program, recorded};

/// The delay is felt while it is there, and not before or after it.
fn harm_is_seen(results: &Results) -> Result<(), String> {
    let [step] = results.chaos.as_slice() else {
        panic!("{:?}", results.chaos);
    };
    assert_eq!(step.error, None);
    assert!(step.from_us >= 4_000_000, "{step:?}");
    assert!(step.until_us >= step.from_us + 1_900_000, "{step:?}");
    assert!(step.must_hold.iter().all(|held| held.met), "{step:?}");
    let play = RequestClass::api("play");
    let median_ms = |span: std::ops::Range<u64>| {
        let sum = results.seen.timeline.sum(span.clone());
        let of = sum
            .classes
            .get(&play)
            .and_then(|of| of.last_byte.quantile(0.5));
        of.map(|us| us / 1e3)
            .ok_or_else(|| format!("no session began in {span:?}"))
    };
    let calm_ms = median_ms(1_000_000..4_000_000)?;
    let harmed_ms = median_ms(5_000_000..6_000_000)?;
    // Mended, and still open.
    let after_ms = median_ms(7_000_000..8_000_000)?;
    let is_seen =
        step.from_us < 5_500_000 && harmed_ms > calm_ms + 140.0 && after_ms < harmed_ms - 100.0;
    let why = || format!("{calm_ms} ms, {harmed_ms} ms, {after_ms} ms: {step:?}");
    is_seen.then_some(()).ok_or_else(why)
}

#[tokio::test]
async fn a_node_is_watched_and_its_network_is_harmed_and_mended() {
    let stage = Stage::with(Plant::Nothing).await;
    // Free for the program and nobody else: bound, and nobody listens there yet.
    let reserved = tokio::net::TcpSocket::new_v4().unwrap();
    reserved.set_reuseaddr(true).unwrap();
    reserved.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let proxy = reserved.local_addr().unwrap();
    let pid_file = stage.write("pid", &std::process::id().to_string());
    let address = stage.platform.address();
    // The API is reached through the proxy; media are not, as the API names the platform itself.
    let text = format!(
        "{}\n[[nodes]]\nname = \"pop\"\naddress = \"{address}\"\nproxy = \"{proxy}\"\npid_file = \"{}\"\n\
         metrics_url = \"http://{address}/metrics\"\n\
         [[chaos]]\nat_s = 4\nfor_s = 2\naction = \"delay\"\ntarget = \"pop\"\ndelay_ms = 150\nmust_hold = [\"errors\"]\n\
         [targets]\napi = \"http://{proxy}/\"\n",
        SHORT.replace("abr = \"highest\"", "abr = \"lowest\""),
        pid_file.display()
    );
    let scenario = stage.write("chaos.toml", &text);
    // A machine that stands still for a second hides what is to be seen, but not each time.
    let mut told = Vec::new();
    let (results, out) = loop {
        let out = stage.path(&format!("out-{}", told.len()));
        let mut command = program();
        command.arg("run").arg(&scenario).arg("--out").arg(&out);
        let said = finish(command).await;
        assert_eq!(said.status, 0, "{}{}", said.out, said.err);
        let results = recorded(&out).results;
        match harm_is_seen(&results) {
            Ok(()) => break (results, out),
            Err(why) => told.push(why),
        }
        assert!(told.len() < 5, "{told:#?}");
    };

    let [node] = results.nodes.as_slice() else {
        panic!("{:?}", results.nodes);
    };
    assert!(node.samples.len() >= 5, "{}", node.samples.len());
    assert!(node.samples.iter().any(|sample| {
        sample.is_up
            && sample.memory_bytes.is_some_and(|bytes| bytes > 1 << 20)
            && sample.cpu_cores.is_some()
    }));
    // What it says that it has sent is what came, heads and what came after the last look apart.
    let sent: f64 = node
        .samples
        .iter()
        .zip(node.samples.iter().skip(1))
        .filter_map(|(before, sample)| {
            let seconds = (sample.at_us - before.at_us) as f64 / 1e6;
            Some(sample.send_bytes_s? * seconds)
        })
        .sum();
    let came = results.seen.counts_of(None).bytes as f64;
    assert!((0.5..1.5).contains(&(sent / came)), "{sent} {came}");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Network"), "no graph of the network");
}
