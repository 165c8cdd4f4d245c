//! Rows of lists, and what remains of the tags.

use super::*;

fn tags(texts: &[&str]) -> Vec<Tag> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<Tag> {
    numbers
        .map(|number| format!("t{number:03}").parse().unwrap())
        .collect()
}

#[test]
fn gaps_emptiness_and_a_loss_of_more_than_half_are_suspicious() {
    let rows: [(usize, usize, Option<&str>, &str); 12] = [
        (0, 0, None, "whole"),
        (5, 0, None, "whole"),
        (100, 100, None, "whole"),
        (50, 100, None, "whole"),
        (49, 100, None, "it has 49 tags, where 100 were known"),
        (51, 101, None, "whole"),
        (50, 101, None, "it has 50 tags, where 101 were known"),
        (4, 9, None, "whole"),
        (1, 9, None, "whole"),
        (0, 1, None, "it is empty, where 1 tags were known"),
        (4, 10, None, "it has 4 tags, where 10 were known"),
        (100, 1, Some("page 2 is missing"), "page 2 is missing"),
    ];
    for (listed, held, incomplete, expected) in rows {
        let told = match judge(listed, held, incomplete) {
            Trust::Whole => "whole".to_owned(),
            Trust::Suspect(why) => why.to_string(),
        };
        assert_eq!(told, expected, "{listed} of {held}");
    }
}

/// A repository, as the store would hold it, that is scanned again and again.
struct Repository {
    held: Vec<Tag>,
    doubts: Doubts,
    confirmations: u32,
}

impl Repository {
    fn new(held: Vec<Tag>) -> Self {
        Self {
            held,
            doubts: Doubts::default(),
            confirmations: 3,
        }
    }

    /// How many tags are held after this list, and whether it was believed.
    fn scan(&mut self, listed: &[Tag], incomplete: Option<&str>) -> (usize, bool) {
        self.scan_again(listed, incomplete, true)
    }

    fn scan_again(
        &mut self,
        listed: &[Tag],
        incomplete: Option<&str>,
        is_news: bool,
    ) -> (usize, bool) {
        let mut list = Sifted {
            tags: listed.to_vec(),
            aside: vec![],
        };
        let held = std::mem::take(&mut self.held);
        let all = Held {
            count: held.len(),
            visit: &|push| held.iter().for_each(|tag| push(tag.as_str())),
        };
        let trust = self
            .doubts
            .weigh(&mut list, &all, incomplete, self.confirmations, is_news);
        self.held = list.tags;
        (self.held.len(), trust == Trust::Whole)
    }
}

#[test]
fn tags_go_when_three_lists_in_a_row_miss_them() {
    let mut repository = Repository::new(numbered(0..100));
    let few = numbered(0..10);
    assert_eq!(repository.scan(&few, None), (100, false));
    assert_eq!(repository.scan(&few, None), (100, false));
    assert_eq!(repository.scan(&few, None), (10, true));
    assert!(repository.doubts.are_none() && repository.doubts.listed.is_empty());
}

#[test]
fn an_empty_list_too_is_believed_in_the_end() {
    let mut repository = Repository::new(numbered(0..1));
    assert_eq!(repository.scan(&[], None), (1, false));
    assert_eq!(repository.scan(&[], None), (1, false));
    assert_eq!(repository.scan(&[], None), (0, true));
}

#[test]
fn a_list_that_is_whole_again_ends_the_doubts() {
    let mut repository = Repository::new(numbered(0..100));
    let few = numbered(0..10);
    repository.scan(&few, None);
    repository.scan(&few, None);
    assert_eq!(repository.scan(&numbered(0..90), None), (90, true));
    assert_eq!(
        repository.scan(&few, None),
        (90, false),
        "counted from one again"
    );
    assert_eq!(repository.scan(&few, None), (90, false));
}

#[test]
fn lists_with_gaps_confirm_nothing_however_many_there_are() {
    let mut repository = Repository::new(numbered(0..100));
    let few = numbered(0..10);
    for _ in 0..10 {
        assert_eq!(repository.scan(&few, Some("gaps")), (100, false));
    }
    repository.scan(&few, None);
    repository.scan(&few, None);
    assert_eq!(repository.scan(&few, Some("gaps")), (100, false));
    assert_eq!(
        repository.scan(&few, None),
        (100, false),
        "the row was broken"
    );
}

#[test]
fn the_same_answer_twice_counts_once() {
    let mut repository = Repository::new(numbered(0..100));
    let few = numbered(0..10);
    repository.scan(&few, None);
    for _ in 0..5 {
        assert_eq!(repository.scan_again(&few, None, false), (100, false));
    }
    repository.scan(&few, None);
    assert_eq!(repository.scan(&few, None), (10, true));
}

#[test]
fn each_tag_has_to_be_missed_so_often() {
    let mut repository = Repository::new(numbered(0..100));
    repository.scan(&numbered(0..10), None);
    repository.scan(&numbered(5..20), None);
    assert_eq!(
        repository.scan(&numbered(0..5), None),
        (100, false),
        "some of them were there a moment ago"
    );
    assert_eq!(repository.scan(&numbered(0..5), None), (100, false));
    assert_eq!(repository.scan(&numbered(0..5), None), (5, true));
}

#[test]
fn what_is_new_is_taken_at_once_and_disturbs_no_count() {
    let mut repository = Repository::new(numbered(0..100));
    let mut few = numbered(0..10);
    repository.scan(&few, None);
    few.extend(tags(&["new"]));
    assert_eq!(repository.scan(&few, None), (101, false));
    assert_eq!(repository.scan(&few, None), (11, true));
}

#[test]
fn a_store_that_was_lost_is_not_filled_with_less_unnoticed() {
    let (mut doubts, few) = (Doubts::default(), numbered(0..10));
    let told = Held {
        count: 1000,
        visit: &|_| {},
    };
    let now = Held {
        count: 10,
        visit: &|push| few.iter().for_each(|tag| push(tag.as_str())),
    };
    let mut suspected = vec![];
    for held in [&told, &now, &now, &now] {
        let mut list = Sifted {
            tags: few.clone(),
            aside: vec![],
        };
        let trust = doubts.weigh(&mut list, held, None, 3, true);
        suspected.push(trust != Trust::Whole);
        assert_eq!(list.tags.len(), 10);
    }
    assert_eq!(suspected, [true, true, false, false]);
}

#[test]
fn one_confirmation_or_none_believes_everything_but_gaps() {
    for confirmations in [0, 1] {
        let mut repository = Repository::new(numbered(0..100));
        repository.confirmations = confirmations;
        assert_eq!(repository.scan(&numbered(0..1), None), (1, true));
        assert_eq!(repository.scan(&[], Some("gaps")), (1, false));
    }
}
