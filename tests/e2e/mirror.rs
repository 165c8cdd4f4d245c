//! `tagscope mirror` between real registries: distribution v3, Debian's docker-registry (distribution 2.8.2), and
//! go-containerregistry's own, which knows referrers. What is at a destination is read by the last one's library, which is not ours.

mod corpus;
mod kills;
mod prunes;
mod runs;
mod terminal;
pub(crate) mod yard;
