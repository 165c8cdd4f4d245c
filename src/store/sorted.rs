//! A sorted sequence of which a changed copy shares nearly all: what thousands of policies elect in one repository,
//! one commit at a time.
//!
//! A tree of small immutable nodes. A copy with one item more or less writes anew the nodes on the way to that item,
//! so that what a commit costs, and what the history holds for it, hardly grows with the number of items. One with few
//! items is one node. Only the store writes; everybody may read.

use std::fmt;
use std::slice;
use std::sync::Arc;

/// Items or nodes per node: more copy more with every change, fewer make the way longer.
const WIDTH: usize = 16;

/// What a [`Sorted`] sorts its items by; no two of one sequence are equal in it.
pub trait Item: Clone {
    /// The part that is compared.
    type By: Ord + ?Sized;

    /// The part that is compared.
    fn by(&self) -> &Self::By;
}

/// Items in ascending order. Cloning shares all of them.
#[derive(Clone)]
pub struct Sorted<T> {
    /// `None` for no items, which allocates nothing.
    root: Option<Arc<Node<T>>>,
}

/// Never without items.
enum Node<T> {
    Leaf(Box<[T]>),
    Inner(Box<[Arc<Self>]>),
}

impl<T> Sorted<T> {
    /// No items.
    pub const EMPTY: Self = Self { root: None };
}

impl<T: Item> Sorted<T> {
    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// How many items there are; counts them leaf by leaf.
    pub fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.len())
    }

    /// The item with this key.
    pub fn get(&self, by: &T::By) -> Option<&T> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(items) => {
                    let at = items.binary_search_by(|item| item.by().cmp(by)).ok()?;
                    return items.get(at);
                }
                Node::Inner(nodes) => node = nodes.get(toward(nodes, by))?,
            }
        }
    }

    /// In ascending order.
    pub fn iter(&self) -> Iter<'_, T> {
        let mut iter = Iter::empty();
        if let Some(root) = &self.root {
            iter.enter(root);
        }
        iter
    }

    /// In ascending order, from the first item on that is not below `by`.
    pub(super) fn iter_from(&self, by: &T::By) -> Iter<'_, T> {
        let mut iter = Iter::empty();
        let mut node = self.root.as_deref();
        while let Some(inside) = node {
            match inside {
                Node::Leaf(items) => {
                    let first = items.partition_point(|item| item.by() < by);
                    iter.items = items.get(first..).unwrap_or_default().iter();
                    break;
                }
                Node::Inner(nodes) => {
                    let mut rest = nodes.get(toward(nodes, by)..).unwrap_or_default().iter();
                    node = rest.next().map(|node| &**node);
                    iter.above.push(rest);
                }
            }
        }
        iter
    }

    /// A copy with `item`, in the place of the one with its key where there is one.
    pub(super) fn with(&self, item: T) -> Self {
        let mut nodes = match &self.root {
            Some(root) => root.with(item),
            None => vec![Node::Leaf([item].into())],
        };
        let root = match nodes.len() {
            1 => nodes.pop().map(Arc::new),
            _ => Some(Arc::new(Node::Inner(
                nodes.into_iter().map(Arc::new).collect(),
            ))),
        };
        Self { root }
    }

    /// A copy without the item of this key.
    pub(super) fn without(&self, by: &T::By) -> Self {
        if self.get(by).is_none() {
            return self.clone();
        }
        let mut root = self.root.as_ref().and_then(|root| root.without(by));
        // A root with one node says nothing.
        while let Some(Node::Inner(nodes)) = root.as_deref()
            && let [only] = &**nodes
        {
            root = Some(Arc::clone(only));
        }
        Self { root }
    }

    /// Whether both are the very same, not only equal.
    pub(super) fn is_shared_with(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Heap bytes, where each item has `weigh` beside its own size.
    pub(super) fn heap_bytes(&self, weigh: impl Fn(&T) -> usize) -> usize {
        let nodes = self.root.as_ref().map_or(0, |root| root.nodes_bytes());
        nodes + self.iter().map(weigh).sum::<usize>()
    }

    /// Heap bytes of the nodes that a copy with or without an item of this key does not share, items' own heap aside.
    pub(super) fn path_bytes(&self, by: &T::By) -> usize {
        let mut bytes = 0;
        let mut node = self.root.as_deref();
        while let Some(inside) = node {
            bytes += inside.own_bytes();
            node = match inside {
                Node::Leaf(_) => None,
                Node::Inner(nodes) => nodes.get(toward(nodes, by)).map(|node| &**node),
            };
        }
        bytes
    }
}

