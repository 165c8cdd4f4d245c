//! `/version`: of this program, in the shape of kube-apiserver's, because clients of the API parse that.

use serde_json::json;

/// What this build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// `major.minor.patch`, perhaps with a pre-release.
    pub version: String,
    /// The commit it was built from; empty when unknown.
    pub commit: String,
    /// When it was built, RFC 3339; empty when unknown.
    pub built: String,
}

impl Version {
    /// This build's: from the package, and from `TAGSCOPE_BUILD_COMMIT` and `TAGSCOPE_BUILD_DATE` at compile time.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("TAGSCOPE_BUILD_COMMIT")
                .unwrap_or_default()
                .to_owned(),
            built: option_env!("TAGSCOPE_BUILD_DATE")
                .unwrap_or_default()
                .to_owned(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        let mut parts = self.version.split('.');
        let (major, minor) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        json!({
            "major": major,
            "minor": minor,
            "gitVersion": format!("v{}", self.version),
            "gitCommit": self.commit,
            "gitTreeState": "",
            "buildDate": self.built,
            "goVersion": "",
            "compiler": "rustc",
            "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
        })
        .to_string()
    }
}
