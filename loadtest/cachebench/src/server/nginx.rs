//! nginx from Debian.

use super::{Kind, Plan, Purpose, Server, free_port, loopback, make_folder, write};
use crate::error::BenchError;

/// Starts it.
pub(super) async fn start(plan: &Plan<'_>) -> Result<Server, BenchError> {
    let port = free_port()?;
    let folder = plan.folder.display();
    let is_conformance = matches!(plan.purpose, Purpose::Conformance);
    let is_stock = is_conformance || plan.kind == Kind::NginxStock;
    make_folder(&plan.folder.join("temporary"))?;
    // It has files only: what is in memory, the kernel has there.
    let store = plan.folder.join("cache");
    make_folder(&store)?;
    let store = store.display();
    let (zone, size) = match plan.purpose {
        Purpose::Conformance => ("my-cache:8m".to_owned(), "1000m".to_owned()),
        Purpose::Memory | Purpose::Disk => ("my-cache:64m".to_owned(), "4g".to_owned()),
        // Its manager looks at bytes only every 10 s and would let it grow far beyond; a full zone evicts at once. A key
        // takes 128 bytes of it (1 MiB holds about 8000).
        Purpose::Budget { bytes, objects } => (
            format!("my-cache:{}", (objects * 128).max(64 << 10)),
            bytes.to_string(),
        ),
    };
    let hand_over = match plan.purpose {
        // Its cache manager looks every 10 s unless told otherwise; here a budget is to be kept.
        Purpose::Budget { .. } => " manager_sleep=50ms manager_files=1000 manager_threshold=1s",
        _ => "",
    };
    let files = match plan.purpose {
        _ if is_stock => "sendfile on; tcp_nopush on;",
        // What it has evicted stays open in its cache of open files, and until its loader has run (after 60 s) is served
        // from there: far more than the budget.
        Purpose::Budget { .. } => "sendfile off; output_buffers 4 512k; tcp_nodelay on;",
        _ => {
            "sendfile off; open_file_cache max=16000 inactive=10m; open_file_cache_valid 10m; \
             output_buffers 4 512k; tcp_nodelay on;"
        }
    };
    let log = if is_stock {
        format!("access_log {folder}/access.log;")
    } else {
        format!("access_log {folder}/access.log combined buffer=256k flush=1s;")
    };
    // As the public suite's own project has it, there is none.
    let lock = if is_conformance {
        ""
    } else {
        "proxy_cache_lock on;"
    };
    let requests = if is_stock {
        ""
    } else {
        "keepalive_requests 1000000;"
    };
    let (tls_port, tls) = match plan.certificate {
        None => (None, String::new()),
        Some(certificate) => {
            let port = free_port()?;
            let listen = format!(
                "listen 127.0.0.1:{port} ssl http2 backlog=4096; ssl_certificate {}; ssl_certificate_key {}; \
                 ssl_protocols TLSv1.3; ssl_buffer_size 16k;",
                certificate.cert.display(),
                certificate.key.display(),
            );
            // The directive has another name since 1.19.7.
            (
                Some(port),
                listen.replace(" http2_max_requests 1000000;", ""),
            )
        }
    };
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let workers = if plan.core.is_some() { "1" } else { "auto" };
    let text = format!(
        "{user} worker_processes {workers}; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;\n\
         worker_rlimit_nofile 65536;\n\
         events {{ worker_connections 16384; }}\n\
         http {{\n\
           {log} {files} {requests}\n\
           client_body_temp_path {folder}/temporary/body; proxy_temp_path {store}/tmp;\n\
           fastcgi_temp_path {folder}/temporary/f; uwsgi_temp_path {folder}/temporary/u; scgi_temp_path {folder}/temporary/s;\n\
           proxy_cache_path {store} levels=1:2 keys_zone={zone} max_size={size} inactive=600m{hand_over};\n\
           server {{\n\
             listen 127.0.0.1:{port} backlog=4096; {tls}\n\
             location / {{\n\
               proxy_pass http://{origin}; proxy_cache my-cache; proxy_cache_revalidate on; proxy_http_version 1.1; {lock}\n\
               proxy_set_header Host $http_host; proxy_set_header Connection \"\";\n\
             }}\n\
           }}\n\
         }}\n",
        origin = plan.origin,
    );
    // As the public suite's own project has it: nginx's own Host and Connection.
    let text = if is_conformance {
        text.replace(
            "proxy_set_header Host $http_host; proxy_set_header Connection \"\";",
            "",
        )
    } else {
        text
    };
    let config = write(&plan.folder.join("nginx.conf"), &text)?;
    let set_up = if is_conformance {
        "as http-tests/cache-tests sets it up"
    } else if is_stock {
        "sendfile, unbuffered access log, as Debian sets it up"
    } else if matches!(plan.purpose, Purpose::Budget { .. }) {
        "no open_file_cache, so that its budget is kept; buffered access log"
    } else {
        "open_file_cache, sendfile off, large output buffers, buffered access log"
    };
    let mut server = Server::new(plan.kind, loopback(port), set_up);
    let words = [
        "nginx",
        "-p",
        &folder.to_string(),
        "-c",
        &config.display().to_string(),
    ];
    server
        .launch(plan, "nginx", &words.map(str::to_owned), loopback(port))
        .await?;
    server.tls = tls_port.map(loopback);
    Ok(server)
}
