//! From objects to orders: sources found, names made, Secrets read, no two sources in one repository, and no source in one in
//! two ways.

mod ends;
mod tags;

use std::collections::BTreeMap;

use super::unread::Kind;
use super::{Object, Objects, Problems};
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
use crate::cli::mirror::order::{End, Order, Suspended};
use crate::cli::mirror::run::limiter;
use crate::image::Repository;
use crate::mirror::prune::Rules;
use crate::mirror::spec::{self, How, Problem};
use crate::mirror::{clash, template};
use crate::object::Key;

/// Everything that the objects ask for. What is wrong with one part hides nothing of another.
pub(super) fn orders(
    objects: &Objects,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Vec<Order> {
    let mut orders = Vec::new();
    let mut wishes = Vec::new();
    if objects.mirrors.is_empty() && !objects.unread.may_be_some(Kind::Mirror) {
        problems
            .0
            .push("no document is an ImageMirror: there is nothing to copy".to_owned());
    }
    for (key, mirror) in &objects.mirrors {
        let spec = &mirror.spec;
        if spec.suspend {
            warnings.push(format!("{}: it is suspended, and left out", mirror.place));
            continue;
        }
        let prune = spec.prune.as_ref().filter(|prune| prune.enabled);
        let prune = prune.map(|prune| Rules {
            grace: prune.effective_grace(),
            max_percent: prune.max_delete_percent(),
        });
        let bandwidth = spec.bandwidth.map(limiter);
        let how = told(How::read(spec), mirror, problems);
        let targets = targets(objects, key, mirror, problems);
        let own = ends::own(objects, key, mirror, problems);
        let sources = sources(objects, key, mirror, problems);
        let names = sources.keys().copied().collect();
        let policies = tags::policies(objects, key, mirror, &names, problems);
        if sources.is_empty() {
            tags::check(mirror, &policies, problems);
        }
        for (source_key, source) in sources {
            let has_own = spec.source_secret_ref.is_some();
            let end = ends::source(objects, source_key, source, has_own, problems, warnings);
            let end = end.zip(own.as_ref()).map(|(end, own)| own.of_source(end));
            let source = (source_key, source);
            let wanted = tags::wanted(mirror, &policies, source, problems, warnings);
            let (Some(end), Some(how), Some(targets)) = (end, &how, &targets) else {
                continue;
            };
            let destinations = destinations(mirror, targets, &end.repository, problems);
            for (target, end_there) in targets.iter().zip(&destinations) {
                wishes.push(clash::Wish {
                    who: format!("{} destination {:?}", mirror.place, target.name),
                    source: end.repository.clone(),
                    destination: end_there.repository.clone(),
                    terms: how.terms(spec),
                });
            }
            orders.extend(wanted.into_iter().map(|(asker, wanted)| Order {
                mirror: Some(key.clone()),
                asker,
                source: end.clone(),
                destinations: destinations.clone(),
                wanted,
                renamed: None,
                platforms: how.platforms.clone(),
                mode: how.mode,
                referrers: spec.referrers,
                overwrite: how.overwrite.clone(),
                verify_after: spec.effective_verify_interval(),
                bandwidth: bandwidth.clone(),
                prune,
            }));
        }
    }
    meet(&wishes, problems);
    orders
}

/// The mirrors that are suspended. What is wrong with one of them is nobody's trouble now: where it copies to is not known then.
pub(super) fn suspended(objects: &Objects) -> Vec<Suspended> {
    let all = objects.mirrors.iter();
    let suspended = all.filter(|(_, mirror)| mirror.spec.suspend);
    suspended
        .map(|(key, mirror)| {
            let mut untold = Problems::default();
            let sources = sources(objects, key, mirror, &mut untold);
            let targets = spec::Target::all(&mirror.spec).unwrap_or_default();
            let is_whole = untold.0.is_empty() && targets.len() == mirror.spec.destinations.len();
            let to = sources.values().flat_map(|source| {
                let image: Option<Repository> = source.spec.image.parse().ok();
                let to = targets.iter();
                to.map(move |target| target.of(image.as_ref()?).ok())
            });
            let to: Option<Vec<_>> = to.collect();
            Suspended {
                mirror: key.clone(),
                to: to.filter(|_| is_whole),
            }
        })
        .collect()
}

/// No two sources in one repository, and no source in one in two ways.
fn meet(wishes: &[clash::Wish<String>], problems: &mut Problems) {
    let places: Vec<_> = wishes
        .iter()
        .map(|wish| {
            let clash::Wish {
                who,
                source,
                destination,
                terms: _,
            } = wish;
            (who.clone(), source.clone(), destination.clone())
        })
        .collect();
    for template::Collision {
        destination,
        sources,
    } in template::collisions(&places)
    {
        let sources: Vec<String> = sources
            .iter()
            .map(|(whose, source)| format!("{source} ({whose})"))
            .collect();
        problems.0.push(format!(
            "several sources would meet in {destination}: {}",
            sources.join(", ")
        ));
    }
    let clashes = clash::clashes(wishes);
    let clashes = clashes.iter().map(ToString::to_string);
    problems.0.extend(clashes);
}

/// The ImageRepositories that a mirror names or selects.
fn sources<'a>(
    objects: &'a Objects,
    key: &Key,
    mirror: &Object<ImageMirrorSpec>,
    problems: &mut Problems,
) -> BTreeMap<&'a Key, &'a Object<ImageRepositorySpec>> {
    let reference = &mirror.spec.source_ref;
    let namespace = reference.namespace.as_deref().filter(|it| !it.is_empty());
    let namespace = namespace.unwrap_or(&key.namespace);
    if let Some(name) = &reference.name {
        let wanted = Key::new(namespace, name.as_str());
        let found = objects.repositories.get_key_value(&wanted);
        if found.is_none() && !objects.unread.may_be(Kind::Repository, &wanted) {
            problems.add(
                &mirror.place,
                "spec.sourceRef.name",
                format!("no document is the ImageRepository {wanted}"),
            );
        }
        return found.into_iter().collect();
    }
    let selector = reference.selector.clone().unwrap_or_default();
    let found: BTreeMap<_, _> = objects
        .repositories
        .iter()
        .filter(|(key, object)| &*key.namespace == namespace && selector.selects(&object.labels))
        .collect();
    let may_be = objects.unread.may_be_in(Kind::Repository, namespace);
    if found.is_empty() && !may_be {
        problems.add(
            &mirror.place,
            "spec.sourceRef.selector",
            format!("selects no ImageRepository of namespace {namespace:?} in the documents"),
        );
    }
    found
}

