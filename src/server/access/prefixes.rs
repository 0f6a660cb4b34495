//! A set of prefixes of names.

/// Which names begin with one of some prefixes. Looking one up takes a few comparisons, however many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prefixes {
    /// Sorted, and none begins with another. So the only one that a name can begin with is the last that is not after it.
    prefixes: Vec<Box<str>>,
}

impl Prefixes {
    pub(super) fn new(prefixes: &[String]) -> Self {
        let mut sorted: Vec<&String> = prefixes.iter().collect();
        sorted.sort_unstable();
        let mut kept: Vec<Box<str>> = Vec::new();
        for prefix in sorted {
            // One that it begins with is before it, and so is everything that begins with that one.
            if kept.last().is_none_or(|last| !prefix.starts_with(&**last)) {
                kept.push(prefix.as_str().into());
            }
        }
        Prefixes { prefixes: kept }
    }

    /// Every name begins with nothing.
    pub(super) fn everything() -> Self {
        Prefixes { prefixes: vec!["".into()] }
    }

    pub(super) fn has_everything(&self) -> bool {
        self.prefixes.first().is_some_and(|first| first.is_empty())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let after = self.prefixes.partition_point(|prefix| &**prefix <= name);
        after > 0 && name.starts_with(&*self.prefixes[after - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prefixes: &[&str]) -> Prefixes {
        Prefixes::new(&prefixes.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn names_begin_with_a_prefix_or_not() {
        let prefixes = of(&["player:", "boss:", "player:7", "p", "q\u{e9}"]);
        for (name, is_in) in [
            ("player:9", true),
            ("boss:", true),
            ("boss", false),
            ("p", true),
            ("", false),
            ("q\u{e9}", true),
            ("q", false),
            ("boss;", false),
            ("z", false),
            ("a", false),
        ] {
            assert_eq!(prefixes.has(name), is_in, "{name}");
        }
        assert!(!prefixes.has_everything() && !prefixes.is_empty());
    }

    #[test]
    fn the_search_finds_what_comparing_with_each_finds() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut word =
            |longest| (0..random.usize(..=longest)).map(|_| random.choice(['a', 'b', 'c']).unwrap()).collect();
        for _ in 0..2000 {
            let prefixes: Vec<String> = (0..5).map(|_| word(4)).collect();
            let name: String = word(6);
            let is_in = prefixes.iter().any(|prefix| name.starts_with(prefix));
            assert_eq!(Prefixes::new(&prefixes).has(&name), is_in, "{prefixes:?} {name}");
        }
    }

    #[test]
    fn nothing_is_a_prefix_of_everything() {
        assert!(of(&["b", ""]).has_everything() && of(&[""]).has("x") && Prefixes::everything().has(""));
        assert!(of(&[]).is_empty() && !of(&[]).has("") && !of(&[]).has("a"));
    }
}
