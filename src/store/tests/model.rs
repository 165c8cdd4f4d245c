//! The store against a model that keeps every object as text in one map, and knows no table, mark or record.

mod machine;
mod rules;
mod told;

use proptest::prelude::*;

use machine::Machine;

const REPOSITORIES: [(&str, &str); 3] = [("a", "r"), ("a", "r-x"), ("b", "r")];
const TAGS: u16 = 20;

#[derive(Debug, Clone)]
enum Op {
    Scan {
        repository: usize,
        tags: u32,
        aside: u8,
        complete: bool,
        first: bool,
        uid: u8,
        label: u8,
        image: u8,
        revision: u8,
    },
    Elect {
        repository: usize,
        policy: u8,
        tag: Option<(u16, Option<u8>)>,
    },
    Remove {
        repository: usize,
    },
    Owner {
        repository: usize,
        uid: u8,
        label: u8,
    },
    Pull {
        watcher: usize,
        limit: usize,
    },
    Restart(Stop),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Close,
    Drop,
    CrashFlushed,
    Crash,
}

fn mostly_zero() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0u8), 1 => Just(1u8)]
}

fn op() -> impl Strategy<Value = Op> {
    let repository = || 0..REPOSITORIES.len();
    let scan = (
        repository(),
        prop_oneof![
            any::<u32>(),
            any::<u32>().prop_map(|m| m | (m >> 7) | (m << 9))
        ],
        0u8..4,
        prop::bool::weighted(0.8),
        any::<bool>(),
    )
        .prop_flat_map(|(repository, tags, aside, complete, first)| {
            (mostly_zero(), mostly_zero(), mostly_zero(), 0u8..3).prop_map(
                move |(uid, label, image, revision)| Op::Scan {
                    repository,
                    tags: tags & ((1 << TAGS) - 1),
                    aside: u8::from(aside == 3),
                    complete,
                    first,
                    uid,
                    label,
                    image,
                    revision,
                },
            )
        });
    let tag = prop::option::weighted(0.8, (0..TAGS, prop::option::of(0u8..2)));
    prop_oneof![
        6 => scan,
        6 => (repository(), 0u8..3, tag).prop_map(|(repository, policy, tag)| Op::Elect { repository, policy, tag }),
        1 => repository().prop_map(|repository| Op::Remove { repository }),
        1 => (repository(), mostly_zero(), 0u8..2).prop_map(|(repository, uid, label)| Op::Owner { repository, uid, label }),
        4 => (0..2usize, 1..30usize).prop_map(|(watcher, limit)| Op::Pull { watcher, limit }),
    ]
}

fn op_or_restart() -> impl Strategy<Value = Op> {
    let stop = prop_oneof![
        Just(Stop::Close),
        Just(Stop::Drop),
        Just(Stop::CrashFlushed),
        Just(Stop::Crash)
    ];
    prop_oneof![8 => op(), 1 => stop.prop_map(Op::Restart)]
}

fn play(on_disk: bool, ops: Vec<Op>) {
    let mut machine = Machine::new(on_disk);
    for op in ops {
        machine.run(&op);
    }
    machine.finish();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn in_memory_it_is_the_model(ops in prop::collection::vec(op(), 1..60)) {
        play(false, ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn on_disk_it_is_the_model_across_restarts(ops in prop::collection::vec(op_or_restart(), 1..60)) {
        play(true, ops);
    }
}
