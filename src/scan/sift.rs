//! From the list a registry gives to the list that is stored.

use super::Exclusion;
use crate::image::Tag;

/// How many tags a status shows.
pub const LATEST_TAGS: usize = 10;

/// A registry's list after exclusion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sifted {
    /// What is served, counted and elected: in descending byte order. Duplicates are not looked for: whoever lists
    /// gives each tag once, so that where a registry repeats tags, count and revision are not Flux's, which keeps them.
    pub tags: Vec<Tag>,
    /// Excluded tags that belong to an image and must travel with it: in ascending byte order, each once.
    pub aside: Vec<Tag>,
}

impl Sifted {
    /// Adds the tags that are held already, as `visit` hands them out, each once: after a list that may be incomplete
    /// they stay.
    pub fn keep(&mut self, visit: impl FnOnce(&mut dyn FnMut(&str))) {
        // What is no tag was never held.
        visit(&mut |tag| self.tags.extend(tag.parse::<Tag>()));
        self.tags.sort_by(|a, b| b.cmp(a));
        self.tags.dedup();
    }
}

/// Drops the excluded tags, sets aside those of them that are [companions](is_companion), and sorts the rest.
pub fn sift(listed: Vec<Tag>, exclusion: &Exclusion) -> Sifted {
    let (excluded, mut tags): (Vec<Tag>, Vec<Tag>) = listed
        .into_iter()
        .partition(|tag| exclusion.excludes(tag.as_str()));
    tags.sort_by(|a, b| b.cmp(a));
    let mut aside: Vec<Tag> = excluded
        .into_iter()
        .filter(|tag| is_companion(tag.as_str()))
        .collect();
    aside.sort();
    aside.dedup();
    Sifted { tags, aside }
}

/// Whether a tag names what belongs to a digest rather than an image of its own: `sha256-<64 hex>` alone (the
/// referrers fallback of the OCI distribution spec) or with cosign's `.sig`, `.att` or `.sbom`.
pub fn is_companion(tag: &str) -> bool {
    let Some((digest, suffix)) = tag
        .strip_prefix("sha256-")
        .and_then(|rest| rest.split_at_checked(64))
    else {
        return false;
    };
    let is_digest = digest
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_digest && matches!(suffix, "" | ".sig" | ".att" | ".sbom")
}

/// The first tags of a sorted list, as the status shows them.
pub fn latest(tags: &[Tag]) -> &[Tag] {
    tags.get(..LATEST_TAGS).unwrap_or(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256-5c6861a52da9e6bfd5f0b37a8c51af173d7550443bb36253b18b2caf57987f53";

    fn tags(texts: &[&str]) -> Vec<Tag> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn exclusion(patterns: &[&str]) -> Exclusion {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Exclusion::compile(&patterns).unwrap()
    }

    #[test]
    fn tags_sort_descending_by_bytes() {
        let listed = tags(&[
            "100", "15", "72", "101", "73", "16", "15", "29", "_91", "V2", "v1",
        ]);
        let sorted = tags(&[
            "v1", "_91", "V2", "73", "72", "29", "16", "15", "15", "101", "100",
        ]);
        assert_eq!(sift(listed, &exclusion(&[])).tags, sorted);
    }

    #[test]
    fn held_tags_are_kept_in_their_place_and_each_once() {
        let mut sifted = sift(tags(&["1", "3", "3"]), &exclusion(&[]));
        sifted.keep(|push| ["4", "3", "2"].into_iter().for_each(push));
        assert_eq!(sifted.tags, tags(&["4", "3", "2", "1"]));
    }

    #[test]
    fn companions_are_set_aside_only_when_they_are_excluded() {
        let signature = format!("{DIGEST}.sig");
        let attestation = format!("{DIGEST}.att");
        let listed = || tags(&["1.0", &signature, "x.sig", &attestation, DIGEST, &signature]);

        let sifted = sift(listed(), &exclusion(&[r"\.sig$"]));
        assert_eq!(sifted.tags, tags(&[&attestation, DIGEST, "1.0"]));
        assert_eq!(sifted.aside, tags(&[&signature]));

        let sifted = sift(listed(), &exclusion(&["^sha256-", "x"]));
        assert_eq!(sifted.tags, tags(&["1.0"]));
        assert_eq!(sifted.aside, tags(&[DIGEST, &attestation, &signature]));
    }

    #[test]
    fn companions_are_told_by_their_whole_name() {
        for suffix in ["", ".sig", ".att", ".sbom"] {
            assert!(is_companion(&format!("{DIGEST}{suffix}")), "{suffix:?}");
        }
        for tag in [
            "",
            "sha256-",
            "sha256-00.sig",
            &format!("{DIGEST}0"),
            &format!("{DIGEST}.SIG"),
            &format!("{DIGEST}.sig.sig"),
            &format!("v{DIGEST}"),
            &DIGEST.replace("sha256", "sha512"),
            &DIGEST.replace('f', "F"),
            &DIGEST.replace('f', "g"),
            &DIGEST.replace('f', "é"),
        ] {
            assert!(!is_companion(tag), "{tag:?}");
        }
    }

    #[test]
    fn a_status_shows_ten_tags_at_most() {
        let many: Vec<Tag> = (0..12)
            .map(|number| format!("t{number:02}").parse().unwrap())
            .collect();
        assert_eq!(latest(&many), &many[..10]);
        assert_eq!(latest(&many[..3]), &many[..3]);
        assert!(latest(&[]).is_empty());
    }
}
