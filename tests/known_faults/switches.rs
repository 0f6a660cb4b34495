//! The sources with all faults in them at once that lie within functions.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use syn::visit::Visit;

use crate::list::Sources;
use crate::switched::{Switched, is};

/// The bodies of functions that faults change: by file, then by where the body is. Each has the changed bodies with the
/// numbers of their faults.
#[derive(Default)]
pub(crate) struct Switches(BTreeMap<PathBuf, BTreeMap<BodyRange, Vec<(usize, String)>>>);

/// Start and end.
type BodyRange = (usize, usize);

impl Switches {
    /// Adds a fault if all that it changes in the sources are bodies of functions. Returns whether it did.
    pub(crate) fn add(&mut self, number: usize, sources: &Sources, changed: &Sources) -> bool {
        let bodies = changed.iter().map(|(path, text)| Some((path, changed_bodies(&sources[path], text)?)));
        let Some(bodies) = bodies.collect::<Option<Vec<_>>>() else { return false };
        for (path, bodies) in bodies {
            let of_file = self.0.entry(path.clone()).or_default();
            for (body, changed) in bodies {
                of_file.entry((body.start, body.end)).or_default().push((number, changed.to_owned()));
            }
        }
        true
    }

    /// The files that are changed, with switches for the faults that are `wanted`.
    pub(crate) fn switched(
        &self,
        sources: &Sources,
        wanted: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (&PathBuf, Switched)> {
        self.0.iter().map(move |(path, bodies)| {
            let (text, mut switched, mut at) = (&sources[path], Switched::default(), 0);
            for (&(start, end), changed) in bodies {
                switched.text.push_str(&text[at..start]);
                let changed: Vec<_> = changed.iter().filter(|(number, _)| wanted(*number)).collect();
                let place = switched.text.len();
                switched.text.push_str("{ ");
                for (number, body) in &changed {
                    switched.push_part(*number, &format!("if {} {body} else ", is(*number)));
                }
                switched.text.push_str(&format!("{} }}", &text[start..end]));
                switched.end_place(place, changed.iter().map(|(number, _)| *number).collect());
                at = end;
            }
            switched.text.push_str(&text[at..]);
            (path, switched)
        })
    }
}

/// The bodies of functions that differ: where each is, and how it is with the change. None if anything else differs.
fn changed_bodies<'a>(text: &str, changed: &'a str) -> Option<Vec<(Range<usize>, &'a str)>> {
    let (before, after) = (bodies(text)?, bodies(changed)?);
    if before.len() != after.len() || !outside(text, &before).eq(outside(changed, &after)) {
        return None;
    }
    let pairs = before.into_iter().zip(after.into_iter().map(|body| &changed[body]));
    Some(pairs.filter(|(body, changed)| text[body.clone()] != **changed).collect())
}

/// What stands before, between and after the bodies.
fn outside<'a>(text: &'a str, bodies: &'a [Range<usize>]) -> impl Iterator<Item = &'a str> {
    let starts = [0].into_iter().chain(bodies.iter().map(|body| body.end));
    let ends = bodies.iter().map(|body| body.start).chain([text.len()]);
    starts.zip(ends).map(|(start, end)| &text[start..end])
}

/// The bodies of all functions that are in no other one, with their braces. Without what the compiler evaluates. None if
/// this is not Rust.
fn bodies(text: &str) -> Option<Vec<Range<usize>>> {
    let mut finder = Finder::default();
    finder.visit_file(&syn::parse_file(text).ok()?);
    Some(finder.0)
}

#[derive(Default)]
struct Finder(Vec<Range<usize>>);

impl Finder {
    fn visit_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        if signature.constness.is_none() {
            self.0.push(body.brace_token.span.join().byte_range());
        }
    }
}

impl<'ast> Visit<'ast> for Finder {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.visit_function(&function.sig, &function.block);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.visit_function(&function.sig, &function.block);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.visit_function(&function.sig, body);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "const fn a() -> u8 {\n1\n}\nfn b() -> u8 {\nfn c() -> u8 {\n2\n}\nc()\n}\nimpl S {\nfn d(&self) {\ne(3)\n}\n}\n";

    fn sources(text: &str) -> Sources {
        Sources::from([(PathBuf::from("f.rs"), text.to_owned())])
    }

    #[test]
    fn each_fault_has_its_bodies_and_the_last_branch_is_as_it_was() {
        let sources = sources(TEXT);
        let mut switches = Switches::default();
        let faults = [TEXT.replace("2", "4"), TEXT.replace("c()\n", "5\n").replace("e(3)", "e(6)")];
        for (number, changed) in faults.iter().enumerate() {
            assert!(switches.add(number, &sources, &self::sources(changed)));
        }
        let b = "{\nfn c() -> u8 {\n2\n}\nc()\n}";
        let of_b = [
            format!("if crate::switch::is(1) {} else ", b.replace("2", "4")),
            format!("if crate::switch::is(2) {} else ", b.replace("c()\n}", "5\n}")),
        ];
        let of_d = "{ if crate::switch::is(2) {\ne(6)\n} else {\ne(3)\n} }";
        let all = |of_b: &str| TEXT.replace(b, &format!("{{ {of_b}{b} }}")).replace("{\ne(3)\n}", of_d);
        let switched = |wanted: fn(usize) -> bool| switches.switched(&sources, wanted).next().expect("a file").1;
        let with_all = switched(|_| true);
        assert_eq!(with_all.text, all(&of_b.concat()));
        let changes_at = |sought: &str| {
            let at = with_all.text.find(sought).expect("it is there");
            with_all.changes_at(&(at..at + sought.len()))
        };
        assert_eq!(changes_at("4"), Some([0].as_slice()));
        assert_eq!(changes_at("5"), Some([1].as_slice()));
        assert_eq!(changes_at("e(6)"), Some([1].as_slice()));
        assert_eq!(changes_at("2\n}\nc()"), Some([0, 1].as_slice()), "what is as it was belongs to all of the body");
        assert_eq!(changes_at("const"), None);
        assert_eq!(switched(|number| number == 1).text, all(&of_b[1]));
    }

    #[test]
    fn what_is_outside_of_a_body_or_evaluated_by_the_compiler_is_not_switched() {
        let sources = sources(TEXT);
        let mut switches = Switches::default();
        for (sought, replacement) in [
            ("1", "2"),
            ("fn b() -> u8", "fn b() -> u16"),
            ("&self", "&mut self"),
            ("impl S {", "const X: u8 = 1;\nimpl S {"),
            ("impl S {", "fn f() {}\nimpl S {"),
            ("e(3)", "e("),
        ] {
            let changed = self::sources(&TEXT.replacen(sought, replacement, 1));
            assert!(!switches.add(0, &sources, &changed), "{sought} -> {replacement}");
        }
        let changed = self::sources(&TEXT.replace("2", "3").replace("impl S", "impl T"));
        assert!(!switches.add(0, &sources, &changed), "a body, and more than that");
        assert_eq!(switches.switched(&sources, |_| true).count(), 0);
    }
}
