//! Jobs that meet in a repository: an image that several of them want there is copied once and told of once, and what they
//! contradict each other about is said. Asks nobody anything.
//!
//! The order of the jobs decides, never that of the answers: of two that contradict each other the first one counts,
//! in each run anew.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;

use super::job::{Course, End, Wish};
use super::run::Run;
use super::{Job, Place};
use crate::image::{Digest, Platform, Repository, Tag};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::subset;
use crate::registry::access::Identity;
use crate::registry::remote::Named;

/// Where jobs meet: host and path.
type Where = (String, String);

fn place(repository: &Repository) -> Where {
    let host = repository.registry().api_host().to_ascii_lowercase();
    (host, repository.path().to_owned())
}

#[derive(Debug, Default)]
struct Group {
    places: Vec<Where>,
    jobs: Vec<(usize, Job)>,
}

/// Jobs that share a destination, and those that share one with these, each group in the order given.
pub(super) fn groups(jobs: Vec<Job>) -> Vec<Vec<Job>> {
    let mut groups: HashMap<usize, Group> = HashMap::new();
    let mut group_of: HashMap<Where, usize> = HashMap::new();
    for (number, job) in jobs.into_iter().enumerate() {
        let to = |Place { repository, .. }: &Place| place(repository);
        let places: Vec<_> = job.destinations.iter().map(to).collect();
        let met: BTreeSet<_> = places
            .iter()
            .filter_map(|place| group_of.get(place).copied())
            .collect();
        // The smaller ones go into the largest.
        let size = |group: &usize| groups.get(group).map_or(0, |group| group.jobs.len());
        let all = met.iter().copied().max_by_key(size).unwrap_or(number);
        let mut group = groups.remove(&all).unwrap_or_default();
        for other in met {
            let Some(other) = groups.remove(&other) else {
                continue;
            };
            for place in &other.places {
                group_of.insert(place.clone(), all);
            }
            group.places.extend(other.places);
            group.jobs.extend(other.jobs);
        }
        for place in places {
            if let Entry::Vacant(vacant) = group_of.entry(place) {
                group.places.push(vacant.key().clone());
                vacant.insert(all);
            }
        }
        group.jobs.push((number, job));
        groups.insert(all, group);
    }
    let mut groups: Vec<_> = groups.into_values().map(|group| group.jobs).collect();
    for jobs in &mut groups {
        jobs.sort_by_key(|(number, _)| *number);
    }
    groups.sort_by_key(|jobs| jobs.first().map(|(number, _)| *number));
    let jobs = groups.into_iter();
    jobs.map(|jobs| jobs.into_iter().map(|(_, job)| job).collect())
        .collect()
}

/// What is done to a destination besides what is copied.
#[derive(Debug, PartialEq, Eq)]
struct Terms {
    from: Repository,
    platforms: BTreeSet<Platform>,
    /// Of no account when all platforms are copied.
    mode: Option<subset::Mode>,
    referrers: bool,
    overwrite: String,
}

impl Terms {
    fn of(job: &Job) -> Self {
        let overwrite = match &job.overwrite {
            Overwrite::Never => "never".to_owned(),
            Overwrite::Always => "always".to_owned(),
            Overwrite::MutableTagsOnly(patterns) => {
                let mut patterns: Vec<_> = patterns
                    .iter()
                    .map(|it| format!(" {}", it.as_str()))
                    .collect();
                patterns.sort_unstable();
                patterns.dedup();
                format!("mutable tags only{}", patterns.concat())
            }
        };
        Self {
            from: job.source.repository.clone(),
            platforms: job.platforms.iter().cloned().collect(),
            mode: (!job.platforms.is_empty()).then_some(job.mode),
            referrers: job.referrers,
            overwrite,
        }
    }
}

/// An image that a job wants somewhere.
#[derive(Debug)]
struct Claim {
    terms: Arc<Terms>,
    named: Named,
    /// Who reads it, and who writes it.
    accounts: (Identity, Identity),
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Terms {
            from,
            platforms,
            mode,
            referrers,
            overwrite,
        } = &*self.terms;
        match &self.named {
            Named::Tag(tag) => write!(f, "{from}:{tag} (")?,
            Named::Digest(digest) => write!(f, "{from}@{digest} (")?,
        }
        match mode {
            None => f.write_str("all platforms")?,
            Some(mode) => {
                let names: Vec<_> = platforms.iter().map(ToString::to_string).collect();
                let mode = match mode {
                    subset::Mode::Rewritten => "rewritten",
                    subset::Mode::Sparse => "sparse",
                };
                write!(f, "{}, {mode}", names.join(", "))?;
            }
        }
        let referrers = if *referrers { "with" } else { "without" };
        write!(f, "; {referrers} referrers; overwriting: {overwrite})")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Tag(Tag),
    Digest(Digest),
}

