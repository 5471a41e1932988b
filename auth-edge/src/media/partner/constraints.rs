//! What a partner's token demands of each request, whatever form it came in.

use super::matching::Match;
use crate::media::address::AddressPrefix;
use crate::media::error::MediaTokenError;
use crate::media::request::MediaRequest;

/// Which part of an address a demand is about; the numbers are CTA-5007's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UriPart {
    Whole,
    Scheme,
    Host,
    Port,
    Path,
    Query,
    Folder,
    Name,
    Stem,
    Extension,
}

impl UriPart {
    pub(super) fn from_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Scheme,
            1 => Self::Host,
            2 => Self::Port,
            3 => Self::Path,
            4 => Self::Query,
            5 => Self::Folder,
            6 => Self::Name,
            7 => Self::Stem,
            8 => Self::Extension,
            _ => return None,
        })
    }
}

/// Who may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Prefix(AddressPrefix),
    Asn(u32),
}

/// Demands; all must be met. `None` where the token has none.
#[derive(Debug, Default)]
pub(super) struct Constraints {
    pub(super) uri: Vec<(UriPart, Match)>,
    pub(super) methods: Option<Vec<String>>,
    pub(super) networks: Option<Vec<Network>>,
    pub(super) countries: Option<Vec<String>>,
    pub(super) protocols: Option<Vec<Vec<u8>>>,
    pub(super) headers: Vec<(String, Match)>,
    pub(super) ja4: Option<String>,
}

impl Constraints {
    /// Does the request meet all of them?
    ///
    /// # Errors
    /// [`MediaTokenError::OtherClient`] when it comes from elsewhere, [`MediaTokenError::OtherRequest`] for the rest.
    pub(super) fn check(&self, request: &MediaRequest<'_>) -> Result<(), MediaTokenError> {
        if !self.allows_client(request) {
            return Err(MediaTokenError::OtherClient);
        }
        if self.allows_request(request) && self.allows_uri(request) {
            Ok(())
        } else {
            Err(MediaTokenError::OtherRequest)
        }
    }

    fn allows_client(&self, request: &MediaRequest<'_>) -> bool {
        let is_in = |network: &Network| match network {
            Network::Prefix(prefix) => request.client.is_some_and(|client| prefix.contains(client)),
            Network::Asn(asn) => request.asn == Some(*asn),
        };
        let may = self
            .networks
            .as_ref()
            .is_none_or(|networks| networks.iter().any(is_in));
        let is_own_tls = self
            .ja4
            .as_deref()
            .is_none_or(|ja4| request.ja4 == Some(ja4));
        may && is_own_tls
    }

    fn allows_request(&self, request: &MediaRequest<'_>) -> bool {
        let is_listed = |list: &Option<Vec<String>>, value: Option<&str>| {
            list.as_ref().is_none_or(|list| {
                value.is_some_and(|value| list.iter().any(|listed| listed == value))
            })
        };
        let protocols = self.protocols.as_ref();
        is_listed(&self.methods, Some(request.method))
            && is_listed(&self.countries, request.country)
            && protocols.is_none_or(|protocols| {
                request
                    .alpn
                    .is_some_and(|alpn| protocols.iter().any(|listed| listed == alpn))
            })
            && self.headers.iter().all(|(name, wanted)| {
                request
                    .header(name)
                    .is_some_and(|value| wanted.is_met_by(value))
            })
    }

    fn allows_uri(&self, request: &MediaRequest<'_>) -> bool {
        if self.uri.is_empty() {
            return true;
        }
        let uri = request.uri();
        let whole = uri.text();
        let (folder, name, stem, extension) = uri.steps();
        self.uri.iter().all(|(part, wanted)| {
            wanted.is_met_by(match part {
                UriPart::Whole => &whole,
                UriPart::Scheme => &uri.scheme,
                UriPart::Host => &uri.host,
                UriPart::Port => &uri.port,
                UriPart::Path => &uri.path,
                UriPart::Query => &uri.query,
                UriPart::Folder => folder,
                UriPart::Name => name,
                UriPart::Stem => stem,
                UriPart::Extension => extension,
            })
        })
    }
}
