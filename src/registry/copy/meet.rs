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
use crate::image::{Digest, Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::clash::Terms;
use crate::mirror::overwrite::Overwrite;
use crate::registry::access::Identity;
use crate::registry::remote::Named;

/// Where jobs meet: a repository by its one name.
type Where = Repository;

fn place(repository: &Repository) -> Where {
    canonical::repository(repository).into_owned()
}

#[derive(Debug, Default)]
struct Group {
    places: Vec<Where>,
    jobs: Vec<(usize, Job)>,
}

/// Jobs that share a destination, and those that share one with these, each group in the order given; each job with its number
/// in that order.
pub(super) fn groups(jobs: Vec<Job>) -> Vec<Vec<(usize, Job)>> {
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
    groups
}

/// On which terms a job wants its source.
fn terms(job: &Job) -> Terms {
    let patterns: Vec<_> = match &job.overwrite {
        Overwrite::Never | Overwrite::Always => Vec::new(),
        Overwrite::MutableTagsOnly(patterns) => {
            patterns.iter().map(|it| it.as_str().to_owned()).collect()
        }
    };
    let overwrite = (&job.overwrite, &*patterns);
    Terms::new(&job.platforms, job.mode, job.referrers, overwrite)
}

/// An image that a job wants somewhere.
#[derive(Debug)]
struct Claim {
    /// As the job calls it.
    from: Repository,
    terms: Arc<Terms>,
    named: Named,
    /// Who reads it, and who writes it.
    accounts: (Identity, Identity),
}

impl Claim {
    /// Whether it comes to the same, whoever makes it.
    fn is_like(&self, other: &Self) -> bool {
        self.terms == other.terms
            && self.named == other.named
            && canonical::repository(&self.from) == canonical::repository(&other.from)
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, terms, .. } = self;
        match &self.named {
            Named::Tag(tag) => write!(f, "{from}:{tag} ({terms})"),
            Named::Digest(digest) => write!(f, "{from}@{digest} ({terms})"),
        }
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
        let terms = Arc::new(terms(&course.job));
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
                    from: course.job.source.repository.clone(),
                    terms: Arc::clone(&terms),
                    named: wish.named.clone(),
                    accounts: (reader.clone(), writer.clone()),
                };
                let has_tag = matches!(name, Name::Tag(_));
                let claims = claimed.entry((place.clone(), name)).or_default();
                // By digest only, it is not the same place that they want to fill.
                if let Some(other) = claims.iter().find(|it| has_tag && !it.is_like(&claim)) {
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
                    .any(|it| it.is_like(&claim) && it.accounts == claim.accounts)
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
    use crate::mirror::subset;
    use crate::registry::Access;
    use crate::registry::copy::Wanted;

    /// Whole names are what they are; others are at one registry.
    fn job(name: &str, destinations: &[&str]) -> Job {
        let place = |name: &str| {
            let whole = format!("r.example/at/{name}");
            let name = if name.contains('/') { name } else { &whole };
            Place {
                repository: name.parse().unwrap(),
                access: Access::default(),
            }
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
                    .map(|(_, job)| job.source.repository.path().replace("at/", ""))
                    .collect()
            })
            .collect();
        assert_eq!(
            groups,
            [vec!["0", "3"], vec!["1", "2", "4", "6"], vec!["5"]]
        );
    }

    #[test]
    fn one_repository_is_one_place_however_it_is_written() {
        for (one, other, is_one) in [
            ("r.example/at/a", "R.Example:443/at/a", true),
            ("r.example:5000/at/a", "R.example:5000/at/a", true),
            ("H:443/at/a", "h:443/at/a", true),
            ("docker.io/at/a", "registry-1.docker.io/at/a", true),
            ("r.example/at/a", "r.example:5000/at/a", false),
            ("r.example/at/a", "r.example/at/b", false),
        ] {
            let groups = groups(vec![job("0", &[one]), job("1", &[other])]);
            let expected = if is_one { 1 } else { 2 };
            assert_eq!(groups.len(), expected, "{one} and {other}");
        }
    }

    #[test]
    fn claims_to_one_source_are_alike_however_it_is_written() {
        let claim = |from: &str, referrers| {
            let job = Job {
                referrers,
                ..job(from, &[])
            };
            Claim {
                from: job.source.repository.clone(),
                terms: Arc::new(terms(&job)),
                named: Named::Tag("1".parse().unwrap()),
                accounts: (Access::default().identity(), Access::default().identity()),
            }
        };
        let one = claim("r.example/at/a", false);
        for (other, is_like) in [
            (claim("R.example:443/at/a", false), true),
            (claim("r.example/at/a", true), false),
            (claim("r.example/at/b", false), false),
        ] {
            assert_eq!(one.is_like(&other), is_like, "{one} and {other}");
        }
    }
}
