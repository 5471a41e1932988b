//! Names, and the addresses they stand for at the moment.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicUsize};
use std::time::Duration;

use crate::ResolveError;
use crate::shield::shard_hash;

/// How long one name may take to be looked up.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// A `host:port`, as configured.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    /// Whose address it is, where objects are shared out; then it stands for one address.
    pub(crate) parent: Option<Arc<ParentName>>,
}

/// A parent, by name.
#[derive(Debug)]
pub(crate) struct ParentName {
    /// What its share of the objects is told by.
    pub(crate) id: String,
    /// What its certificate is checked against.
    pub(crate) server_name: String,
}

#[derive(Debug)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    /// What its share of the objects is told by, where they are shared out.
    pub(crate) shard: u64,
    pub(crate) parent: Option<Arc<ParentName>>,
    pub(crate) in_flight: AtomicUsize,
    /// In a row.
    pub(crate) failures: AtomicU32,
    /// How often in a row it was left alone.
    pub(crate) backoffs: AtomicU32,
    /// Left alone until then, Unix milliseconds.
    pub(crate) unhealthy_until_ms: AtomicI64,
}

impl Address {
    fn new(socket: SocketAddr, shard: u64, parent: Option<Arc<ParentName>>) -> Self {
        Self {
            socket,
            shard,
            parent,
            in_flight: AtomicUsize::new(0),
            failures: AtomicU32::new(0),
            backoffs: AtomicU32::new(0),
            unhealthy_until_ms: AtomicI64::new(i64::MIN),
        }
    }
}

impl Name {
    /// An address as such never becomes another.
    fn is_address(&self) -> bool {
        self.text.parse::<SocketAddr>().is_ok()
    }

    fn look_up(&self) -> Result<Vec<SocketAddr>, ResolveError> {
        let found = self.text.to_socket_addrs().map_err(|error| ResolveError {
            address: self.text.clone(),
            expected: format!("host:port ({error})"),
        })?;
        Ok(found.collect())
    }
}

/// May the addresses change?
pub(crate) fn may_change(names: &[Name]) -> bool {
    names.iter().any(|name| !name.is_address())
}

/// The addresses of all names. Blocks.
pub(crate) fn look_up(names: &[Name]) -> Result<Vec<Arc<Address>>, ResolveError> {
    let found: Result<Vec<_>, _> = names.iter().map(Name::look_up).collect();
    Ok(list(names, &found?, &[]))
}

/// The addresses of all names; what is known of those that were there `before` stays. Nothing when a name could not be
/// looked up, or all stand for nothing: then the last good ones serve.
pub(crate) async fn look_up_again(
    names: &[Name],
    before: &[Arc<Address>],
) -> Option<Vec<Arc<Address>>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let lookup = tokio::net::lookup_host(&name.text);
        let sockets = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await.ok()?;
        found.push(sockets.ok()?.collect());
    }
    Some(list(names, &found, before)).filter(|addresses| !addresses.is_empty())
}

fn list(names: &[Name], found: &[Vec<SocketAddr>], before: &[Arc<Address>]) -> Vec<Arc<Address>> {
    let mut addresses: Vec<Arc<Address>> = Vec::new();
    for (name, sockets) in names.iter().zip(found) {
        let wanted = if name.parent.is_some() { 1 } else { usize::MAX };
        for socket in sockets.iter().take(wanted) {
            let shard = match &name.parent {
                Some(parent) => shard_hash(parent.id.as_bytes()),
                None => shard_hash(socket.to_string().as_bytes()),
            };
            let is_same =
                |address: &&Arc<Address>| address.socket == *socket && address.shard == shard;
            if addresses.iter().any(|address| is_same(&address)) {
                continue;
            }
            let kept = before.iter().find(is_same).cloned();
            addresses.push(
                kept.unwrap_or_else(|| Arc::new(Address::new(*socket, shard, name.parent.clone()))),
            );
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    fn name(text: &str, id: Option<&str>) -> Name {
        Name {
            text: text.to_owned(),
            parent: id.map(|id| {
                Arc::new(ParentName {
                    id: id.to_owned(),
                    server_name: "p.test".to_owned(),
                })
            }),
        }
    }

    fn sockets(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ports(addresses: &[Arc<Address>]) -> Vec<u16> {
        addresses
            .iter()
            .map(|address| address.socket.port())
            .collect()
    }

    #[test]
    fn what_is_known_of_an_address_outlives_a_lookup() {
        let names = [name("a.test:1", None), name("b.test:1", None)];
        let first = [
            sockets(&["10.0.0.1:1", "10.0.0.2:2"]),
            sockets(&["10.0.0.2:2", "10.0.0.3:3"]),
        ];
        let before = list(&names, &first, &[]);
        assert_eq!(ports(&before), [1, 2, 3]);
        before[1].failures.store(7, Ordering::Relaxed);
        let second = [sockets(&["10.0.0.4:4"]), sockets(&["10.0.0.2:2"])];
        let after = list(&names, &second, &before);
        assert_eq!(ports(&after), [4, 2]);
        assert_eq!(after[1].failures.load(Ordering::Relaxed), 7);
    }

    #[test]
    fn a_parent_keeps_its_share_when_its_address_changes() {
        let names = [name("p.test:1", Some("p"))];
        let before = list(&names, &[sockets(&["10.0.0.1:1", "10.0.0.2:2"])], &[]);
        assert_eq!(ports(&before), [1], "one address for one share");
        let after = list(&names, &[sockets(&["10.0.0.9:9"])], &before);
        assert_eq!(ports(&after), [9]);
        assert_eq!(before[0].shard, after[0].shard);
    }

    #[tokio::test]
    async fn names_that_stand_for_nothing_leave_the_last_good_addresses() {
        let gone = [name("nothing.invalid:1", None)];
        assert!(look_up_again(&gone, &[]).await.is_none());
        let here = [name("127.0.0.1:1", None)];
        let addresses = look_up_again(&here, &[]).await.unwrap();
        assert_eq!(ports(&addresses), [1]);
        assert!(may_change(&gone) && !may_change(&here));
    }
}
