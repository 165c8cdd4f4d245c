//! What a query has to be to have an answer: one precise cause for each field that is wrong. Whether a range or pattern
//! holds is not asked here: that is for the election to say, as it does for an ImagePolicy.

use super::gather::{Asked, Target};
use crate::api::tag_query::{
    DEFAULT_LIMIT, LONGEST_EXTRACT, MOST_EXCLUSIONS, MOST_RANKED, MOST_REJECTED, MOST_TAGS,
    QueriedGovernance, TagQuerySpec,
};
use crate::apiserver::status::field::FieldError;
use crate::image::Tag;
use crate::object::{LONGEST_NAME, LONGEST_NAMESPACE};
use crate::policy::explain::Limits;
use crate::policy::governance::{Draft, Governance, Unfit};

/// How many wrong tags are told.
const MOST_TOLD: usize = 20;
/// How much of a wrong value is told.
const TOLD: usize = 256;

/// What is asked, or everything that is wrong with it.
pub(super) fn validate(spec: &TagQuerySpec) -> Result<Asked, Vec<FieldError>> {
    let TagQuerySpec {
        image_repository_ref,
        image_policy_ref,
        tags,
        exclusion_list,
        filter_tags,
        policy,
        governance,
        limit,
        explain,
    } = spec;
    let mut errors = Vec::new();
    let target = target(spec, &mut errors);
    if tags.is_none() && exclusion_list.is_some() {
        errors.push(FieldError::forbidden(
            "spec.exclusionList",
            "may only be set with tags: an ImageRepository has its own",
        ));
    }
    if policy.is_none()
        && image_policy_ref.is_none()
        && (image_repository_ref.is_some() || tags.is_some())
    {
        errors.push(FieldError::required(
            "spec.policy",
            "only an imagePolicyRef brings one",
        ));
    }
    let filter = filter_tags.as_ref().map(|filter| {
        let extract = filter.extract.clone().unwrap_or_default();
        if extract.len() > LONGEST_EXTRACT {
            errors.push(FieldError::too_long(
                "spec.filterTags.extract",
                LONGEST_EXTRACT,
            ));
        }
        (filter.pattern.clone().unwrap_or_default(), extract)
    });
    let governance = governance
        .as_ref()
        .map(|governance| read(governance, &mut errors));
    let limit = match limit.unwrap_or_default() {
        0 => DEFAULT_LIMIT,
        limit if limit < 0 => {
            let why = "must be greater than or equal to 0";
            errors.push(FieldError::invalid_json("spec.limit", &limit, why));
            DEFAULT_LIMIT
        }
        limit if limit > MOST_RANKED => {
            let why = format!("must be less than or equal to {MOST_RANKED}");
            errors.push(FieldError::invalid_json("spec.limit", &limit, why));
            DEFAULT_LIMIT
        }
        limit => limit,
    };
    let limits = Limits {
        ranked: usize::try_from(limit).unwrap_or_default(),
        rejected: if explain.unwrap_or_default() {
            MOST_REJECTED
        } else {
            0
        },
    };
    match target {
        Some(target) if errors.is_empty() => Ok(Asked {
            target,
            filter,
            policy: policy.clone(),
            governance,
            limits,
        }),
        _ => Err(errors),
    }
}

fn target(spec: &TagQuerySpec, errors: &mut Vec<FieldError>) -> Option<Target> {
    let given = [
        ("imageRepositoryRef", spec.image_repository_ref.is_some()),
        ("imagePolicyRef", spec.image_policy_ref.is_some()),
        ("tags", spec.tags.is_some()),
    ];
    let given: Vec<&str> = given
        .into_iter()
        .filter_map(|(name, is_given)| is_given.then_some(name))
        .collect();
    match given.as_slice() {
        [] => {
            let why = "one of imageRepositoryRef, imagePolicyRef and tags has to be set";
            errors.push(FieldError::required("spec", why));
            return None;
        }
        [_] => {}
        [first, others @ ..] => {
            for other in others {
                let why = format!("may not be set together with {first}");
                errors.push(FieldError::forbidden(format!("spec.{other}"), why));
            }
            return None;
        }
    }
    if let Some(reference) = &spec.image_repository_ref {
        name(
            "spec.imageRepositoryRef.name",
            &reference.name,
            LONGEST_NAME,
            errors,
        );
        let namespace = reference.namespace.clone().filter(|text| !text.is_empty());
        if let Some(namespace) = &namespace {
            let field = "spec.imageRepositoryRef.namespace";
            name(field, namespace, LONGEST_NAMESPACE, errors);
        }
        return Some(Target::Repository {
            name: reference.name.clone(),
            namespace,
        });
    }
    if let Some(reference) = &spec.image_policy_ref {
        name(
            "spec.imagePolicyRef.name",
            &reference.name,
            LONGEST_NAME,
            errors,
        );
        return Some(Target::Policy {
            name: reference.name.clone(),
        });
    }
    let exclusion = spec.exclusion_list.clone().unwrap_or_default();
    if exclusion.len() > MOST_EXCLUSIONS {
        let given = exclusion.len();
        errors.push(FieldError::too_many(
            "spec.exclusionList",
            given,
            MOST_EXCLUSIONS,
        ));
    }
    Some(Target::Inline {
        tags: tags(spec.tags.as_deref().unwrap_or_default(), errors),
        exclusion,
    })
}