impl<T: Item> Node<T> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(items) => items.len(),
            Self::Inner(nodes) => nodes.iter().map(|node| node.len()).sum(),
        }
    }

    /// The lowest key.
    fn first(&self) -> Option<&T::By> {
        let mut node = self;
        loop {
            match node {
                Self::Leaf(items) => return items.first().map(Item::by),
                Self::Inner(nodes) => node = nodes.first()?,
            }
        }
    }

    /// The node with `item`: two, where one is too wide.
    fn with(&self, item: T) -> Vec<Self> {
        match self {
            Self::Leaf(items) => {
                let mut next = Vec::with_capacity(items.len() + 1);
                let at = items.partition_point(|held| held.by() < item.by());
                let (below, rest) = items.split_at_checked(at).unwrap_or((items, &[]));
                let above = match rest.split_first() {
                    Some((same, above)) if same.by() == item.by() => above,
                    Some(_) | None => rest,
                };
                next.extend_from_slice(below);
                next.push(item);
                next.extend_from_slice(above);
                cut(next).into_iter().map(Self::Leaf).collect()
            }
            Self::Inner(nodes) => {
                let at = toward(nodes, item.by());
                let mut item = Some(item);
                let mut next = Vec::with_capacity(nodes.len() + 1);
                for (index, node) in nodes.iter().enumerate() {
                    match item.take_if(|_| index == at) {
                        Some(item) => next.extend(node.with(item).into_iter().map(Arc::new)),
                        None => next.push(Arc::clone(node)),
                    }
                }
                cut(next).into_iter().map(Self::Inner).collect()
            }
        }
    }

    /// The node without the item of this key, which it has; `None` when nothing is left.
    fn without(&self, by: &T::By) -> Option<Arc<Self>> {
        let left = match self {
            Self::Leaf(items) => {
                let rest = items.iter().filter(|item| item.by() != by);
                Self::Leaf(rest.cloned().collect())
            }
            Self::Inner(nodes) => {
                let at = toward(nodes, by);
                let rest = nodes.iter().enumerate().filter_map(|(index, node)| {
                    if index == at {
                        node.without(by)
                    } else {
                        Some(Arc::clone(node))
                    }
                });
                Self::Inner(rest.collect())
            }
        };
        let is_empty = match &left {
            Self::Leaf(items) => items.is_empty(),
            Self::Inner(nodes) => nodes.is_empty(),
        };
        (!is_empty).then(|| Arc::new(left))
    }

    fn own_bytes(&self) -> usize {
        let inside = match self {
            Self::Leaf(items) => size_of_val(&**items),
            Self::Inner(nodes) => size_of_val(&**nodes),
        };
        // Beside an `Arc`'s two counters.
        2 * size_of::<usize>() + size_of::<Self>() + inside
    }

    fn nodes_bytes(&self) -> usize {
        let below = match self {
            Self::Leaf(_) => 0,
            Self::Inner(nodes) => nodes.iter().map(|node| node.nodes_bytes()).sum(),
        };
        self.own_bytes() + below
    }
}

/// The index of the only node that can have an item of this key.
fn toward<T: Item>(nodes: &[Arc<Node<T>>], by: &T::By) -> usize {
    let after = nodes.partition_point(|node| node.first().is_some_and(|first| first <= by));
    after.saturating_sub(1)
}

/// In one piece, or in halves when that is too wide.
fn cut<U>(mut all: Vec<U>) -> Vec<Box<[U]>> {
    if all.len() <= WIDTH {
        return vec![all.into()];
    }
    let above = all.split_off(all.len() / 2);
    vec![all.into(), above.into()]
}

/// From items in ascending order, no two with the same key.
impl<T: Item> FromIterator<T> for Sorted<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let items = Vec::from_iter(items);
        debug_assert!(items.is_sorted_by(|a, b| a.by() < b.by()), "ascending");
        let mut nodes: Vec<_> = packed(items).map(Node::Leaf).map(Arc::new).collect();
        while nodes.len() > 1 {
            nodes = packed(nodes).map(Node::Inner).map(Arc::new).collect();
        }
        Self { root: nodes.pop() }
    }
}

/// Pieces of full width, the last one aside.
fn packed<U>(all: Vec<U>) -> impl Iterator<Item = Box<[U]>> {
    let mut all = all.into_iter();
    std::iter::from_fn(move || {
        let piece: Box<[U]> = all.by_ref().take(WIDTH).collect();
        (!piece.is_empty()).then_some(piece)
    })
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T: Item + PartialEq> PartialEq for Sorted<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_shared_with(other) || self.iter().eq(other)
    }
}

impl<T: Item + Eq> Eq for Sorted<T> {}

impl<T: Item + fmt::Debug> fmt::Debug for Sorted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<'a, T: Item> IntoIterator for &'a Sorted<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// Items of a [`Sorted`], ascending.
#[derive(Clone)]
pub struct Iter<'a, T> {
    items: slice::Iter<'a, T>,
    /// The nodes still to be entered, the next ones last.
    above: Vec<slice::Iter<'a, Arc<Node<T>>>>,
}

impl<T: Item + fmt::Debug> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<'a, T> Iter<'a, T> {
    fn empty() -> Self {
        Self {
            items: [].iter(),
            above: Vec::new(),
        }
    }

    /// Goes down to the first leaf.
    fn enter(&mut self, mut node: &'a Node<T>) {
        loop {
            match node {
                Node::Leaf(items) => {
                    self.items = items.iter();
                    return;
                }
                Node::Inner(nodes) => {
                    let mut rest = nodes.iter();
                    let Some(first) = rest.next() else { return };
                    self.above.push(rest);
                    node = first;
                }
            }
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(item);
            }
            match self.above.last_mut()?.next() {
                Some(node) => self.enter(node),
                None => drop(self.above.pop()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