/// A destination of a mirror, whatever the source.
struct Target {
    name: String,
    place: spec::Target,
    means: ends::Means,
}

/// The destinations; none when something is wrong with one: one less, and those after it would be taken for others.
fn targets(
    objects: &Objects,
    key: &Key,
    mirror: &Object<ImageMirrorSpec>,
    problems: &mut Problems,
) -> Option<Vec<Target>> {
    let place = &mirror.place;
    let mut found = Vec::new();
    for (index, destination) in mirror.spec.destinations.iter().enumerate() {
        let path = format!("spec.destinations[{index}]");
        let target = spec::Target::read(index, destination).map_err(|problem| vec![problem]);
        let target = told(target, mirror, problems);
        let reach = ends::Reach {
            insecure: destination.insecure,
            secret: destination.secret_ref.as_ref(),
            certificates: destination.cert_secret_ref.as_ref(),
            proxy: destination.proxy_secret_ref.as_ref(),
        };
        let means = ends::means(objects, key, place, &path, &reach, problems);
        if let (Some(target), Some(means)) = (target, means) {
            let name = destination.name.clone();
            found.push(Target {
                name,
                place: target,
                means,
            });
        }
    }
    (found.len() == mirror.spec.destinations.len()).then_some(found)
}

/// Where the source goes: one end for each destination, unless something is wrong with one.
fn destinations(
    mirror: &Object<ImageMirrorSpec>,
    targets: &[Target],
    source: &Repository,
    problems: &mut Problems,
) -> Vec<End> {
    let mut found = Vec::new();
    for Target { place, means, .. } in targets {
        let repository = place.of(source).map_err(|problem| vec![problem]);
        if let Some(repository) = told(repository, mirror, problems) {
            found.push(means.clone().at(repository));
        }
    }
    if found.len() == targets.len() {
        found
    } else {
        Vec::new()
    }
}

/// What was read; problems are told.
fn told<T>(
    read: Result<T, Vec<Problem>>,
    mirror: &Object<ImageMirrorSpec>,
    problems: &mut Problems,
) -> Option<T> {
    let found = read.map_err(|found| {
        for Problem { field, what } in found {
            problems.add(&mirror.place, &field, what);
        }
    });
    found.ok()
}
