//! A region and its PoPs, as far as the tests need them.

mod feed;
mod keys;
mod node;
mod origin;
mod raw_origin;
pub(crate) mod tier;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

pub(crate) use keys::{AccessKeys, Claims};
pub(crate) use node::Node;
pub(crate) use origin::{Origin, Serve};
pub(crate) use raw_origin::RawOrigin;

use mcsp_api::Residency;
use mcsp_api::events::MediaType;
use mcsp_auth_edge::{MediaGrant, MediaKeyConfig, MediaKeyStore, RenditionLimits, TokenForm};
use mcsp_identity::{IdentityConfig, LocalCa, SpiffeId, WorkloadIdentity};
use mcsp_runtime::{Clock as _, SystemClock, SystemEntropy, install_crypto_provider};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use tempfile::TempDir;
use tokio::net::TcpSocket;

pub(crate) const CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const OTHER_CONTENT: &str = "c_ng_01k9x3m5y8q2v7r4t6w1z0a3bd";
pub(crate) const MEDIA_SESSION: &str = "ms_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const USER: &str = "u_ng_01k9x3m5y8q2v7r4t6w1z0a3bc";
pub(crate) const NG_ORIGIN: &str = "origin.ng-lagos.mcsp.internal";
pub(crate) const GL_ORIGIN: &str = "origin.global-london.mcsp.internal";

