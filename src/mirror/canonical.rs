//! One name for each registry, however it is written: what compares and keys registries goes by it. What is asked and shown keeps
//! the name that was given.

use std::borrow::Cow;

use crate::image::{Registry, Repository};

/// `registry` in small letters, without the port that https has anyway; Docker Hub by one of its names.
pub(crate) fn registry(registry: &Registry) -> Cow<'_, Registry> {
    if registry.is_docker_hub() {
        let hub = Registry::docker_hub();
        return if *registry == hub {
            Cow::Borrowed(registry)
        } else {
            Cow::Owned(hub)
        };
    }
    let text = registry.as_str();
    let name = text.strip_suffix(":443").unwrap_or(text);
    if name == text && !name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Borrowed(registry);
    }
    match name.to_ascii_lowercase().parse::<Registry>() {
        Ok(plain) if plain.is_docker_hub() => Cow::Owned(Registry::docker_hub()),
        Ok(plain) => Cow::Owned(plain),
        Err(_) => Cow::Borrowed(registry),
    }
}

/// `repository` at its registry's one name, as far as that makes a name.
pub(crate) fn repository(repository: &Repository) -> Cow<'_, Repository> {
    let Cow::Owned(registry) = registry(repository.registry()) else {
        return Cow::Borrowed(repository);
    };
    let at = |host: &str| {
        let plain = format!("{host}/{}", repository.path()).parse::<Repository>();
        // A bare host would be taken for a part of a Docker Hub name.
        plain.ok().filter(|plain| {
            *plain.registry().as_str() == *host && plain.path() == repository.path()
        })
    };
    // Such a host needs its port.
    let with_port = || at(&repository.registry().as_str().to_ascii_lowercase());
    match at(registry.as_str()).or_else(with_port) {
        Some(plain) => Cow::Owned(plain),
        None => Cow::Borrowed(repository),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name() {
        for (name, expected) in [
            ("r.example/a/b", "r.example/a/b"),
            ("R.Example:443/a/b", "r.example/a/b"),
            ("r.example:5000/app", "r.example:5000/app"),
            ("[::1]:443/app", "[::1]/app"),
            ("registry-1.docker.io/library/alpine", "alpine"),
            ("docker.io/library/alpine", "alpine"),
            ("h:443/app", "h:443/app"),
            ("H:443/app", "h:443/app"),
            ("H:5000/app", "h:5000/app"),
        ] {
            let name: Repository = name.parse().unwrap();
            let expected: Repository = expected.parse().unwrap();
            assert_eq!(*repository(&name), expected, "{name}");
        }
    }
}
