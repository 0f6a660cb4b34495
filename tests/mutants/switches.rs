//! One source file with all of its mutants behind switches.
//!
//! The text is kept as it is, and what belongs to the mutants is put in between, so that formatting and comments don't
//! matter and an error of the compiler can be told from its position.

use std::collections::HashMap;
use std::ops::Range;

use proc_macro2::LineColumn;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Pat};

use crate::Result;
use crate::list::{Genre, Mutant, Position};
use crate::switched::{Switched, is};

/// A source file, and where its mutants go.
pub(crate) struct Source {
    text: String,
    /// Where each line starts.
    lines: Vec<usize>,
    /// By start; of those that start together the empty ones are first, then the largest. They are nested or apart.
    spots: Vec<Spot>,
}

/// A place in the text that one or more mutants change.
struct Spot {
    range: Range<usize>,
    kind: Kind,
    /// Numbers of mutants.
    mutants: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// The start of the body of a function: returns at once.
    Body,
    /// An expression, of which a part is replaced.
    Expression,
    /// The guard of a match arm: true or false. The arm may be deleted as well.
    Guard,
    /// The end of the pattern of an arm without a guard.
    Pattern,
}

impl Source {
    /// Looks for the places of the mutants (numbered by their index) that are in this file. Those that it has no place for
    /// can't be switched.
    ///
    /// # Errors
    /// When the text is not Rust.
    pub(crate) fn new(text: String, file: &str, mutants: &[Mutant]) -> Result<Self> {
        let syntax = syn::parse_file(&text).map_err(|error| format!("{file}: {error}"))?;
        let mut by_position: HashMap<(Genre, Position), Vec<usize>> = HashMap::new();
        for (number, mutant) in mutants.iter().enumerate() {
            if mutant.file == file && !mutant.is_of_hidden_type() {
                by_position.entry((mutant.genre, mutant.span.start)).or_default().push(number);
            }
        }
        let mut finder = Finder { by_position, spots: Vec::new() };
        finder.visit_file(&syntax);
        let mut spots = finder.spots;
        // Stable: of two with the same range the outer one was found first.
        spots.sort_by_key(|spot| (spot.range.start, !spot.range.is_empty(), usize::MAX - spot.range.end));
        let lines = [0].into_iter().chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Ok(Self { text, lines, spots })
    }

    /// The numbers of the mutants that have a place.
    pub(crate) fn mutants(&self) -> impl Iterator<Item = usize> {
        self.spots.iter().flat_map(|spot| spot.mutants.iter().copied())
    }

    /// The text with switches for those mutants that are `wanted`.
    pub(crate) fn switched(&self, mutants: &[Mutant], wanted: impl Fn(usize) -> bool) -> Switched {
        let mut switched = Switched::default();
        let spots = self.spots.iter().filter_map(|spot| {
            let mutants: Vec<_> = spot.mutants.iter().copied().filter(|number| wanted(*number)).collect();
            (!mutants.is_empty()).then(|| Spot { range: spot.range.clone(), kind: spot.kind, mutants })
        });
        let spots: Vec<_> = spots.collect();
        self.write(0..self.text.len(), &spots, mutants, &mut switched);
        switched
    }

    fn write(&self, range: Range<usize>, mut spots: &[Spot], mutants: &[Mutant], to: &mut Switched) {
        let mut at = range.start;
        while let Some((spot, rest)) = spots.split_first() {
            let inside = rest.iter().take_while(|other| other.range.start < spot.range.end).count();
            to.text.push_str(&self.text[at..spot.range.start]);
            self.write_spot(spot, &rest[..inside], mutants, to);
            at = spot.range.end;
            spots = &rest[inside..];
        }
        to.text.push_str(&self.text[at..range.end]);
    }

