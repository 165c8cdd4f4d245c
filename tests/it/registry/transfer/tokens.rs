//! Tokens that end while bytes flow.

use super::*;
use crate::fake_registry::{Fault, Nth, Options};
use crate::registry::{basic, bearer};

/// Copies `size` bytes into a registry whose tokens live for two seconds, while its every request of `method` takes
/// longer than that.
async fn slowly(size: u64, method: Method, is_so: impl FnOnce(&mut Options)) -> Pair {
    let pair = Pair::new(size).await;
    pair.destination.set_auth(bearer());
    pair.destination.configure(|options| {
        options.token_lifetime = Duration::from_secs(2);
        is_so(options);
    });
    let slow = Fault::SlowReading(size / 2);
    pair.destination.on(method, "/uploads/.", Nth::Every, slow);
    let repository = repository(&pair.destination.image("to/app"));
    let to = pair
        .client
        .remote(repository, basic("me", "hunter2"), Intent::Write);
    let target = begin(to, &pair.blob.digest).await.unwrap();
    let from = remote(&pair.client, &pair.source, "from/app", Intent::Read);
    let results = transfer(&from, &pair.blob, vec![target], &[], &Counts::default()).await;
    assert_eq!(results, [Ok(())]);
    pair.check_done();
    assert!(pair.destination.count(Route::Token) >= 2);
    assert!(!pair.source.saw("hunter2") && !pair.source.saw("token-number"));
    pair
}

/// What was read of the bodies of requests of `method`.
fn bytes(pair: &Pair, method: &Method) -> u64 {
    let requests = pair.destination.requests();
    let such = requests.iter().filter(|it| it.method == *method);
    such.map(|request| request.bytes_in).sum()
}

#[tokio::test]
async fn fault_33_a_token_that_ends_while_a_patch_flows_is_replaced_for_what_follows() {
    let short = |says| {
        move |options: &mut Options| {
            options.refuses_put_body = Some(405);
            options.token_says = says;
        }
    };
    // It says so itself, or it lies.
    for says in [None, Some(3600)] {
        let pair = slowly(2 * MIB, Method::PATCH, short(says)).await;
        assert_eq!(bytes(&pair, &Method::PATCH), 2 * MIB, "sent once");
        assert_eq!(pair.asked(&Method::POST), 3, "a challenge, and each rung");
    }
}

#[tokio::test]
async fn fault_33_tokens_that_end_between_chunks_are_replaced() {
    let pair = slowly(6 * MIB, Method::PATCH, |options| {
        options.refuses_put_body = Some(405);
        options.refuses_plain_patch = Some(405);
    })
    .await;
    let chunks = pair.destination.count_where(|request| {
        request.method == Method::PATCH && request.header("content-range").is_some()
    });
    assert!(chunks >= 2, "{:#?}", pair.destination.conversation());
}
