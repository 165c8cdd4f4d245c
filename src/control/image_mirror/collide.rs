//! Mirrors that would meet in one destination repository: the later one gives way, and says whom to.