/// The images of jobs that have met, each once at each destination.
pub(super) fn once(run: &Run<'_>, jobs: Vec<(Course, Vec<Wish>)>) -> Vec<(Arc<Course>, Wish)> {
    let mut claimed: HashMap<(Where, Name), Vec<Claim>> = HashMap::new();
    let mut images = Vec::new();
    for (course, wishes) in jobs {
        let course = Arc::new(course);
        let terms = Arc::new(Terms::of(&course.job));
        let reader = course.from.identity();
        let ends: Vec<_> = course
            .ends
            .iter()
            .map(|end| (place(end.remote.repository()), end.remote.identity()))
            .collect();
        let mut parts: HashMap<Vec<usize>, Arc<Course>> = HashMap::new();
        for wish in wishes {
            let mut due = Vec::new();
            for (number, (place, writer)) in ends.iter().enumerate() {
                let name = match (&wish.tag, &wish.named) {
                    (Some(tag), _) | (None, Named::Tag(tag)) => Name::Tag(tag.clone()),
                    (None, Named::Digest(digest)) => Name::Digest(digest.clone()),
                };
                let claim = Claim {
                    terms: Arc::clone(&terms),
                    named: wish.named.clone(),
                    accounts: (reader.clone(), writer.clone()),
                };
                let has_tag = matches!(name, Name::Tag(_));
                let claims = claimed.entry((place.clone(), name)).or_default();
                let is_same = |it: &Claim| it.terms == claim.terms && it.named == claim.named;
                // By digest only, it is not the same place that they want to fill.
                if let Some(other) = claims.iter().find(|it| has_tag && !is_same(it)) {
                    let to = course.ends.get(number).map(|end| end.remote.repository());
                    if let (Some(to), Some(tag)) = (to, &wish.tag) {
                        run.problem(format!(
                            "{to}:{tag} is wanted in two ways, of which only the first is done: {other} and {claim}"
                        ));
                    }
                    continue;
                }
                // Another account may be able to do what this one is not.
                if claims
                    .iter()
                    .any(|it| is_same(it) && it.accounts == claim.accounts)
                {
                    continue;
                }
                claims.push(claim);
                due.push(number);
            }
            if due.is_empty() {
                continue;
            }
            let course = if due.len() == ends.len() {
                Arc::clone(&course)
            } else {
                let part = parts.entry(due);
                let part = part.or_insert_with_key(|due| Arc::new(part_of(&course, due)));
                Arc::clone(part)
            };
            images.push((course, wish));
        }
    }
    images
}

/// `course` with these ends only.
fn part_of(course: &Course, numbers: &[usize]) -> Course {
    let ends = numbers.iter().filter_map(|number| course.ends.get(*number));
    Course {
        job: course.job.clone(),
        source: course.source,
        from: course.from.clone(),
        ends: ends.map(End::clone).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Access;
    use crate::registry::copy::Wanted;

    fn job(name: &str, destinations: &[&str]) -> Job {
        let place = |name: &str| Place {
            repository: format!("r.example/at/{name}").parse().unwrap(),
            access: Access::default(),
        };
        Job {
            source: place(name),
            destinations: destinations.iter().map(|name| place(name)).collect(),
            wanted: Wanted::Tags(Vec::new()),
            renamed: None,
            platforms: Vec::new(),
            mode: subset::Mode::Rewritten,
            referrers: false,
            overwrite: Overwrite::Never,
            verify_after: std::time::Duration::ZERO,
            follows_scan: false,
            bandwidth: None,
        }
    }

    #[test]
    fn who_shares_a_destination_is_of_one_group_over_however_many_corners() {
        let jobs = vec![
            job("0", &["a"]),
            job("1", &["b"]),
            job("2", &["c", "d"]),
            job("3", &["a"]),
            job("4", &["d", "b"]),
            job("5", &["e"]),
            job("6", &["b", "b"]),
        ];
        let groups: Vec<Vec<String>> = groups(jobs)
            .into_iter()
            .map(|jobs| {
                jobs.iter()
                    .map(|job| job.source.repository.path().replace("at/", ""))
                    .collect()
            })
            .collect();
        assert_eq!(
            groups,
            [vec!["0", "3"], vec!["1", "2", "4", "6"], vec!["5"]]
        );
    }
}
