//! The flags of `tagscope run` as they are typed. Nothing is judged here; see [`super::settings`].
//!
//! Names and defaults are Flux's and kube-apiserver's wherever one of them has the flag, and the
//! grammar is pflag's: a boolean may stand bare or take `=true|false|1|0|t|f`.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// The flags of `tagscope run`.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_line_help = false)]
pub struct Args {
    /// Address the API server listens on.
    #[arg(
        long,
        default_value = "::",
        value_name = "IP",
        help_heading = "API server"
    )]
    pub bind_address: String,
    /// Port the API server listens on.
    #[arg(
        long,
        default_value = "8443",
        value_name = "PORT",
        help_heading = "API server"
    )]
    pub secure_port: String,
    /// Serving certificate (PEM, with its chain). Without it tagscope manages its own.
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub tls_cert_file: Option<PathBuf>,
    /// Private key of the serving certificate (PEM).
    #[arg(long, value_name = "FILE", help_heading = "API server")]
    pub tls_private_key_file: Option<PathBuf>,
    /// Ordinary requests served at once; above it clients get 429.
    #[arg(
        long,
        default_value = "400",
        value_name = "N",
        help_heading = "API server"
    )]
    pub max_requests_inflight: String,
    /// How long a stopping server keeps serving after it says that it is not ready.
    #[arg(
        long,
        default_value = "0s",
        value_name = "DURATION",
        help_heading = "API server"
    )]
    pub shutdown_delay_duration: String,
    /// Labels of an ImageRepository that its ImageTags carry too (comma list).
    #[arg(
        long,
        default_value = "",
        value_name = "LABELS",
        help_heading = "API server"
    )]
    pub imagetag_labels: String,

    /// Controllers to run: `*`, names, `-name` to leave one out (imagerepository, imagepolicy).
    #[arg(
        long,
        default_value = "*",
        value_name = "LIST",
        allow_hyphen_values = true,
        help_heading = "Controllers"
    )]
    pub controllers: String,
    /// Reconciliations of one kind at once.
    #[arg(
        long,
        default_value = "4",
        value_name = "N",
        help_heading = "Controllers"
    )]
    pub concurrent: String,
    /// How long an ImagePolicy waits for the tags of its repository.
    #[arg(
        long,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "Controllers"
    )]
    pub requeue_dependency: String,
    /// First wait after a failed reconciliation.
    #[arg(
        long,
        default_value = "750ms",
        value_name = "DURATION",
        help_heading = "Controllers"
    )]
    pub min_retry_delay: String,
    /// Longest wait after failed reconciliations.
    #[arg(
        long,
        default_value = "15m",
        value_name = "DURATION",
        help_heading = "Controllers"
    )]
    pub max_retry_delay: String,
    /// Let an ImagePolicy refer to its own namespace only.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "false", default_missing_value = "true", value_name = "BOOL", help_heading = "Controllers")]
    pub no_cross_namespace_refs: String,
    /// Watch all namespaces; otherwise only the one that RUNTIME_NAMESPACE names.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", value_name = "BOOL", help_heading = "Controllers")]
    pub watch_all_namespaces: String,
    /// `Gate=true|false`, comma list. Known: FluxStorage, CacheSecretsAndConfigMaps, ObjectLevelWorkloadIdentity.
    #[arg(
        long,
        default_value = "",
        value_name = "GATES",
        help_heading = "Controllers"
    )]
    pub feature_gates: String,

    /// Directory of the tag store's snapshots.
    #[arg(
        long,
        default_value = "/data",
        value_name = "DIR",
        help_heading = "Process"
    )]
    pub storage_path: PathBuf,
    /// Address of the metrics endpoint; `0` switches it off.
    #[arg(
        long,
        default_value = ":8080",
        value_name = "ADDR",
        help_heading = "Process"
    )]
    pub metrics_addr: String,
    /// Address of /healthz, /livez and /readyz.
    #[arg(
        long,
        default_value = ":9440",
        value_name = "ADDR",
        help_heading = "Process"
    )]
    pub health_addr: String,
    /// Log lines as `json` or for people (`console`).
    #[arg(
        long,
        default_value = "json",
        value_name = "ENCODING",
        help_heading = "Process"
    )]
    pub log_encoding: String,
    /// trace, debug, info or error.
    #[arg(
        long,
        default_value = "info",
        value_name = "LEVEL",
        help_heading = "Process"
    )]
    pub log_level: String,
    /// The namespace that the program runs in, where its own Secret and Lease live.
    #[arg(
        long,
        env = "RUNTIME_NAMESPACE",
        default_value = "tagscope-system",
        value_name = "NAMESPACE",
        help_heading = "Process"
    )]
    pub runtime_namespace: String,
}
