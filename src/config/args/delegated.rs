//! The flags of the API server's authentication and authorization, as they are typed: kube-apiserver's and those of its
//! delegating servers.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// The flags.
#[derive(Debug, Clone, Args)]
pub struct DelegatedArgs {
    /// Authorities of users' certificates (PEM), in place of the cluster's own.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "API server: authentication and authorization"
    )]
    pub client_ca_file: Option<PathBuf>,
    /// Authorities of the front proxy's certificate (PEM), in place of the cluster's own.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "API server: authentication and authorization"
    )]
    pub requestheader_client_ca_file: Option<PathBuf>,
    /// Common names that the front proxy may have; given, but empty: any (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "NAMES",
        help_heading = "API server: authentication and authorization",
    )]
    pub requestheader_allowed_names: Vec<String>,
    /// Headers with the user's name (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "HEADERS",
        help_heading = "API server: authentication and authorization",
    )]
    pub requestheader_username_headers: Vec<String>,
    /// Headers with the user's uid (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "HEADERS",
        help_heading = "API server: authentication and authorization",
    )]
    pub requestheader_uid_headers: Vec<String>,
    /// Headers with the user's groups (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "HEADERS",
        help_heading = "API server: authentication and authorization",
    )]
    pub requestheader_group_headers: Vec<String>,
    /// Prefixes of headers with more about the user (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "PREFIXES",
        help_heading = "API server: authentication and authorization",
    )]
    pub requestheader_extra_headers_prefix: Vec<String>,
    /// Do not read the cluster's ConfigMap of authentication settings.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "API server: authentication and authorization",
    )]
    pub authentication_skip_lookup: String,
    /// Serve although that ConfigMap cannot be read; users that only it could tell are refused.
    #[arg(
        long,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        value_name = "BOOL",
        help_heading = "API server: authentication and authorization",
    )]
    pub authentication_tolerate_lookup_failure: String,
    /// How long a token that was reviewed is known; 0s: it is reviewed for every request.
    #[arg(
        long,
        default_value = "10s",
        value_name = "DURATION",
        help_heading = "API server: authentication and authorization"
    )]
    pub authentication_token_webhook_cache_ttl: String,
    /// The kubeconfig to review tokens and read authentication settings with.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "API server: authentication and authorization"
    )]
    pub authentication_kubeconfig: Option<PathBuf>,
    /// Audiences that a token must be for; none: those of kube-apiserver (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        value_name = "AUDIENCES",
        help_heading = "API server: authentication and authorization",
    )]
    pub api_audiences: Vec<String>,
    /// The kubeconfig to review access with.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "API server: authentication and authorization"
    )]
    pub authorization_kubeconfig: Option<PathBuf>,
    /// How long a permission holds without asking again.
    #[arg(
        long,
        default_value = "10s",
        value_name = "DURATION",
        help_heading = "API server: authentication and authorization"
    )]
    pub authorization_webhook_cache_authorized_ttl: String,
    /// How long a denial holds without asking again.
    #[arg(
        long,
        default_value = "10s",
        value_name = "DURATION",
        help_heading = "API server: authentication and authorization"
    )]
    pub authorization_webhook_cache_unauthorized_ttl: String,
    /// Paths that everybody may use; a trailing * makes a prefix (comma list).
    #[arg(
        long,
        action = ArgAction::Append,
        default_value = "/healthz,/readyz,/livez",
        value_name = "PATHS",
        help_heading = "API server: authentication and authorization",
    )]
    pub authorization_always_allow_paths: Vec<String>,
}