const REGIONS: &str = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                       [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";

/// One origin that plays both regions, its keys, and a folder for all files.
pub(crate) struct World {
    pub(crate) origin: Origin,
    pub(crate) access: AccessKeys,
    media: MediaKeyStore,
    ca: LocalCa,
    origin_identity: IdentityConfig,
    pub(crate) dir: TempDir,
}

impl World {
    /// With keys published and nothing else.
    pub(crate) async fn new() -> Self {
        let world = Self::without_keys().await;
        world.publish_keys();
        world
    }

    pub(crate) async fn without_keys() -> Self {
        install_crypto_provider();
        let dir = TempDir::new().unwrap();
        let ca = LocalCa::create_or_open(&dir.path().join("ca")).unwrap();
        write_pops(&dir.path().join("pops"));
        let id = SpiffeId::new("mcsp.internal", "ng-lagos", "origin").unwrap();
        let files = ca
            .issue(&id, &[GL_ORIGIN], &dir.path().join("origin"))
            .unwrap();
        let media = MediaKeyStore::open(
            dir.path().join("media-keys.json"),
            "ng".parse().unwrap(),
            MediaKeyConfig::default(),
            SystemClock::shared(),
            SystemEntropy::shared(),
        )
        .unwrap();
        Self {
            origin: Origin::start(&files.config()).await,
            access: AccessKeys::new("ng-lagos"),
            media,
            ca,
            origin_identity: files.config(),
            dir,
        }
    }

    pub(crate) fn publish_keys(&self) {
        self.publish_keys_by(&self.origin);
    }

    /// A node of the PoP, ready.
    pub(crate) async fn node(&self, pop: &str) -> Node {
        self.node_with(pop, "").await
    }

    /// A node with more configuration, ready.
    pub(crate) async fn node_with(&self, pop: &str, extra: &str) -> Node {
        let node = self.start(pop, extra).await;
        node.wait_ready().await;
        node
    }

    /// A node that may not be ready yet.
    pub(crate) async fn start(&self, pop: &str, extra: &str) -> Node {
        self.start_with_origins(pop, &[self.origin.address], extra)
            .await
    }

    pub(crate) async fn start_with_origins(
        &self,
        pop: &str,
        origins: &[SocketAddr],
        extra: &str,
    ) -> Node {
        // `{pop}`, or `{pop}-{node}`.
        let account = pop.split_once('-').map_or(pop, |(pop, _)| pop);
        let id = SpiffeId::new("mcsp.internal", "edge", account).unwrap();
        let files = self.ca.issue(&id, &[], &self.dir.path().join(pop)).unwrap();
        Node::start(self.dir.path(), pop, &files.config(), origins, extra).await
    }

    /// A node whose configuration is another than that of the others, ready.
    pub(crate) async fn node_edited(
        &self,
        pop: &str,
        extra: &str,
        edit: impl FnOnce(String) -> String,
    ) -> Node {
        let id = SpiffeId::new("mcsp.internal", "edge", pop).unwrap();
        let files = self.ca.issue(&id, &[], &self.dir.path().join(pop)).unwrap();
        let origins = [self.origin.address];
        let text = node::config(self.dir.path(), pop, &files.config(), &origins, extra);
        let node = Node::start_from(self.dir.path(), pop, &edit(text)).await;
        node.wait_ready().await;
        node
    }

    /// What `check` says of a node's configuration, which it refuses.
    pub(crate) fn check(&self, pop: &str, extra: &str) -> String {
        let id = SpiffeId::new("mcsp.internal", "edge", pop).unwrap();
        let files = self.ca.issue(&id, &[], &self.dir.path().join(pop)).unwrap();
        let origins = [self.origin.address];
        let text = node::config(self.dir.path(), pop, &files.config(), &origins, extra);
        let file = self.dir.path().join("checked.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcsp-edge"));
        let output = command
            .args(["check", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(64));
        String::from_utf8(output.stderr).unwrap()
    }

    /// A workload that the same authority vouches for.
    pub(crate) fn identity(&self, namespace: &str, account: &str) -> WorkloadIdentity {
        let id = SpiffeId::new("mcsp.internal", namespace, account).unwrap();
        let dir = self.dir.path().join("others").join(namespace).join(account);
        WorkloadIdentity::load(&self.ca.issue(&id, &[], &dir).unwrap().config()).unwrap()
    }

    /// The keys, published by another origin.
    pub(crate) fn publish_keys_by(&self, origin: &Origin) {
        for key in self.media.published() {
            origin.feed.media_key("ng-lagos", &key);
        }
        origin.feed.token_keys("ng-lagos", &self.access.jwks());
        let other = AccessKeys::new("global-london");
        origin.feed.token_keys("global-london", &other.jwks());
    }

    /// Another origin of the same regions.
    pub(crate) async fn another_origin(&self) -> Origin {
        Origin::start(&self.origin_identity).await
    }

    pub(crate) fn grant(&self, residency: Residency) -> MediaGrant {
        MediaGrant {
            content_id: CONTENT.parse().unwrap(),
            user_id: USER.parse().unwrap(),
            media_session_id: MEDIA_SESSION.parse().unwrap(),
            residency,
            media_type: MediaType::Video,
            expires_s: SystemClock.now_s() + 3600,
            limits: RenditionLimits::default(),
            client: None,
        }
    }

    pub(crate) fn sign(&self, grant: &MediaGrant) -> String {
        self.sign_as(grant, TokenForm::Hmac)
    }

    pub(crate) fn sign_as(&self, grant: &MediaGrant, form: TokenForm) -> String {
        self.media.signer().sign(grant, form).unwrap()
    }

    /// Publishes another world's keys as those of `region`.
    pub(crate) fn publish_keys_of(&self, other: &Self, region: &str) -> u64 {
        let sequences = other.media.published().into_iter();
        let sequences = sequences.map(|key| self.origin.feed.media_key(region, &key));
        sequences.max().unwrap_or(0)
    }

    /// The path of a part of [`CONTENT`] as a viewer asks for it.
    pub(crate) fn media_path(&self, residency: Residency, rest: &str) -> String {
        let token = self.sign(&self.grant(residency));
        format!("/media/{token}/{}/{CONTENT}/{rest}", residency.prefix())
    }
}

/// The path of a part of [`CONTENT`] as the origin is asked for it, and as the cache names it.
pub(crate) fn origin_path(residency: Residency, rest: &str) -> String {
    format!("/media/{}/{CONTENT}/{rest}", residency.prefix())
}

fn write_pops(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("regions.toml"), REGIONS).unwrap();
    for (id, country, at, region) in [
        ("los1", "NG", (6.43, 3.42), "ng-lagos"),
        ("abv1", "NG", (9.06, 7.49), "ng-lagos"),
        ("lhr1", "GB", (51.47, -0.45), "global-london"),
    ] {
        let text = format!(
            "id = \"{id}\"\nname = \"{id}\"\ncountry = \"{country}\"\nlatitude = {:?}\nlongitude = {:?}\n\
             trust = \"own\"\nregion = \"{region}\"\nbase_urls = [\"https://{id}.example\"]\nfallback_rank = {}\n",
            at.0,
            at.1,
            if id == "los1" { 10 } else { 20 },
        );
        std::fs::write(dir.join(format!("{id}.toml")), text).unwrap();
    }
}

/// A client that follows no redirect and trusts any certificate.
pub(crate) fn client() -> Client {
    install_crypto_provider();
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_danger_accept_invalid_certs(true)
        .timeout(PATIENCE)
        .build()
        .unwrap()
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap())
}

pub(crate) fn cache_status(response: &Response) -> String {
    header(response.headers(), "cache-status")
        .unwrap_or_default()
        .to_owned()
}

pub(crate) async fn get(node: &Node, path: &str) -> Response {
    node.request(Method::GET, path).send().await.unwrap()
}

/// How long is waited for what must come: machines that test much else meanwhile are slow, and nothing that comes is late by this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What `work` gives, within [`PATIENCE`].
pub(crate) async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| panic!("never: {what}"))
}

/// An address that is free for a node and for nobody else while the socket lives: bound, and nobody listens there yet.
pub(crate) fn reserved() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// What a file has up to its last line's end: a reader may see a line half written.
pub(crate) fn whole_lines(file: &Path) -> String {
    let mut bytes = std::fs::read(file).unwrap_or_default();
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    bytes.truncate(end.map_or(0, |end| end + 1));
    String::from_utf8(bytes).unwrap()
}

/// Waits until `state` holds, for [`PATIENCE`] at most.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, state: impl Fn() -> F) {
    let held = async {
        while !state().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within(what, held).await;
}
