//! Tags that are not images but belong to one: cosign's `sha256-<hex>.sig`, `.att`, `.sbom`, and the referrers' fallback
//! `sha256-<hex>` of the distribution specification.

use crate::image::{Digest, Tag};

/// What cosign puts behind.
const SUFFIXES: [&str; 4] = ["", ".sig", ".att", ".sbom"];
/// The fallback tag's limits (distribution specification, "Referrers Tag Schema").
const ALGORITHM_CHARS: usize = 32;
const ENCODED_CHARS: usize = 64;

/// What a tag belongs to, if it is one of these and still says so: of a sha512 digest a fallback tag holds only one half
/// (see [`is_companion`]).
pub fn subject(tag: &Tag) -> Option<Digest> {
    let (algorithm, encoded) = parts(tag)?;
    match algorithm {
        "sha256" => format!("sha256:{encoded}").parse().ok(),
        _ => None,
    }
}

/// Whether a tag belongs to an image and is none of its own, known to which or not.
pub fn is_companion(tag: &Tag) -> bool {
    parts(tag).is_some()
}

/// The fallback tag of `subject`: algorithm cut to 32 characters, encoded part to 64, others as `-`.
pub fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let keep = |text: &str, most: usize| -> String {
        let kept = text.chars().take(most);
        kept.map(|char| match char {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => char,
            _ => '-',
        })
        .collect()
    };
    let algorithm = keep(subject.algorithm().as_str(), ALGORITHM_CHARS);
    let encoded = keep(subject.hex(), ENCODED_CHARS);
    format!("{algorithm}-{encoded}").parse().ok()
}

/// The algorithm and the 64 digits behind it.
fn parts(tag: &Tag) -> Option<(&str, &str)> {
    let (algorithm, rest) = tag.as_str().split_once('-')?;
    let (encoded, suffix) = rest.split_at_checked(ENCODED_CHARS)?;
    let is_one = matches!(algorithm, "sha256" | "sha512")
        && encoded
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && SUFFIXES.contains(&suffix);
    is_one.then_some((algorithm, encoded))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tags_that_belong_to_images_are_known() {
        let hex = "0123456789abcdef".repeat(4);
        for (tag, is_one) in [
            (format!("sha256-{hex}"), true),
            (format!("sha256-{hex}.sig"), true),
            (format!("sha256-{hex}.att"), true),
            (format!("sha256-{hex}.sbom"), true),
            (format!("sha256-{hex}.sig2"), false),
            (format!("sha256-{hex}0"), false),
            (format!("sha256-{}", hex.to_uppercase()), false),
            (format!("sha256_{hex}"), false),
            ("sha256-".to_owned(), false),
            ("sha256-0123".to_owned(), false),
            ("latest".to_owned(), false),
        ] {
            let tag: Tag = tag.parse().unwrap();
            assert_eq!(is_companion(&tag), is_one, "{tag}");
            let expected = is_one.then(|| format!("sha256:{hex}").parse().unwrap());
            assert_eq!(subject(&tag), expected, "{tag}");
        }
        let half: Tag = format!("sha512-{hex}").parse().unwrap();
        assert!(is_companion(&half));
        assert_eq!(subject(&half), None);
    }

    proptest! {
        #[test]
        fn a_fallback_tag_leads_back(content in any::<[u8; 8]>()) {
            let digest = Digest::of(&content);
            let tag = fallback_tag(&digest).unwrap();
            prop_assert_eq!(subject(&tag), Some(digest));
        }

        #[test]
        fn of_sha512_the_first_half_is_left(hex in "[0-9a-f]{128}") {
            let digest: Digest = format!("sha512:{hex}").parse().unwrap();
            let tag = fallback_tag(&digest).unwrap();
            prop_assert_eq!(tag.as_str(), format!("sha512-{}", &hex[..64]));
            prop_assert!(is_companion(&tag));
        }

        #[test]
        fn no_tag_makes_it_panic(text in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}") {
            let tag: Tag = text.parse().unwrap();
            prop_assert!(subject(&tag).is_none() || is_companion(&tag));
        }
    }
}
