//! The keys of a Docker configuration, matched as kubelet matches them.

/// A host (with globs) and port, and the beginning of a path. Greater keys are more specific.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(String);

impl Key {
    /// Reads a key as written: a scheme, and a path of just `/`, `/v1/` or `/v2/`, say nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .unwrap_or(text);
        let (host, path) = match text.find('/').and_then(|at| text.split_at_checked(at)) {
            Some((host, path)) => (host, path),
            None => (text, ""),
        };
        // A question mark in the host is a glob; in the path, and only there, it begins a query.
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if host.is_empty() {
            return None;
        }
        // `/v1/team` is `/team`: the slash stays.
        let path = match path
            .strip_prefix("/v1")
            .or_else(|| path.strip_prefix("/v2"))
        {
            Some(rest) if rest.starts_with('/') => rest,
            _ => path,
        };
        let path = if path == "/" { "" } else { path };
        Some(Self(format!("{host}{path}")))
    }

    /// Whether it is for an image at `path` (with its leading slash) on `host` (with its port).
    pub(super) fn matches(&self, host: &str, path: &str) -> bool {
        let (own_host, own_path) = match self.0.find('/').and_then(|at| self.0.split_at_checked(at))
        {
            Some((own_host, own_path)) => (own_host, own_path),
            None => (self.0.as_str(), ""),
        };
        let (own_labels, own_port) = split_port(own_host);
        let (labels, port) = split_port(host);
        own_port == port
            && path.starts_with(own_path)
            && own_labels.split('.').count() == labels.split('.').count()
            && own_labels
                .split('.')
                .zip(labels.split('.'))
                .all(|(pattern, label)| glob(pattern, label))
    }
}

/// A port is what follows the only colon, or the bracket; an IPv6 address loses its brackets, which are no class.
fn split_port(host: &str) -> (&str, &str) {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port))
            if !port.contains(']') && (name.ends_with(']') || !name.contains(':')) =>
        {
            (name, port)
        }
        _ => (host, ""),
    };
    let address = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    (
        address
            .filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
            .unwrap_or(name),
        port,
    )
}

/// Go's `filepath.Match`: `*`, `?`, `[a-z]`, `[^a-z]` and `\` before a literal. A bad pattern matches nothing.
fn glob(pattern: &str, text: &str) -> bool {
    let Some(pattern) = compile(pattern) else {
        return false;
    };
    let text: Vec<char> = text.chars().collect();
    // Where to go on, once the last star has to take one more.
    let mut resume: Option<(usize, usize)> = None;
    let (mut p, mut t) = (0, 0);
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some(Piece::Star), _) => {
                resume = Some((p + 1, t));
                p += 1;
            }
            (Some(piece), Some(c)) if piece.takes(*c) => {
                p += 1;
                t += 1;
            }
            (None, None) => return true,
            _ => match resume {
                Some((after, from)) if from < text.len() => {
                    resume = Some((after, from + 1));
                    p = after;
                    t = from + 1;
                }
                _ => return false,
            },
        }
    }
}

enum Piece {
    Star,
    Any,
    One(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Piece {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => true,
            Self::One(own) => *own == c,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
            }
        }
    }
}

fn compile(pattern: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '*' => Piece::Star,
            '?' => Piece::Any,
            '\\' => Piece::One(chars.next()?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    let low = match chars.next()? {
                        ']' if !ranges.is_empty() => break,
                        ']' | '-' => return None,
                        '\\' => chars.next()?,
                        low => low,
                    };
                    let high = if chars.next_if_eq(&'-').is_some() {
                        match chars.next()? {
                            ']' | '-' => return None,
                            '\\' => chars.next()?,
                            high => high,
                        }
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                Piece::Class { negated, ranges }
            }
            c => Piece::One(c),
        });
    }
    Some(pieces)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn labels_match_globs_as_in_go() {
        for (pattern, text, matches) in [
            ("abc", "abc", true),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbbc", true),
            ("a*c", "abbb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("?", "a", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("[", "[", false),
            ("[]a]", "a", false),
            ("[a-]", "a", false),
            ("a\\", "a\\", false),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_is_quick() {
        assert!(!glob(&"*a".repeat(200), &"a".repeat(199)));
    }

    proptest! {
        #[test]
        fn every_text_matches_itself_and_a_star(text in "[a-z0-9-]{0,20}") {
            prop_assert!(glob(&text, &text));
            prop_assert!(glob("*", &text));
        }

        #[test]
        fn no_pattern_panics(pattern in "\\PC{0,20}", text in "\\PC{0,20}") {
            glob(&pattern, &text);
            if let Some(key) = Key::parse(&pattern) {
                key.matches(&text, "/x");
            }
        }
    }
}
