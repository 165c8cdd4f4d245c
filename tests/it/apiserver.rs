//! The resources of the aggregated API server, asked directly over a store in memory: no sockets, no authentication.

mod documents;
mod errors;
mod get;
mod golden;
mod list;
mod paging;
mod selectors;
mod support;
mod table;
mod watch;
mod watch_property;
mod watch_sharing;
mod watch_wire;
mod websocket;
mod wire;
