//! The resources of the aggregated API server, asked directly over a store in memory: no sockets, no authentication.

mod documents;
mod errors;
mod get;
mod golden;
mod incomplete;
mod list;
mod list_pages;
mod list_rules;
mod negotiation;
mod paging;
mod selectors;
mod small_rules;
mod support;
mod table;
mod tag_query;
mod watch;
mod watch_property;
mod watch_sharing;
mod watch_wire;
mod websocket;
mod wire;
