//! Collects every path that a source file names, resolved against the module that names it.

use syn::buffer::{Cursor, TokenBuffer};
use syn::visit::{self, Visit};

/// Something that a file names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// A path in this crate, from its root: `crate::policy::semver` is `["policy", "semver"]`.
    Own(Vec<String>),
    /// A path that begins with any other name: another crate's, or one that an import brought in.
    Foreign(Vec<String>),
    /// Not a path: an `async` function or block.
    Async,
}

/// Everything that `file`, the source of `module`, names.
pub(super) fn named_by(module: &[String], file: &syn::File) -> Vec<Named> {
    let mut collector = Collector {
        module: module.to_vec(),
        named: Vec::new(),
    };
    collector.visit_file(file);
    collector.named
}

/// Where tokens without a grammar were found.
#[derive(Debug, Clone, Copy)]
enum Place {
    Macro,
    /// Derives take paths as strings: `#[serde(with = "…")]`.
    Attribute,
}

struct Collector {
    module: Vec<String>,
    named: Vec<Named>,
}

impl Collector {
    fn add(&mut self, path: &[String]) {
        let named = match path.split_first() {
            None => return,
            Some((first, rest)) if first == "crate" || first == "tagscope" => {
                Named::Own(rest.to_vec())
            }
            Some((first, _)) if first == "self" || first == "super" => {
                let mut from_root = self.module.clone();
                for part in path {
                    match part.as_str() {
                        "self" => {}
                        "super" => drop(from_root.pop()),
                        name => from_root.push(name.to_owned()),
                    }
                }
                Named::Own(from_root)
            }
            Some(_) => Named::Foreign(path.to_vec()),
        };
        self.named.push(named);
    }

    fn add_use_tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |part: String| [before, &[part]].concat();
        match tree {
            syn::UseTree::Path(path) => {
                self.add_use_tree(&with(path.ident.to_string()), &path.tree);
            }
            // `use crate::policy::{self}` names the module, not something in it.
            syn::UseTree::Name(name) if name.ident == "self" && !before.is_empty() => {
                self.add(before);
            }
            syn::UseTree::Rename(name) if name.ident == "self" && !before.is_empty() => {
                self.add(before);
            }
            syn::UseTree::Name(name) => self.add(&with(name.ident.to_string())),
            syn::UseTree::Rename(name) => self.add(&with(name.ident.to_string())),
            syn::UseTree::Glob(_) => self.add(&with("*".to_owned())),
            syn::UseTree::Group(group) => group
                .items
                .iter()
                .for_each(|tree| self.add_use_tree(before, tree)),
        }
    }

    /// Looks for paths in tokens that no grammar is known for. `before` is the `a::b` of an `a::b::{…}`.
    fn scan(&mut self, before: &[String], mut cursor: Cursor<'_>, place: Place) {
        while !cursor.eof() {
            if let Some((inside, _, _, rest)) = cursor.any_group() {
                self.scan(&[], inside, place);
                cursor = rest;
            } else if let Some((first, rest)) = cursor.ident() {
                let mut path = [before, &[first.to_string()]].concat();
                cursor = rest;
                while let Some(after) = double_colon(cursor) {
                    if let Some((part, rest)) = after.ident() {
                        path.push(part.to_string());
                        cursor = rest;
                    } else if let Some((inside, _, _, rest)) = after.any_group() {
                        self.scan(&path, inside, place);
                        path.clear();
                        cursor = rest;
                        break;
                    } else {
                        cursor = after; // A turbofish, or a glob.
                        break;
                    }
                }
                if path.len() > 1 {
                    self.add(&path);
                }
            } else if let Some((literal, rest)) = cursor.literal() {
                let text = literal.to_string();
                match (place, syn::parse_str::<syn::Path>(text.trim_matches('"'))) {
                    (Place::Attribute, Ok(path)) => self.visit_path(&path),
                    (Place::Attribute, Err(_)) | (Place::Macro, _) => {}
                }
                cursor = rest;
            } else if let Some((_, rest)) = cursor.token_tree() {
                cursor = rest;
            }
        }
    }
}

fn double_colon(cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, rest) = cursor.punct()?;
    let (second, rest) = rest.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(rest)
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.module.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        if parts.len() > 1 {
            self.add(&parts);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        let tokens = TokenBuffer::new2(found.tokens.clone());
        self.scan(&[], tokens.begin(), Place::Macro);
        visit::visit_macro(self, found);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        let tokens = TokenBuffer::new2(list.tokens.clone());
        self.scan(&[], tokens.begin(), Place::Attribute);
        visit::visit_meta_list(self, list);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.asyncness.is_some() {
            self.named.push(Named::Async);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.named.push(Named::Async);
        visit::visit_expr_async(self, block);
    }
}
