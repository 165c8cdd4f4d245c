//! TagQuery, asked directly: what is read, what is refused and how, who may ask about what, and what is answered.

mod access;
mod answers;
mod kit;
mod requests;
mod routes;
