//! Under which address a creator sends parts: a PoP that may carry the bytes, and the edge's storage path on it.

use mcsp_api::Residency;
use mcsp_geo::{Client, nearest};
use mcsp_pop_config::PopSet;

/// Where a request came from, as the edge says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// The PoP it came through.
    pub pop: Option<String>,
    /// The client's country, ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// The scheme and authority the client used.
    pub public_base: Option<String>,
}

/// The scheme and authority to presign for: the one that was asked when its PoP may carry bytes of this residency,
/// else that of the nearest PoP that may. `None` when there is none.
pub(crate) fn upload_base(pops: &PopSet, residency: Residency, asker: &Asker) -> Option<String> {
    let asked = asker.pop.as_deref().and_then(|id| pops.get(id));
    if let Some(pop) = asked
        && residency.allows_country(Some(pop.country.as_str()))
    {
        let base = asker.public_base.clone().or_else(|| first_base(pop));
        return base.map(trimmed);
    }
    let country = asker.country.as_deref().and_then(|code| code.parse().ok());
    // Which PoPs are up is known to DNS and to the edges; here every PoP of the manifest counts.
    nearest(pops, &Client::in_country(country), residency, |_| true)
        .into_iter()
        .find_map(first_base)
        .map(trimmed)
}

fn first_base(pop: &mcsp_pop_config::PopManifest) -> Option<String> {
    pop.base_urls.first().map(ToString::to_string)
}

fn trimmed(base: String) -> String {
    base.trim_end_matches('/').to_owned()
}

/// Puts `/storage` between a URL's authority and its path: the edge takes it away again, so the signature, which does
/// not cover it, still fits.
pub(crate) fn through_storage_path(url: &str) -> Option<String> {
    let authority_at = url.find("://")? + 3;
    let path_at = authority_at + url[authority_at..].find('/')?;
    let (base, path) = url.split_at(path_at);
    Some(format!("{base}/storage{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pops() -> PopSet {
        let regions = "[[region]]\nid = \"ng-lagos\"\ncode = \"ng\"\ncountry = \"NG\"\n\
                       [[region]]\nid = \"global-london\"\ncode = \"gl\"\ncountry = \"GB\"\n";
        let pop = |id: &str, country: &str, latitude: f64, longitude: f64, region: &str| {
            format!(
                "id = {id:?}\nname = {id:?}\ncountry = {country:?}\nlatitude = {latitude:?}\nlongitude = {longitude:?}\n\
                 trust = \"own\"\nregion = {region:?}\nbase_urls = [\"https://{id}.example:8443\"]\n"
            )
        };
        let texts = [
            ("abv1", pop("abv1", "NG", 9.06, 7.49, "ng-lagos")),
            ("lhr1", pop("lhr1", "GB", 51.47, -0.45, "global-london")),
            ("los1", pop("los1", "NG", 6.52, 3.38, "ng-lagos")),
        ];
        PopSet::from_toml(regions, texts.iter().map(|(id, text)| (*id, text.as_str())))
            .expect("a set")
    }

    fn asker(pop: &str, country: Option<&str>) -> Asker {
        Asker {
            pop: Some(pop.into()),
            country: country.map(Into::into),
            public_base: Some(format!("https://{pop}.example:9999/")),
        }
    }

    #[test]
    fn the_pop_that_was_asked_is_kept_when_it_may_carry_the_bytes() {
        let base = |residency, asker: &Asker| upload_base(&pops(), residency, asker);
        assert_eq!(
            base(Residency::Global, &asker("lhr1", None)).as_deref(),
            Some("https://lhr1.example:9999")
        );
        assert_eq!(
            base(Residency::Ng, &asker("los1", None)).as_deref(),
            Some("https://los1.example:9999")
        );
    }

    #[test]
    fn nigerian_parts_never_go_through_a_foreign_or_unknown_pop() {
        for who in [
            asker("lhr1", Some("GB")),
            asker("nowhere", None),
            Asker::default(),
        ] {
            let base = upload_base(&pops(), Residency::Ng, &who).expect("a base");
            assert!(
                base == "https://los1.example:8443" || base == "https://abv1.example:8443",
                "{base}"
            );
        }
    }

    #[test]
    fn the_storage_path_goes_behind_the_authority() {
        assert_eq!(
            through_storage_path(
                "https://los1.example:8443/mcsp-ng/ng/c/source/original?X-Amz-A=1%2Fb"
            )
            .as_deref(),
            Some("https://los1.example:8443/storage/mcsp-ng/ng/c/source/original?X-Amz-A=1%2Fb")
        );
        assert_eq!(through_storage_path("not a url"), None);
    }
}
