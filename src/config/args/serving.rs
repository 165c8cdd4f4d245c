//! The flags of how the aggregated API is served, as they are typed: kube-apiserver's own names, wherever it has the flag.

use clap::Args as ClapArgs;

/// How the aggregated API is served.
#[derive(Debug, Clone, ClapArgs)]
pub struct Serving {
    /// Oldest version of TLS: VersionTLS12 or VersionTLS13.
    #[arg(
        long,
        default_value = "VersionTLS12",
        value_name = "VERSION",
        help_heading = "API server"
    )]
    pub tls_min_version: String,
    /// Cipher suites of TLS 1.2 (comma list of IANA names); empty: all that are safe.
    #[arg(
        long,
        default_value = "",
        value_name = "SUITES",
        help_heading = "API server"
    )]
    pub tls_cipher_suites: String,
    /// Writing requests served at once; above it clients get 429.
    #[arg(
        long,
        default_value = "200",
        value_name = "N",
        help_heading = "API server"
    )]
    pub max_mutating_requests_inflight: String,
    /// Watches open at once; above it clients get 429.
    #[arg(
        long,
        default_value = "4096",
        value_name = "N",
        help_heading = "API server"
    )]
    pub max_watches_inflight: String,
    /// Requests at once on one HTTP/2 connection.
    #[arg(
        long,
        default_value = "250",
        value_name = "N",
        help_heading = "API server"
    )]
    pub http2_max_streams_per_connection: String,
    /// How long a request that is no watch may take; clients may ask for less.
    #[arg(
        long,
        default_value = "1m",
        value_name = "DURATION",
        help_heading = "API server"
    )]
    pub request_timeout: String,
    /// How likely a request is to end its HTTP/2 connection in order, so that clients spread over replicas: 0 to 0.02.
    #[arg(
        long,
        default_value = "0",
        allow_negative_numbers = true,
        value_name = "CHANCE",
        help_heading = "API server"
    )]
    pub goaway_chance: String,
    /// Over how long a stopping server spreads the ends of watches, at most.
    #[arg(
        long,
        default_value = "10s",
        value_name = "DURATION",
        help_heading = "API server"
    )]
    pub shutdown_watch_termination_grace_period: String,
    /// A stopping server turns new requests away with 429 until the last one is done, in place of closing its door at once.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "API server",
    )]
    pub shutdown_send_retry_after: String,
    /// Where the audit log goes: a file, or - for standard output. Empty: there is none.
    #[arg(
        long,
        default_value = "",
        value_name = "FILE",
        help_heading = "API server"
    )]
    pub audit_log_path: String,
}
