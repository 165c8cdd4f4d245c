//! Tie rules, on lists in an order of the test's own choosing.

use super::*;

fn numbers(order: Order, keys: &str) -> Result<&str, NoTag> {
    last_number(order, keys.split(' ').map(|key| (key, key)))
}

fn texts(order: Order, keys: &str) -> Result<&str, NoTag> {
    last_text(order, keys.split(' ').map(|key| (key, key)))
}

fn versions<'a>(range: &str, keys: &'a str) -> Result<&'a str, NoTag> {
    let versions = keys
        .split(' ')
        .filter_map(|key| Some((Version::parse_tag(key)?, key)));
    highest_version(&Range::parse(range).unwrap(), versions)
}

#[test]
fn among_equal_versions_the_first_wins() {
    for (keys, winner) in [
        ("v1.0.0 1.0.0", "v1.0.0"),
        ("1.0.0 v1.0.0", "1.0.0"),
        ("1.0.00 1.0.0", "1.0.00"),
        ("1.0.0+b 1.0.0+c 0.9.0", "1.0.0+b"),
        ("latest 1.2 0.1.0 2.0.0 1.0.0", "1.0.0"),
    ] {
        assert_eq!(versions("<2", keys), Ok(winner), "{keys}");
    }
    assert_eq!(versions(">2", "1.0.0 latest"), Err(NoTag::NoMatch));
}

#[test]
fn texts_are_ordered_by_bytes() {
    assert_eq!(texts(Order::Ascending, "10 9 V2 v1"), Ok("v1"));
    assert_eq!(texts(Order::Descending, "10 9 V2 v1"), Ok("10"));
    assert_eq!(texts(Order::Descending, "a  b"), Ok(""));
}

#[test]
fn among_equal_numbers_the_last_wins() {
    for (order, keys, winner) in [
        (Order::Ascending, "1.0 1", "1"),
        (Order::Ascending, "1 1.0 0.5", "1.0"),
        (Order::Descending, "1.0 1 2", "1"),
        (Order::Ascending, "9 10 -inf", "10"),
        (Order::Ascending, "9 inf 10", "inf"),
        (Order::Descending, "9 10 -5", "-5"),
        (Order::Ascending, "0 -0", "-0"),
        (
            Order::Ascending,
            "20240115123456789 20240115123456788",
            "20240115123456788",
        ),
    ] {
        assert_eq!(numbers(order, keys), Ok(winner), "{keys}");
    }
}

#[test]
fn what_is_not_a_number_gives_way_to_its_successor() {
    for order in [Order::Ascending, Order::Descending] {
        assert_eq!(numbers(order, "5 3 nan"), Ok("nan"));
        assert_eq!(numbers(order, "5 nan 3"), Ok("3"));
    }
    assert_eq!(numbers(Order::Ascending, "nan 5 3"), Ok("5"));
}

#[test]
fn one_bad_number_fails_them_all() {
    assert_eq!(
        numbers(Order::Ascending, "1 latest 2 x"),
        Err(NoTag::NotANumber("latest".to_owned()))
    );
}
