//! The resources of the aggregated API server, asked directly over a store in memory: no sockets, no authentication.

mod documents;
mod errors;
mod get;
mod golden;
mod incomplete;
mod list;
mod paging;
mod selectors;
mod support;
mod table;
mod watch;
mod watch_property;
