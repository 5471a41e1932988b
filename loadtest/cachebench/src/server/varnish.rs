//! Varnish from Debian, with hitch in front of it for TLS.

use super::{Plan, Purpose, Server, free_port, loopback, write};
use crate::error::BenchError;

/// Starts it.
pub(super) async fn start(plan: &Plan<'_>) -> Result<Server, BenchError> {
    let (port, proxied) = (free_port()?, free_port()?);
    let vcl = write(
        &plan.folder.join("default.vcl"),
        &format!(
            "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\n",
            plan.origin.ip(),
            plan.origin.port()
        ),
    )?;
    let storage = match plan.purpose {
        Purpose::Conformance => "malloc,64M".to_owned(),
        Purpose::Memory => "malloc,1G".to_owned(),
        Purpose::Disk => format!("file,{},2G", plan.folder.join("store").display()),
        Purpose::Budget { bytes, .. } => format!("malloc,{bytes}"),
    };
    let mut words: Vec<String> = ["varnishd", "-F", "-j", "none", "-n"]
        .map(str::to_owned)
        .to_vec();
    words.push(plan.folder.join("work").display().to_string());
    words.extend(["-a".to_owned(), format!("127.0.0.1:{port}")]);
    words.extend(["-a".to_owned(), format!("127.0.0.1:{proxied},PROXY")]);
    words.extend(["-f".to_owned(), vcl.display().to_string()]);
    words.extend(["-s".to_owned(), storage]);
    let parameters: &[&str] = match plan.purpose {
        Purpose::Conformance => &["default_ttl=0", "default_grace=0", "default_keep=3600"],
        _ => &[
            "feature=+http2",
            "thread_pools=1",
            "thread_pool_min=200",
            "thread_pool_max=4000",
            "listen_depth=4096",
            "default_grace=0",
        ],
    };
    for parameter in parameters {
        words.extend(["-p".to_owned(), (*parameter).to_owned()]);
    }
    let set_up = match plan.purpose {
        Purpose::Conformance => "as http-tests/cache-tests sets it up",
        Purpose::Disk => "file storage, one thread pool; TLS by hitch",
        _ => "malloc storage, one thread pool, its log in memory; TLS by hitch",
    };
    let mut server = Server::new(plan.kind, loopback(port), set_up);
    server
        .launch(plan, "varnish", &words, loopback(port))
        .await?;
    if let Some(certificate) = plan.certificate {
        let tls = free_port()?;
        // It refuses to be root.
        let user = match rustix::process::geteuid().is_root() {
            true => "user = \"nobody\"\n",
            false => "",
        };
        let config = write(
            &plan.folder.join("hitch.conf"),
            &format!(
                "frontend = \"[127.0.0.1]:{tls}\"\nbackend = \"[127.0.0.1]:{proxied}\"\npem-file = \"{}\"\n\
                 alpn-protos = \"h2, http/1.1\"\nwrite-proxy-v2 = on\nworkers = 1\nbacklog = 4096\n\
                 tls-protos = TLSv1.3\ndaemon = off\nocsp-dir = \"\"\n{user}",
                certificate.both.display()
            ),
        )?;
        let words = ["hitch", "--config", &config.display().to_string()];
        server
            .launch(plan, "hitch", &words.map(str::to_owned), loopback(tls))
            .await?;
        server.tls = Some(loopback(tls));
    }
    Ok(server)
}
