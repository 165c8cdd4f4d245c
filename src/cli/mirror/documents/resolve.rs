//! From objects to orders: sources found, names made, Secrets read, no two sources in one repository, and no source in one in
//! two ways.

mod ends;
mod tags;

use std::collections::BTreeMap;

use super::unread::Kind;
use super::{Object, Objects, Problems};
use crate::api::image_mirror::{Destination, OverwriteMode, PlatformMode};
use crate::api::{ImageMirrorSpec, ImageRepositorySpec};
use crate::cli::mirror::order::{End, Order};
use crate::cli::mirror::run::limiter;
use crate::image::{Platform, Repository};
use crate::mirror::clash::{self, Terms};
use crate::mirror::overwrite::Overwrite;
use crate::mirror::prune::Rules;
use crate::mirror::subset::Mode;
use crate::mirror::template::{self, Template};
use crate::object::Key;
use crate::regexp::Regexp;

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
        let how = how(mirror, problems);
        let targets = targets(objects, key, mirror, problems);
        let sources = sources(objects, key, mirror, problems);
        let names = sources.keys().copied().collect();
        let policies = tags::policies(objects, key, mirror, &names, problems);
        if sources.is_empty() {
            tags::check(mirror, &policies, problems);
        }
        for (source_key, source) in sources {
            let end = ends::source(objects, source_key, source, problems, warnings);
            let source = (source_key, source);
            let wanted = tags::wanted(mirror, &policies, source, problems, warnings);
            let (Some(end), Some(how), Some(targets)) = (end, &how, &targets) else {
                continue;
            };
            let destinations = destinations(mirror, targets, &end.repository, problems);
            for (target, end_there) in targets.iter().zip(&destinations) {
                wishes.push(clash::Wish {
                    who: format!("{} destination {:?}", mirror.place, target.destination.name),
                    source: end.repository.clone(),
                    destination: end_there.repository.clone(),
                    terms: how.terms(spec),
                });
            }
            orders.extend(wanted.into_iter().map(|(asker, wanted)| Order {
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

/// What holds for all sources of a mirror.
struct How {
    platforms: Vec<Platform>,
    mode: Mode,
    overwrite: Overwrite,
}

impl How {
    fn terms(&self, spec: &ImageMirrorSpec) -> Terms {
        let patterns = spec.overwrite.as_ref().map(|it| it.mutable.as_slice());
        let overwrite = (&self.overwrite, patterns.unwrap_or_default());
        Terms::new(&self.platforms, self.mode, spec.referrers, overwrite)
    }
}

fn how(mirror: &Object<ImageMirrorSpec>, problems: &mut Problems) -> Option<How> {
    let before = problems.0.len();
    let mut platforms = Vec::new();
    let mut mode = Mode::Rewritten;
    if let Some(wanted) = &mirror.spec.platforms {
        for (index, text) in wanted.include.iter().enumerate() {
            match text.parse() {
                Ok(platform) => platforms.push(platform),
                Err(error) => problems.add(
                    &mirror.place,
                    &format!("spec.platforms.include[{index}]"),
                    format!("is {text:?}: {error}"),
                ),
            }
        }
        mode = match wanted.mode {
            PlatformMode::Rewritten | PlatformMode::Unknown => Mode::Rewritten,
            PlatformMode::Sparse => Mode::Sparse,
        };
    }
    let mut overwrite = Overwrite::Never;
    if let Some(wanted) = &mirror.spec.overwrite {
        let mut patterns = Vec::new();
        for (index, pattern) in wanted.mutable.iter().enumerate() {
            match Regexp::new(pattern) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => problems.add(
                    &mirror.place,
                    &format!("spec.overwrite.mutable[{index}]"),
                    error,
                ),
            }
        }
        overwrite = match wanted.mode {
            OverwriteMode::Never | OverwriteMode::Unknown => Overwrite::Never,
            OverwriteMode::MutableTagsOnly => Overwrite::MutableTagsOnly(patterns),
            OverwriteMode::Always => Overwrite::Always,
        };
    }
    (problems.0.len() == before).then_some(How {
        platforms,
        mode,
        overwrite,
    })
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
struct Target<'a> {
    destination: &'a Destination,
    template: Template,
    means: ends::Means,
}

/// The destinations; none when something is wrong with one: one less, and those after it would be taken for others.
fn targets<'a>(
    objects: &Objects,
    key: &Key,
    mirror: &'a Object<ImageMirrorSpec>,
    problems: &mut Problems,
) -> Option<Vec<Target<'a>>> {
    let place = &mirror.place;
    let mut found = Vec::new();
    for (index, destination) in mirror.spec.destinations.iter().enumerate() {
        let path = format!("spec.destinations[{index}]");
        let template = Template::parse(destination.effective_template());
        if let Err(error) = &template {
            problems.add(place, &format!("{path}.repositoryTemplate"), error);
        }
        let reach = ends::Reach {
            insecure: destination.insecure,
            secret: destination.secret_ref.as_ref(),
            certificates: destination.cert_secret_ref.as_ref(),
            proxy: destination.proxy_secret_ref.as_ref(),
        };
        let means = ends::means(objects, key, place, &path, &reach, problems);
        if let (Ok(template), Some(means)) = (template, means) {
            found.push(Target {
                destination,
                template,
                means,
            });
        }
    }
    (found.len() == mirror.spec.destinations.len()).then_some(found)
}

/// Where the source goes: one end for each destination, unless something is wrong with one.
fn destinations(
    mirror: &Object<ImageMirrorSpec>,
    targets: &[Target<'_>],
    source: &Repository,
    problems: &mut Problems,
) -> Vec<End> {
    let mut found = Vec::new();
    for (index, target) in targets.iter().enumerate() {
        let path = format!("spec.destinations[{index}]");
        match target.template.apply(&target.destination.registry, source) {
            Ok(repository) if repository == *source => problems.add(
                &mirror.place,
                &path,
                format!("leads to the source itself, {source}"),
            ),
            Ok(repository) => found.push(target.means.clone().at(repository)),
            Err(error) => problems.add(&mirror.place, &path, error),
        }
    }
    if found.len() == targets.len() {
        found
    } else {
        Vec::new()
    }
}
