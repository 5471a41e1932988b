//! Apache Traffic Server from Debian.

use super::{Plan, Purpose, Server, free_port, loopback, make_folder, write};
use crate::error::BenchError;

/// What the public suite's own project changes of Debian's records.
const CONFORMANCE: &str = "\
CONFIG proxy.config.exec_thread.autoconfig INT 1
CONFIG proxy.config.exec_thread.autoconfig.scale FLOAT 1.5
CONFIG proxy.config.http.cache.heuristic_min_lifetime INT 3600
CONFIG proxy.config.http.cache.heuristic_max_lifetime INT 86400
CONFIG proxy.config.http.insert_client_ip INT 1
CONFIG proxy.config.http.insert_squid_x_forwarded_for INT 1
";

/// One core has one event thread.
const ONE_CORE: &str = "\
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.http2.max_concurrent_streams_in INT 100
";

/// What both need: Debian's, with the cache as the suite's project has it.
const COMMON: &str = "\
CONFIG proxy.config.task_threads INT 2
CONFIG proxy.config.cache.threads_per_disk INT 8
CONFIG proxy.config.http.insert_request_via_str INT 1
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.cache.ignore_client_cc_max_age INT 1
CONFIG proxy.config.http.normalize_ae INT 1
CONFIG proxy.config.http.cache.cache_responses_to_cookies INT 1
CONFIG proxy.config.http.cache.when_to_revalidate INT 0
CONFIG proxy.config.http.cache.required_headers INT 2
CONFIG proxy.config.cache.ram_cache_cutoff INT 4194304
CONFIG proxy.config.cache.min_average_object_size INT 8000
CONFIG proxy.config.http.negative_caching_enabled INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.net.connections_throttle INT 30000
CONFIG proxy.config.net.listen_backlog INT 4096
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 120
CONFIG proxy.config.log.logging_enabled INT 3
CONFIG proxy.config.crash_log_helper STRING NULL
";

/// Starts it.
pub(super) async fn start(plan: &Plan<'_>) -> Result<Server, BenchError> {
    let port = free_port()?;
    let folder = plan.folder;
    let at = |name: &str| folder.join(name);
    for name in ["etc", "run", "log", "cache"] {
        make_folder(&at(name))?;
    }
    let shown = folder.display();
    write(
        &at("runroot.yaml"),
        &format!(
            "prefix: {shown}\nexec_prefix: /usr\nbindir: /usr/bin\nsbindir: /usr/sbin\nsysconfdir: {shown}/etc\n\
             datadir: /usr/share/trafficserver\nincludedir: /usr/include\nlibdir: /usr/lib/trafficserver\n\
             libexecdir: /usr/lib/trafficserver/modules\nlocalstatedir: {shown}\nruntimedir: {shown}/run\n\
             logdir: {shown}/log\nmandir: /usr/share/man\ninfodir: /usr/share/info\ncachedir: {shown}/cache\n"
        ),
    )?;
    let tls_port = plan.certificate.map(|_| free_port()).transpose()?;
    let ports = match tls_port {
        Some(tls) => format!("{port} {tls}:ssl"),
        None => port.to_string(),
    };
    let (ram, disk) = match plan.purpose {
        Purpose::Conformance => (-1, 256 << 20),
        Purpose::Memory => (512 << 20, 2_u64 << 30),
        Purpose::Disk => (1 << 20, 2 << 30),
        // What is in its memory is on its disk too.
        Purpose::Budget { bytes, .. } => (i64::try_from(bytes).unwrap_or(-1), bytes),
    };
    let threads = match plan.core {
        Some(_) => ONE_CORE,
        None => CONFORMANCE,
    };
    let user = match rustix::process::geteuid().is_root() {
        true => "CONFIG proxy.config.admin.user_id STRING #-1\n",
        false => "",
    };
    write(
        &at("etc/records.config"),
        &format!(
            "{COMMON}{threads}{user}CONFIG proxy.config.http.server_ports STRING {ports}\n\
             CONFIG proxy.config.cache.ram_cache.size INT {ram}\n\
             CONFIG proxy.config.ssl.server.cert.path STRING /\nCONFIG proxy.config.ssl.server.private_key.path STRING /\n"
        ),
    )?;
    write(
        &at("etc/remap.config"),
        &format!("map / http://{}/\n", plan.origin),
    )?;
    write(
        &at("etc/storage.config"),
        &format!("{} {disk}\n", at("cache").display()),
    )?;
    write(
        &at("etc/ip_allow.yaml"),
        "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n",
    )?;
    write(
        &at("etc/logging.yaml"),
        "logging:\n  formats:\n    - name: common\n      format: '%<chi> - %<caun> [%<cqtn>] \"%<cqtx>\" %<pssc> %<pscl>'\n  \
         logs:\n    - filename: access\n      format: common\n",
    )?;
    let certificate = plan.certificate.map(|certificate| {
        format!(
            "dest_ip=* ssl_cert_name={} ssl_key_name={}\n",
            certificate.cert.display(),
            certificate.key.display()
        )
    });
    write(
        &at("etc/ssl_multicert.config"),
        &certificate.unwrap_or_default(),
    )?;
    for name in [
        "plugin", "cache", "hosting", "parent", "splitdns", "volume", "socks",
    ] {
        write(&at(&format!("etc/{name}.config")), "")?;
    }
    let set_up = match plan.purpose {
        Purpose::Conformance => "as http-tests/cache-tests sets it up",
        Purpose::Disk => "1 MiB of RAM cache over a 2 GiB disk cache, one event thread, access log",
        _ => "RAM cache sized to hold everything, one event thread, access log",
    };
    let mut server = Server::new(plan.kind, loopback(port), set_up);
    let root = format!("--run-root={}", folder.display());
    let words = ["traffic_server".to_owned(), root];
    server
        .launch(plan, "traffic_server", &words, loopback(port))
        .await?;
    server.tls = tls_port.map(loopback);
    Ok(server)
}
