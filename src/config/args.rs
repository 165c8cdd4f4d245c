//! The flags of `tagscope run` as they are typed. Nothing is judged here; see [`super::settings`].
//!
//! Names and defaults are Flux's and kube-apiserver's wherever one of them has the flag, and the grammar is pflag's: a
//! boolean may stand bare or take `=true|false|1|0|t|f`, a flag that is repeated counts as it stood last, and lists grow.
//! What has no default here was not typed: those flags are only accepted.

pub mod delegated;
pub mod mirrors;
pub mod serving;

use std::path::PathBuf;

use clap::{ArgAction, Args as ClapArgs};

use self::delegated::DelegatedArgs;

/// The flags of `tagscope run`.
#[derive(Debug, Clone, ClapArgs)]
#[command(next_line_help = false, args_override_self = true)]
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

    /// Of the API server's authentication and authorization.
    #[command(flatten)]
    pub delegated: DelegatedArgs,
    /// How the API is served.
    #[command(flatten)]
    pub serving: serving::Serving,

    /// Controllers to run: `*`, names, `-name` to leave one out (imagerepository, imagepolicy, imagemirror).
    #[arg(
        long,
        default_value = "*",
        allow_hyphen_values = true,
        value_name = "LIST",
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
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Controllers",
    )]
    pub no_cross_namespace_refs: String,
    /// Watch all namespaces; otherwise only the one that RUNTIME_NAMESPACE names.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Controllers",
    )]
    pub watch_all_namespaces: String,
    /// Look at those ImageRepositories and ImagePolicies only that carry these labels: one shard.
    #[arg(
        long,
        default_value = "",
        value_name = "SELECTOR",
        help_heading = "Controllers"
    )]
    pub watch_label_selector: String,
    /// Run beside Flux's own controller: follow its scans, and write nothing of Flux's.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Controllers",
    )]
    pub companion: String,
    /// Scans in a row that have to miss a tag before it is dropped, where a list is suspect.
    #[arg(
        long,
        default_value = "3",
        value_name = "N",
        help_heading = "Controllers"
    )]
    pub suspect_confirmations: String,
    /// `Gate=true|false`, comma list, all of Flux's: FluxStorage, CacheSecretsAndConfigMaps, ObjectLevelWorkloadIdentity, GitForcePushBranch, GitShallowClone, GitAllBranchReferences, GitSparseCheckout.
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "GATES",
        help_heading = "Controllers",
    )]
    pub feature_gates: Vec<String>,
    /// ServiceAccount of objects that name none; needs the gate ObjectLevelWorkloadIdentity.
    #[arg(
        long,
        default_value = "",
        value_name = "NAME",
        help_heading = "Controllers"
    )]
    pub default_service_account: String,

    /// Requests per second and registry host; 0: only what registries teach.
    #[arg(
        long,
        default_value = "0",
        allow_negative_numbers = true,
        value_name = "RATE",
        help_heading = "Registries"
    )]
    pub registry_rps: String,
    /// Requests at once per registry host.
    #[arg(
        long,
        default_value = "4",
        value_name = "N",
        help_heading = "Registries"
    )]
    pub registry_concurrency: String,

    /// How images are copied.
    #[command(flatten)]
    pub mirrors: mirrors::Mirrors,

    /// Act only while holding Flux's Lease, and imagerepo-mirror's with --destination-registry.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Leader election",
    )]
    pub enable_leader_election: String,
    /// Namespace of the Lease; the runtime namespace when empty. Next to Flux's objects: flux-system.
    #[arg(
        long,
        default_value = "",
        value_name = "NAMESPACE",
        help_heading = "Leader election"
    )]
    pub leader_election_namespace: String,
    /// Give the Lease up on shutdown.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "true",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Leader election",
    )]
    pub leader_election_release_on_cancel: String,
    /// How long others wait for a leader that is silent.
    #[arg(
        long,
        default_value = "35s",
        value_name = "DURATION",
        help_heading = "Leader election"
    )]
    pub leader_election_lease_duration: String,
    /// How long a leader tries to renew before it stops.
    #[arg(
        long,
        default_value = "30s",
        value_name = "DURATION",
        help_heading = "Leader election"
    )]
    pub leader_election_renew_deadline: String,
    /// Time between two tries.
    #[arg(
        long,
        default_value = "5s",
        value_name = "DURATION",
        help_heading = "Leader election"
    )]
    pub leader_election_retry_period: String,

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
    /// Where events are posted besides Kubernetes Events: Flux's notification-controller.
    #[arg(long, default_value = "", value_name = "URL", help_heading = "Process")]
    pub events_addr: String,
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
    /// Requests to kube-apiserver per second, where it has no Priority & Fairness; 0 or less: no limit.
    #[arg(
        long,
        default_value = "50",
        allow_negative_numbers = true,
        value_name = "RATE",
        help_heading = "Process"
    )]
    pub kube_api_qps: String,
    /// Requests to kube-apiserver at once, where it has no Priority & Fairness.
    #[arg(
        long,
        default_value = "300",
        allow_negative_numbers = true,
        value_name = "N",
        help_heading = "Process"
    )]
    pub kube_api_burst: String,
    /// The namespace that the program runs in, where its own Secret and Lease live.
    #[arg(
        long,
        env = "RUNTIME_NAMESPACE",
        default_value = "tagscope-system",
        value_name = "NAMESPACE",
        help_heading = "Process"
    )]
    pub runtime_namespace: String,

    /// Of imagerepo-mirror: log lines are JSON unless --log-encoding says otherwise.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "Accepted, without effect",
    )]
    pub log_json: Option<String>,
    /// Of Flux's own storage.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "BYTES",
        help_heading = "Accepted, without effect"
    )]
    pub storage_value_log_file_size: Option<String>,
    /// Of Flux's own storage.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "KIB",
        help_heading = "Accepted, without effect"
    )]
    pub storage_compression_threshold: Option<String>,
    /// Of Flux's own storage.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "MINUTES",
        help_heading = "Accepted, without effect"
    )]
    pub gc_interval: Option<String>,
    /// Nothing here refers to watched configuration.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "SELECTOR",
        help_heading = "Accepted, without effect"
    )]
    pub watch_configs_label_selector: Option<String>,
    /// Of cloud tokens, which are not fetched yet.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "N",
        help_heading = "Accepted, without effect"
    )]
    pub token_cache_max_size: Option<String>,
    /// Of cloud tokens, which are not fetched yet.
    #[arg(
        long,
        allow_negative_numbers = true,
        value_name = "DURATION",
        help_heading = "Accepted, without effect"
    )]
    pub token_cache_max_duration: Option<String>,
    /// Of Git automation, which is not there yet.
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "LIST",
        help_heading = "Accepted, without effect",
    )]
    pub ssh_kex_algos: Vec<String>,
    /// Of Git automation, which is not there yet.
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "LIST",
        help_heading = "Accepted, without effect",
    )]
    pub ssh_hostkey_algos: Vec<String>,
}