    /// Only one mutant is active at a time, so what is there for one has none of the others in it.
    fn write_spot(&self, spot: &Spot, inside: &[Spot], mutants: &[Mutant], to: &mut Switched) {
        let start = to.text.len();
        match spot.kind {
            Kind::Body => {
                for &number in &spot.mutants {
                    let value = &mutants[number].replacement;
                    to.push_part(number, &format!(" if {} {{ return {value}; }} ", is(number)));
                }
            }
            Kind::Expression => {
                to.text.push('(');
                for &number in &spot.mutants {
                    let changed = self.changed(&spot.range, &mutants[number]);
                    to.push_part(number, &format!("if {} {{ {changed} }} else ", is(number)));
                }
                to.text.push_str("{ ");
                self.write(spot.range.clone(), inside, mutants, to);
                to.text.push_str(" })");
            }
            Kind::Guard => {
                for &number in &spot.mutants {
                    let (genre, value) = (mutants[number].genre, mutants[number].replacement.as_str());
                    let is_true = genre == Genre::MatchArmGuard && value == "true";
                    let condition = if is_true { is(number) + " || " } else { format!("!{} && (", is(number)) };
                    to.push_part(number, &condition);
                    if is_true {
                        to.text.push('(');
                    }
                }
                self.write(spot.range.clone(), inside, mutants, to);
                to.text.extend(spot.mutants.iter().map(|_| ')'));
            }
            Kind::Pattern => {
                let arms: Vec<_> = spot.mutants.iter().map(|number| format!("!{}", is(*number))).collect();
                to.text.push_str(&format!(" if {}", arms.join(" && ")));
            }
        }
        to.end_place(start, spot.mutants.clone());
    }

    /// The text of an expression with what the mutant changes in it.
    fn changed(&self, range: &Range<usize>, mutant: &Mutant) -> String {
        let (start, end) = (self.offset(mutant.span.start), self.offset(mutant.span.end));
        let mut after = &self.text[end..range.end];
        if mutant.genre == Genre::StructField {
            after = after.trim_start().strip_prefix(',').unwrap_or(after);
        }
        format!("{}{}{after}", &self.text[range.start..start], mutant.replacement)
    }

    fn offset(&self, position: Position) -> usize {
        let start = self.lines[position.line - 1];
        let line = &self.text[start..];
        start + line.char_indices().nth(position.column - 1).map_or(line.len(), |(at, _)| at)
    }
}

/// Finds the places of mutants, in all code that runs.
struct Finder {
    by_position: HashMap<(Genre, Position), Vec<usize>>,
    spots: Vec<Spot>,
}

impl Finder {
    fn take(&mut self, genre: Genre, start: LineColumn) -> Vec<usize> {
        let position = Position { line: start.line, column: start.column + 1 };
        self.by_position.remove(&(genre, position)).unwrap_or_default()
    }

    fn add(&mut self, kind: Kind, range: Range<usize>, mutants: Vec<usize>) {
        if !mutants.is_empty() {
            self.spots.push(Spot { range, kind, mutants });
        }
    }

