//! The ways to a mirror's destinations: Secrets of its own namespace, read into a registry client's words.
