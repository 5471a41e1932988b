//! What the limits cost a request, ns of CPU time on one thread: `cargo bench -p mcsp-edge-limits`.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use mcsp_edge_limits::{
    Class, Fingerprint, Holder, Limiter, LimitsConfig, Occupancy, RunningSessions, Scope, Shedder,
};
use mcsp_runtime::{SystemClock, SystemEntropy};
use prometheus::Registry;

const ROUNDS: u32 = 1_000_000;
const PASSES: usize = 5;

fn main() {
    let mut config = LimitsConfig::default();
    // No refusals: those who are let through are the many.
    for (class, scope) in [
        (Class::Segment, Scope::Address),
        (Class::Segment, Scope::Token),
        (Class::ApiRead, Scope::Address),
        (Class::ApiRead, Scope::User),
        (Class::ApiRead, Scope::Pop),
    ] {
        let rate = "10000000/s burst 10000000".parse().unwrap();
        config.rate.set(class, scope, rate);
    }
    let clock = SystemClock::shared;
    let limiter = Limiter::new(&config, clock(), &SystemEntropy, &Registry::new()).unwrap();
    let occupancy = Occupancy::new(&config);
    let shedder = Shedder::new(&config.shed);
    let running = RunningSessions::new(&config.shed, clock(), &SystemEntropy);

    println!("ns a request (best of {PASSES} passes of {ROUNDS})");
    let v4 = |round: u32| Some(IpAddr::from((round % 50_000).to_be_bytes()));
    let v6 = |round: u32| {
        let network = u128::from(round % 50_000) << 64;
        Some(IpAddr::from(
            (0x2001_0db8_u128 << 96 | network).to_be_bytes(),
        ))
    };
    let holder = |round: u32| {
        let session = format_session(round % 50_000);
        Holder {
            user: None,
            token: Some(Fingerprint::of(&session)),
        }
    };
    measure("segment, by an IPv4 address", |round| {
        let _ = black_box(limiter.check_client(Class::Segment, v4(round)));
    });
    measure("segment, by an IPv6 address and its /48", |round| {
        let _ = black_box(limiter.check_client(Class::Segment, v6(round)));
    });
    measure("segment, by its playback session", |round| {
        let _ = black_box(limiter.check_holder(Class::Segment, &holder(round)));
    });
    measure("request under way and its end", |round| {
        black_box(occupancy.request(Class::Segment, v4(round)).is_ok());
    });
    measure("session seen", |round| {
        running.saw(Fingerprint::of(&format_session(round % 50_000)));
    });
    measure("segment, all of it", |round| {
        let address = v6(round);
        let guard = occupancy.request(Class::Segment, address);
        let holder = holder(round);
        black_box(shedder.refuses(Class::Segment, || {
            holder.token.is_some_and(|token| running.is_running(token))
        }));
        let _ = black_box(limiter.check_client(Class::Segment, address));
        let _ = black_box(limiter.check_holder(Class::Segment, &holder));
        if let Some(token) = holder.token {
            running.saw(token);
        }
        drop(black_box(guard));
    });
    measure(
        "API read by address, user and PoP, with its fields",
        |round| {
            let _ = black_box(limiter.check_client(Class::ApiRead, v4(round)));
            let holder = Holder {
                user: holder(round).token,
                token: None,
            };
            let verdict = limiter.check_holder(Class::ApiRead, &holder);
            if let mcsp_edge_limits::Verdict::Admitted(Some(standing)) = verdict {
                black_box((standing.rate_limit(), standing.policy()));
            }
        },
    );
}

/// As long as a real one.
fn format_session(number: u32) -> [u8; 31] {
    let mut name = *b"ps_ng_01k9x3m5y8q2v7r4t6w1z0a3b";
    name[27..].copy_from_slice(&number.to_be_bytes());
    name
}

fn measure(name: &str, mut run: impl FnMut(u32)) {
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let start = Instant::now();
        for round in 0..ROUNDS {
            run(round);
        }
        let ns = start.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
        best = best.min(ns);
    }
    println!("{best:>8.0}  {name}");
}