fn tags(texts: &[String], errors: &mut Vec<FieldError>) -> Vec<Tag> {
    if texts.len() > MOST_TAGS {
        errors.push(FieldError::too_many("spec.tags", texts.len(), MOST_TAGS));
        return Vec::new();
    }
    let mut tags = Vec::with_capacity(texts.len());
    let mut wrong = 0;
    for (place, text) in texts.iter().enumerate() {
        if let Ok(tag) = text.parse() {
            tags.push(tag);
        } else if wrong < MOST_TOLD {
            wrong += 1;
            errors.push(FieldError::invalid(
                format!("spec.tags[{place}]"),
                told(text),
                "a tag is 1 to 128 of A-Za-z0-9_.- and does not begin with . or -",
            ));
        }
    }
    tags
}

/// What the API server takes for the name of an object.
fn name(field: &str, text: &str, longest: usize, errors: &mut Vec<FieldError>) {
    if text.is_empty() {
        errors.push(FieldError::required(field, ""));
        return;
    }
    let is_part = |part: &str| {
        let is_inside =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(is_inside)
    };
    let dots = longest == LONGEST_NAME;
    let is_name =
        text.len() <= longest && (dots || !text.contains('.')) && text.split('.').all(is_part);
    if !is_name {
        let dot = if dots { ", '.'" } else { "" };
        let why = format!(
            "a name is 1 to {longest} lower case letters, digits, '-'{dot}, and begins and ends with a letter or digit"
        );
        errors.push(FieldError::invalid(field, told(text), why));
    }
}

fn read(governance: &QueriedGovernance, errors: &mut Vec<FieldError>) -> Governance {
    const AT: &str = "spec.governance";
    let QueriedGovernance {
        hold,
        minimum_age,
        downgrade,
        platforms,
        require_mirrored,
    } = governance;
    let text = |field: &Option<String>| field.as_deref().map(told).unwrap_or_default().to_owned();
    let draft = Draft {
        hold: hold.as_deref(),
        minimum_age: minimum_age.as_deref(),
        downgrade: downgrade.as_deref(),
        platforms: platforms.as_deref(),
        require_mirrored: require_mirrored.as_deref(),
    };
    let unfit = match draft.read() {
        Ok(governance) => return governance,
        Err(unfit) => unfit,
    };
    errors.extend(unfit.into_iter().map(|unfit| match unfit {
        Unfit::Hold(why) => FieldError::invalid(format!("{AT}.hold"), &text(hold), why),
        Unfit::MinimumAge(why) => {
            FieldError::invalid(format!("{AT}.minimumAge"), &text(minimum_age), why)
        }
        Unfit::Downgrade => FieldError::not_supported(
            format!("{AT}.downgrade"),
            &text(downgrade),
            &["allow", "forbid"],
        ),
        Unfit::Platform(place) => {
            let platform = platforms.as_deref().unwrap_or_default().get(place);
            FieldError::invalid(
                format!("{AT}.platforms[{place}]"),
                platform.map(|text| told(text)).unwrap_or_default(),
                "a platform is os/arch or os/arch/variant, such as linux/arm64",
            )
        }
        Unfit::RequireMirrored(why) => FieldError::invalid(
            format!("{AT}.requireMirrored"),
            &text(require_mirrored),
            why,
        ),
        Unfit::TooManyPlatforms { given, most } => {
            FieldError::too_many(format!("{AT}.platforms"), given, most)
        }
    }));
    Governance::default()
}

/// The beginning of a value, as far as it is told.
fn told(text: &str) -> &str {
    let end = text
        .char_indices()
        .nth(TOLD)
        .map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}
