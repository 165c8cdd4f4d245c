//! The status that follows from an object, a decision and its outcome. Pure: one function in, one status out.
