//! The flags of mirroring, as they are typed: ours, and imagerepo-mirror's, whose Deployments keep their arguments.

use clap::Args as ClapArgs;

/// How images are copied.
#[derive(Debug, Clone, ClapArgs)]
pub struct Mirrors {
    /// Mirrors that run at once.
    #[arg(
        long,
        default_value = "4",
        value_name = "N",
        help_heading = "Mirroring"
    )]
    pub mirror_workers: String,
    /// Most bytes per second that all mirrors copy, such as 50MiB; empty: no limit.
    #[arg(
        long,
        default_value = "",
        value_name = "BANDWIDTH",
        help_heading = "Mirroring"
    )]
    pub mirror_bandwidth: String,
    /// Mirror every ImageRepository, all tags, to this registry: HOST[/PATH], with the image's last name behind it.
    #[arg(
        long,
        default_value = "",
        value_name = "PREFIX",
        help_heading = "Mirroring, as imagerepo-mirror has it"
    )]
    pub destination_registry: String,
    /// Secret with the credentials for that registry; without it those of DOCKER_CONFIG or ~/.docker count.
    #[arg(
        long,
        default_value = "",
        value_name = "[NAMESPACE/]NAME",
        help_heading = "Mirroring, as imagerepo-mirror has it"
    )]
    pub destination_secret: String,
    /// Another name of --mirror-workers.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Mirroring, as imagerepo-mirror has it"
    )]
    pub workers: Option<String>,
    /// Most requests of mirrors at once at one registry; without it tagscope finds out how many are good, 32 at most.
    #[arg(
        long,
        value_name = "N",
        help_heading = "Mirroring, as imagerepo-mirror has it"
    )]
    pub tag_workers: Option<String>,
}
