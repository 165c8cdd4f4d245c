//! Stands in the real adapters for the traits that the controllers are written against.