    /// A function with its body, unless the compiler evaluates it.
    fn visit_function(&mut self, signature: &syn::Signature, body: &syn::Block) {
        if signature.constness.is_some() {
            return;
        }
        if let Some(first) = body.stmts.first() {
            let start = body.brace_token.span.open().byte_range().end;
            let mutants = self.take(Genre::FnValue, first.span().start());
            self.add(Kind::Body, start..start, mutants);
        }
        self.visit_block(body);
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

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        // What a chain of conditions binds is lost in parentheses; and `||` is not allowed in one.
        if !is_chain(binary) {
            let mutants = self.take(Genre::BinaryOperator, binary.op.span().start());
            self.add(Kind::Expression, binary.span().byte_range(), mutants);
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let mutants = self.take(Genre::UnaryOperator, unary.op.span().start());
        self.add(Kind::Expression, unary.span().byte_range(), mutants);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_struct(&mut self, value: &'ast syn::ExprStruct) {
        let fields: Vec<_> = value.fields.iter().map(|field| field.span().start()).collect();
        let mutants = fields.into_iter().flat_map(|start| self.take(Genre::StructField, start)).collect();
        self.add(Kind::Expression, value.span().byte_range(), mutants);
        visit::visit_expr_struct(self, value);
    }

    fn visit_expr_match(&mut self, value: &'ast syn::ExprMatch) {
        // Without an arm for everything, one that has a guard is missing.
        let has_rest = value.arms.iter().any(|arm| arm.guard.is_none() && is_everything(&arm.pat));
        for arm in &value.arms {
            let mut mutants = Vec::new();
            if has_rest {
                mutants.extend(self.take(Genre::MatchArm, arm.pat.span().start()));
            }
            if let Some((_, guard)) = &arm.guard {
                mutants.extend(self.take(Genre::MatchArmGuard, guard.span().start()));
                self.add(Kind::Guard, guard.span().byte_range(), mutants);
            } else {
                let end = arm.pat.span().byte_range().end;
                self.add(Kind::Pattern, end..end, mutants);
            }
        }
        visit::visit_expr_match(self, value);
    }

    // What the compiler evaluates, or has to know, is left out.
    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast Pat) {}
    fn visit_variant(&mut self, _: &'ast syn::Variant) {}
    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
    }
}

/// `_`, or a name for whatever it is. A name with a capital letter is a constant or a variant.
fn is_everything(pattern: &Pat) -> bool {
    match pattern {
        Pat::Wild(_) => true,
        Pat::Ident(name) => name.subpat.is_none() && !name.ident.to_string().starts_with(char::is_uppercase),
        _ => false,
    }
}

fn is_chain(binary: &syn::ExprBinary) -> bool {
    let is_let = |side: &Expr| match side {
        Expr::Let(_) => true,
        Expr::Binary(binary) => is_chain(binary),
        _ => false,
    };
    matches!(binary.op, BinOp::And(_)) && (is_let(&binary.left) || is_let(&binary.right))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "fn f(a: u8) -> bool {\n    match a {\n        1 if !g(a) => a + 1 > 2,\n        _ => false,\n    }\n}\n";

    /// As cargo-mutants lists it.
    fn mutant(genre: &str, line: usize, columns: Range<usize>, replacement: &str) -> Mutant {
        let position = |column| format!(r#"{{"line":{line},"column":{column}}}"#);
        let span = format!(r#"{{"start":{},"end":{}}}"#, position(columns.start), position(columns.end));
        let text = format!(
            r#"{{"name":"","file":"f.rs","genre":"{genre}","span":{span},"replacement":"{replacement}","function":null,"diff":""}}"#
        );
        serde_json::from_str(&text).expect("a mutant")
    }

    #[test]
    fn a_mutant_is_alone_in_its_branch_and_all_others_are_in_the_last_one() {
        let mutants = [
            mutant("FnValue", 2, 5..10, "true"),
            mutant("MatchArm", 3, 9..32, ""),
            mutant("MatchArmGuard", 3, 14..19, "true"),
            mutant("UnaryOperator", 3, 14..15, ""),
            mutant("BinaryOperator", 3, 25..26, "-"),
            mutant("BinaryOperator", 3, 29..30, "<"),
            mutant("BinaryOperator", 3, 29..30, ">="),
            mutant("BinaryOperator", 4, 14..15, "<"),
        ];
        let source = Source::new(TEXT.to_owned(), "f.rs", &mutants).expect("it is Rust");
        let switched = source.switched(&mutants, |_| true);
        let is = |number| format!("crate::switch::is({number})");
        let guard = format!("!{} && ({} || ((if {} {{ g(a) }} else {{ !g(a) }})))", is(2), is(3), is(4));
        let sum = format!("(if {} {{ a - 1 }} else {{ a + 1 }})", is(5));
        let value = format!("(if {} {{ a + 1 < 2 }} else if {} {{ a + 1 >= 2 }} else {{ {sum} > 2 }})", is(6), is(7));
        let expected = TEXT.replace("!g(a)", &guard).replace("a + 1 > 2", &value);
        let expected = expected.replacen('{', &format!("{{ if {} {{ return true; }} ", is(1)), 1);
        assert_eq!(switched.text, expected);
        let at = switched.text.find("a - 1").expect("it is there");
        assert_eq!(switched.changes_at(&(at..at + 1)), Some([4].as_slice()));
        assert!(source.mutants().all(|number| number < 7), "the last has no place");
        assert_eq!(source.switched(&mutants, |_| false).text, TEXT);
    }

    #[test]
    fn an_arm_is_deleted_where_another_one_takes_everything() {
        let with = |last: &str| {
            let text = format!(
                "fn f(a: Option<u8>) -> u8 {{\n    match a {{\n        Some(1) => 2,\n        {last} => 3,\n    }}\n}}\n"
            );
            let mutants = [mutant("MatchArm", 3, 9..22, "")];
            let source = Source::new(text, "f.rs", &mutants).expect("it is Rust");
            source.mutants().count()
        };
        assert_eq!(["_", "other", "_ if a.is_none()", "None", "None | Some(_)"].map(with), [1, 1, 0, 0, 0]);
    }
}
