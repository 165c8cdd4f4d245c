//! A tag that differs: what is said of it is what the destination has and what it would get, not what the source has.

use serde_json::Value;

use super::{Machine, registries};
use crate::fake_registry::{FakeRegistry, Image};

#[tokio::test]
async fn with_platforms_left_out_the_digest_is_that_of_the_copy() {
    let (source, destination) = registries().await;
    let both = Image::index([
        Image::sized(1, &[10]).platform("linux/amd64"),
        Image::sized(2, &[20]).platform("linux/arm64"),
    ]);
    source.add_image("team/multi", "1.0.0", &both);
    destination.add_image("multi", "1.0.0", &Image::sized(90, &[100]));
    let (machine, other) = (Machine::new(), FakeRegistry::start().await);
    let from = source.image("team/multi:1.0.0");
    let args = |to: &str| {
        let args = ["mirror", &from, to, "--platform", "linux/arm64", "-q"];
        args.map(str::to_owned).to_vec()
    };
    // What it becomes, where nothing is in its way.
    let ran = machine.run(&strs(&args(&other.image("multi")))).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let copy = other.tag_digest("multi", "1.0.0").unwrap();
    let at_source = source.tag_digest("team/multi", "1.0.0").unwrap();
    let found = destination.tag_digest("multi", "1.0.0").unwrap();
    assert_ne!(copy, at_source);

    let mut args = args(&destination.image("multi"));
    let ran = machine.run(&strs(&args)).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.line("drifted ").ends_with(&format!(
            "the destination has {found}, and would get {copy}, which is made of the source's {at_source}; --overwrite says when it may be replaced"
        )),
        "{ran:?}"
    );
    args.extend(["-o".to_owned(), "json".to_owned()]);
    let ran = machine.run(&strs(&args)).await;
    let tag = &ran.json()["tags"][0];
    let text = |name: &str| tag.get(name).and_then(Value::as_str).map(str::to_owned);
    assert_eq!(text("sourceDigest"), Some(at_source), "{ran:?}");
    assert_eq!(text("foundDigest"), Some(found), "{ran:?}");
    assert_eq!(text("expectedDigest"), Some(copy), "{ran:?}");
}

fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
