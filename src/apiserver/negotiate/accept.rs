//! The `Accept` header, cut into clauses and put in order of preference.

/// One media range with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Clause<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: f32,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    /// Whether the media type is in the range.
    pub(super) fn admits(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == kind && (self.subtype == subtype || self.subtype == "*"))
            || (self.kind == "*" && self.subtype == "*")
    }

    /// Whether no transformation is asked for.
    pub(super) fn is_plain(&self) -> bool {
        ["as", "g", "v"]
            .iter()
            .all(|name| self.parameter(name).is_none())
    }

    /// The value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters
            .iter()
            .rev()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }
}

/// The clauses of all header lines: higher quality first, then the more exact one, then as written. Malformed clauses
/// are dropped. Those of quality 0 are the last choice and not refused, as kube-apiserver takes them.
pub(super) fn parse<'a>(lines: &[&'a str]) -> Vec<Clause<'a>> {
    let mut clauses: Vec<Clause<'a>> = lines
        .iter()
        .flat_map(|line| line.split(','))
        .filter_map(clause)
        .collect();
    clauses.sort_by(|a, b| {
        b.quality
            .total_cmp(&a.quality)
            .then_with(|| wildcards(a).cmp(&wildcards(b)))
    });
    clauses
}

fn wildcards(clause: &Clause<'_>) -> u8 {
    u8::from(clause.kind == "*") + u8::from(clause.subtype == "*")
}

fn clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';');
    let range = parts.next()?.trim();
    let (kind, subtype) = match range.split_once('/') {
        Some((kind, subtype)) => (kind.trim(), subtype.trim()),
        None if range == "*" => ("*", "*"),
        None => return None,
    };
    if subtype.contains('/') {
        return None;
    }
    let mut quality = 1.0;
    let mut parameters = Vec::new();
    for part in parts {
        let Some((name, value)) = part.split_once('=') else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name == "q" {
            quality = value
                .parse::<f32>()
                .ok()
                .filter(|quality| quality.is_finite())
                .unwrap_or_default();
        } else if !value.is_empty() && !value.contains('=') {
            parameters.push((name, value));
        }
    }
    Some(Clause {
        kind,
        subtype,
        quality,
        parameters,
    })
}
