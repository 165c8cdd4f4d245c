//! What is laid out comes out, in order, first and later.

use proptest::prelude::*;

use super::*;

#[test]
fn tags_come_out_descending_with_duplicates_kept() {
    let candidates: Candidates = ["1", "é", "a", "a", "B"].iter().collect();
    assert_eq!(
        candidates.iter().collect::<Vec<_>>(),
        ["é", "a", "a", "B", "1"]
    );
    assert_eq!((candidates.len(), candidates.is_empty()), (5, false));
    assert!(Candidates::default().is_empty());
}

#[test]
fn versions_carry_their_tags() {
    let candidates: Candidates = ["1.0.0-rc.1+b", "latest", "v2.0.0", "1.0.0+b"]
        .iter()
        .collect();
    let versions: Vec<_> = candidates
        .versions()
        .map(|(version, tag)| (version.prerelease, tag))
        .collect();
    assert_eq!(
        versions,
        [("", "v2.0.0"), ("rc.1", "1.0.0-rc.1+b"), ("", "1.0.0+b")]
    );
}

proptest! {
    #[test]
    fn versions_are_the_same_first_and_later(tags in prop::collection::vec("\\PC{0,6}|v?[0-9]\\.[0-9]\\.[0-9](-[a-z.]{1,4})?(\\+[a-z]{1,3})?", 0..20)) {
        let candidates: Candidates = tags.iter().collect();
        let parsed = candidates.iter().filter_map(|tag| {
            let version = Version::parse_tag(tag)?;
            Some((Version { metadata: "", ..version }, tag))
        });
        let expected: Vec<_> = parsed.collect();
        prop_assert_eq!(&candidates.versions().collect::<Vec<_>>(), &expected);
        prop_assert_eq!(&candidates.versions().collect::<Vec<_>>(), &expected);
    }

    #[test]
    fn any_order_of_tags_makes_the_same_candidates(tags in prop::collection::vec("[a-c]{0,3}", 0..20)) {
        let mut sorted = tags.clone();
        sorted.sort_by(|a, b| b.cmp(a));
        let candidates: Candidates = tags.iter().collect();
        prop_assert_eq!(candidates.iter().collect::<Vec<_>>(), sorted);
    }
}

proptest! {
    #[test]
    fn a_tag_is_found_exactly_when_it_is_there(tags in prop::collection::vec("[a-c]{0,3}", 0..20), asked in "[a-c]{0,3}") {
        let candidates: Candidates = tags.iter().collect();
        let expected = tags.contains(&asked).then_some(asked.as_str());
        prop_assert_eq!(candidates.get(&asked), expected);
    }
}
