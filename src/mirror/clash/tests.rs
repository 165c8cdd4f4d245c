//! Who contradicts whom, and about what; who only wants the same is left in peace.

use super::*;

const NEVER: (&Overwrite, &[String]) = (&Overwrite::Never, &[]);
const ALWAYS: (&Overwrite, &[String]) = (&Overwrite::Always, &[]);

fn terms(
    platforms: &[&str],
    mode: Mode,
    referrers: bool,
    overwrite: (&Overwrite, &[String]),
) -> Terms {
    let platforms: Vec<Platform> = platforms.iter().map(|it| it.parse().unwrap()).collect();
    Terms::new(&platforms, mode, referrers, overwrite)
}

fn mutable(patterns: &[&str]) -> Terms {
    let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
    let overwrite = Overwrite::MutableTagsOnly(Vec::new());
    terms(&[], Mode::Rewritten, false, (&overwrite, &patterns))
}

fn whole() -> Terms {
    terms(&[], Mode::Rewritten, false, NEVER)
}

fn wish<'a>(who: &'a str, source: &str, destination: &str, terms: Terms) -> Wish<&'a str> {
    Wish {
        who,
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        terms,
    }
}

/// What is said when `one` and `other` want one source in one place.
fn between(one: Terms, other: Terms) -> Option<String> {
    let at = |who, terms| wish(who, "s.example/app", "r.example/app", terms);
    let (there, back) = (
        clashes(&[at("one", one.clone()), at("other", other.clone())]),
        clashes(&[at("other", other), at("one", one)]),
    );
    assert_eq!(there, back, "the order is of no account");
    there.first().map(ToString::to_string)
}

#[test]
fn what_differs_is_named_and_nothing_else() {
    let head = "s.example/app is wanted in r.example/app in 2 ways, and can be there in one: ";
    let some = |mode| terms(&["linux/amd64", "linux/arm64"], mode, false, NEVER);
    for (one, other, expected) in [
        (
            whole(),
            some(Mode::Rewritten),
            "all platforms (one); linux/amd64 and linux/arm64 (other)",
        ),
        (
            some(Mode::Sparse),
            some(Mode::Rewritten),
            "sparse (one); rewritten (other)",
        ),
        (
            whole(),
            terms(&[], Mode::Rewritten, true, ALWAYS),
            "without referrers, never overwritten (one); with referrers, always overwritten (other)",
        ),
        (
            mutable(&["^a", "^b"]),
            mutable(&[]),
            "overwritten where tags are mutable ^a ^b (one); overwritten where tags are mutable (other)",
        ),
    ] {
        assert_eq!(between(one, other), Some(format!("{head}{expected}")));
    }
}

#[test]
fn terms_by_themselves_are_told_whole() {
    let some = |mode| terms(&["linux/amd64", "linux/arm64"], mode, true, ALWAYS);
    for (terms, expected) in [
        (
            whole(),
            "all platforms, without referrers, never overwritten",
        ),
        (
            some(Mode::Sparse),
            "linux/amd64 and linux/arm64, sparse, with referrers, always overwritten",
        ),
        (
            mutable(&["^a"]),
            "all platforms, without referrers, overwritten where tags are mutable ^a",
        ),
    ] {
        assert_eq!(terms.to_string(), expected);
    }
}

#[test]
fn what_comes_to_the_same_is_no_clash() {
    let some = |platforms: &[&str]| terms(platforms, Mode::Sparse, true, ALWAYS);
    for (one, other) in [
        (whole(), whole()),
        // Without platforms, nothing is left out in either way.
        (whole(), terms(&[], Mode::Sparse, false, NEVER)),
        (
            some(&["linux/amd64", "linux/arm64/v8"]),
            some(&["linux/arm64", "linux/amd64", "linux/amd64"]),
        ),
        (mutable(&["^a", "^b"]), mutable(&["^b", "^a", "^b"])),
    ] {
        assert_eq!(between(one, other), None);
    }
}

#[test]
fn only_one_source_in_one_place_can_clash_by_whatever_name() {
    let sparse = || terms(&["linux/amd64"], Mode::Sparse, false, NEVER);
    let found = clashes(&[
        wish("a", "alpine", "r.example/alpine", whole()),
        wish("b", "alpine", "r.example/other", sparse()),
        wish("c", "busybox", "r.example/alpine", sparse()),
    ]);
    assert_eq!(found, []);
    let found = clashes(&[
        wish(
            "b",
            "docker.io/library/alpine",
            "r.example:443/xx",
            sparse(),
        ),
        wish("a", "alpine", "r.example/xx", whole()),
        wish("c", "alpine", "r.example/xx", whole()),
    ]);
    let [clash] = found.as_slice() else {
        panic!("{found:?}")
    };
    let who: Vec<Vec<&str>> = clash
        .ways
        .iter()
        .map(|(_, who)| who.iter().copied().collect())
        .collect();
    assert_eq!(who, [vec!["a", "c"], vec!["b"]]);
}

#[test]
fn however_many_there_are_few_are_shown() {
    let mut wishes = Vec::new();
    for number in 0..40 {
        let patterns = [format!("^{}", number % 8)];
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        wishes.push(Wish {
            who: format!("mirror {number:02}\n"),
            source: "s.example/app".parse().unwrap(),
            destination: "r.example/app".parse().unwrap(),
            terms: mutable(&patterns),
        });
    }
    let first = wishes[0].clone();
    wishes.extend((0..9).map(|number| Wish {
        who: format!("also {number}"),
        ..first.clone()
    }));
    let found = clashes(&wishes);
    assert_eq!(found[0].ways.len(), 8);
    let said = found[0].to_string();
    assert!(
        said.ends_with(" and 3 more") && said.contains("and 9 more)"),
        "{said}"
    );
    assert!(
        !said.contains(char::is_control) && said.len() < 1200,
        "{said}"
    );
}
