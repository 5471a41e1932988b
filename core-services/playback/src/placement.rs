//! Which PoP a viewer is sent to, and how its tokens are signed.

use std::net::IpAddr;

use mcsp_api::Residency;
use mcsp_auth_edge::TokenForm;
use mcsp_geo::{Client, nearest};
use mcsp_pop_config::{CountryCode, PopManifest, PopSet};

/// Where a request came from, as the edge says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// The PoP it came through.
    pub pop: Option<String>,
    /// The viewer's country.
    pub country: Option<CountryCode>,
    /// The viewer's address.
    pub address: Option<IpAddr>,
    /// The scheme and authority the viewer used.
    pub public_base: Option<String>,
}

/// Where to play from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Scheme and authority, without a slash at the end.
    pub(crate) base: String,
    /// What the nodes there can verify: only some hold this region's secret.
    pub(crate) form: TokenForm,
}

/// The PoP that was asked when it may hold bytes of this residency, else the nearest that may; `None` when there is
/// none. A PoP that the manifest does not know may hold nothing. `region` is the item's home, whose keys sign.
pub(crate) fn place(
    pops: &PopSet,
    region: &str,
    residency: Residency,
    asker: &Asker,
) -> Option<Placement> {
    let placement = |pop: &PopManifest, base: &str| Placement {
        base: base.trim_end_matches('/').to_owned(),
        form: if pops.holds_signing_keys(&pop.id, region) {
            TokenForm::Hmac
        } else {
            TokenForm::Ed25519
        },
    };
    let asked = asker.pop.as_deref().and_then(|id| pops.get(id));
    if let Some(pop) = asked
        && residency.allows_country(Some(pop.country.as_str()))
    {
        let base = asker.public_base.clone().or_else(|| first_base(pop))?;
        return Some(placement(pop, &base));
    }
    let client = Client {
        address: asker.address,
        country: asker.country,
        position: None,
    };
    // Which PoPs are up is known to DNS and to the edges; here every PoP of the manifest counts.
    nearest(pops, &client, residency, |_| true)
        .into_iter()
        .find_map(|pop| Some(placement(pop, &first_base(pop)?)))
}

fn first_base(pop: &PopManifest) -> Option<String> {
    pop.base_urls.first().map(ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pops() -> PopSet {
        let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                       [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";
        let pop = |id: &str, country: &str, trust: &str, latitude: f64, longitude: f64| {
            let region = if id == "lhr1" {
                "global-london"
            } else {
                "ng-lagos"
            };
            format!(
                "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
                 trust = {trust:?}\nregion = {region:?}\nbase_urls = [\"https://{id}.example:8443\"]\n"
            )
        };
        let texts = [
            ("abv1", pop("abv1", "NG", "partner", 9.06, 7.49)),
            ("lhr1", pop("lhr1", "GB", "own", 51.47, -0.45)),
            ("los1", pop("los1", "NG", "own", 6.52, 3.38)),
        ];
        PopSet::from_toml(regions, texts.iter().map(|(id, text)| (*id, text.as_str())))
            .expect("a set")
    }

    fn through(pop: &str) -> Asker {
        Asker {
            pop: Some(pop.into()),
            country: "GB".parse().ok(),
            address: None,
            public_base: Some(format!("https://{pop}.example:9999/")),
        }
    }

    #[test]
    fn the_pop_that_was_asked_is_kept_when_it_may_hold_the_bytes() {
        for (pop, residency) in [
            ("lhr1", Residency::Global),
            ("los1", Residency::Global),
            ("los1", Residency::Ng),
            ("abv1", Residency::Ng),
        ] {
            let place = place(&pops(), "ng-lagos", residency, &through(pop)).expect("a place");
            assert_eq!(place.base, format!("https://{pop}.example:9999"));
        }
    }

    #[test]
    fn only_our_own_pops_of_the_items_region_get_tokens_they_could_make() {
        for (region, pop, form) in [
            ("ng-lagos", "los1", TokenForm::Hmac),
            ("ng-lagos", "abv1", TokenForm::Ed25519),
            ("ng-lagos", "lhr1", TokenForm::Ed25519),
            ("global-london", "lhr1", TokenForm::Hmac),
            ("global-london", "los1", TokenForm::Ed25519),
            ("global-london", "abv1", TokenForm::Ed25519),
        ] {
            let place = place(&pops(), region, Residency::Global, &through(pop)).expect("a place");
            assert_eq!(place.form, form, "{region} {pop}");
        }
        // Sent on to another PoP, the token is for that one.
        let place = place(&pops(), "ng-lagos", Residency::Ng, &through("lhr1")).expect("a place");
        let expected = match place.base.as_str() {
            "https://los1.example:8443" => TokenForm::Hmac,
            _ => TokenForm::Ed25519,
        };
        assert_eq!(place.form, expected, "{place:?}");
    }

    #[test]
    fn nigerian_bytes_are_only_sent_from_nigeria() {
        for asker in [through("lhr1"), through("nowhere"), Asker::default()] {
            let place = place(&pops(), "ng-lagos", Residency::Ng, &asker).expect("a place");
            assert!(
                place.base == "https://los1.example:8443"
                    || place.base == "https://abv1.example:8443",
                "{place:?}"
            );
        }
    }

    #[test]
    fn nowhere_is_an_answer() {
        let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n";
        let empty = PopSet::from_toml(regions, []).expect("a set");
        assert_eq!(
            place(&empty, "ng-lagos", Residency::Ng, &through("lhr1")),
            None
        );
    }
}
