//! Many tags at once.

use super::*;
use crate::fake_registry::{Image, Layer};

#[tokio::test]
async fn two_thousand_tags_that_share_layers_are_read_once_each_and_their_layers_once_in_all() {
    let world = World::new().await;
    for tag in 0..2000_u64 {
        let layers = [
            Layer::new(1, 100),
            Layer::new(2 + tag % 10, 50),
            Layer::new(100 + tag % 100, 20),
        ];
        let image = Image::new(layers).annotation("number", &tag.to_string());
        world
            .source
            .add_image("team/app", &format!("1.{tag}"), &image);
    }
    let done = world.run(vec![world.job("team/app", all())]).await;
    assert_all(&done, &Outcome::Copied);
    assert_eq!(done.report.tags.len(), 2000);
    // 1 + 10 + 100 layers, and the configs of 100 different sets of them.
    assert_eq!(blobs_asked(&world.source), 211);
    assert_eq!(world.source.count_of(&Method::GET, Route::Manifest), 2000);
    assert_eq!(
        world.destination.count_of(&Method::PUT, Route::Manifest),
        2000
    );
    assert_eq!(world.destination.count_of(&Method::PUT, Route::Upload), 211);
    world.destination.check_whole("team/app");
}
