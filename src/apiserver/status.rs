//! The one place that turns an error into a `metav1.Status`, with kube-apiserver's own reasons and words.

/// A `Status` to answer with. Built by the constructors only.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, e.g. `NotFound`.
    pub reason: &'static str,
    /// The message for people.
    pub message: String,
    /// `details`, as JSON, when there are any.
    pub details: Option<serde_json::Value>,
    /// Seconds for the `Retry-After` header, when there is one.
    pub retry_after: Option<u32>,
}

mod auth;
