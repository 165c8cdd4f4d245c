//! How much of a registry's answer is read before it becomes an error.

use std::time::Duration;

use tokio::time::Instant;

/// Bounds on one operation. Each one hit is an error that names its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in one page of a tag list.
    pub page_bytes: u64,
    /// Bytes in all pages of a tag list.
    pub total_bytes: u64,
    /// Pages of a tag list.
    pub pages: u32,
    /// Different tags in a list.
    pub tags: u64,
    /// Bytes in a manifest.
    pub manifest_bytes: u64,
    /// Bytes in a token server's answer.
    pub token_bytes: u64,
    /// Redirects of one request.
    pub redirects: u32,
}

impl Default for Limits {
    /// Room for the largest lists seen in public (200,000 tags in 2,000 pages) five times over.
    fn default() -> Self {
        Self {
            page_bytes: 16 << 20,
            total_bytes: 256 << 20,
            pages: 10_000,
            tags: 1_000_000,
            manifest_bytes: 4 << 20,
            token_bytes: 64 << 10,
            redirects: 5,
        }
    }
}

/// When an operation has to be over, and how long it was given, which its error says. Waiting for others does not
/// count: an operation's time begins when its host may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    pub(super) at: Instant,
    pub(super) allowed: Duration,
}

impl Deadline {
    /// `allowed` from now.
    pub fn after(allowed: Duration) -> Self {
        // Far enough for anybody, near enough for the clock.
        let allowed = allowed.min(Duration::from_hours(365 * 24));
        Self {
            at: Instant::now() + allowed,
            allowed,
        }
    }

    /// As long as this one, from now.
    pub(super) fn anew(&self) -> Self {
        Self::after(self.allowed)
    }

    /// What is left of it.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}
