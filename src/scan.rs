//! Scan decisions (temporary stand-in until the real module is merged).
#![allow(missing_docs)]
use std::time::Duration;
use jiff::Timestamp;
use sha2::Digest as _;
use crate::image::Tag;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionForm { Adler32, Sha256 }
impl RevisionForm {
    pub fn of(revision: &str) -> Option<Self> {
        if revision.starts_with("sha256:") { Some(Self::Sha256) } else if revision.is_empty() { None } else { Some(Self::Adler32) }
    }
}
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason { First, Requested, NewImage, NewExclusion, EmptyDatabase, Interval }
impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::First => "first scan", Self::Requested => "reconcile requested", Self::NewImage => "new image name",
            Self::NewExclusion => "updated exclusion list", Self::EmptyDatabase => "no tags in database", Self::Interval => "triggered by interval",
        })
    }
}
pub enum Due { Now(Reason), In(Duration) }
pub struct Facts<'a> {
    pub now: Timestamp, pub interval: Duration, pub last_scan: Option<Timestamp>, pub was_requested: bool,
    pub image: &'a str, pub observed_image: Option<&'a str>, pub exclusion: &'a [String], pub observed_exclusion: &'a [String],
    pub revision: Option<&'a str>, pub stored_revision: Option<&'a str>,
}
pub fn due(f: &Facts<'_>) -> Due {
    let (Some(last), Some(revision)) = (f.last_scan, f.revision) else { return Due::Now(Reason::First) };
    if f.was_requested { return Due::Now(Reason::Requested); }
    if Some(f.image) != f.observed_image { return Due::Now(Reason::NewImage); }
    if f.exclusion.len() != f.observed_exclusion.len() || f.exclusion.iter().any(|e| !f.observed_exclusion.contains(e)) { return Due::Now(Reason::NewExclusion); }
    if f.stored_revision != Some(revision) { return Due::Now(Reason::EmptyDatabase); }
    let elapsed = Duration::try_from(f.now.duration_since(last)).unwrap_or_default();
    let left = f.interval.saturating_sub(elapsed);
    if left < Duration::from_secs(1) { Due::Now(Reason::Interval) } else { Due::In(left) }
}
pub struct Exclusion(Vec<regex::Regex>);
#[derive(Debug, thiserror::Error)]
#[error("failed to compile regex {pattern}: error parsing regexp: x")]
pub struct Error { pub pattern: String }
pub struct Sorted { pub tags: Vec<Tag>, pub aside: Vec<Tag> }
impl Exclusion {
    pub fn compile(patterns: &[String]) -> Result<Self, Error> {
        patterns.iter().map(|p| regex::Regex::new(p).map_err(|_| Error { pattern: p.clone() })).collect::<Result<_, _>>().map(Self)
    }
    pub fn sort(&self, tags: Vec<Tag>) -> Sorted {
        let (aside, mut tags): (Vec<_>, Vec<_>) = tags.into_iter().partition(|t| self.0.iter().any(|r| r.is_match(t.as_str())));
        tags.sort_by(|a, b| b.as_str().cmp(a.as_str()));
        Sorted { tags, aside }
    }
}
pub fn revision(form: RevisionForm, tags: &[Tag]) -> String {
    match form {
        RevisionForm::Adler32 => { let json = serde_json::to_string(&tags.iter().map(Tag::as_str).collect::<Vec<_>>()).unwrap_or_default(); adler2::adler32_slice(json.as_bytes()).to_string() }
        RevisionForm::Sha256 => { let mut h = sha2::Sha256::new(); for t in tags { h.update(t.as_str()); h.update("\n"); } format!("sha256:{}", h.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>()) }
    }
}
