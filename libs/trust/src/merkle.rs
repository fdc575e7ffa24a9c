//! Merkle trees of append-only logs: hashes, roots and proofs (RFC 9162, section 2.1, with SHA-256). It
//! knows digests of leaves and not what they stand for.

use oc_kernel::Digest;
use serde::{Deserialize, Serialize};

/// The hash of a leaf (section 2.1.1).
pub fn leaf_hash(data: &[u8]) -> Digest {
    Digest::of_parts(&[&[0x00], data])
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[0x01], left.as_bytes(), right.as_bytes()])
}

/// The root over leaf hashes (section 2.1.1).
pub fn root(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Digest::of(b""),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `size`, which is at least two.
fn split(size: usize) -> usize {
    1 << (size - 1).ilog2()
}

/// The proof that leaf `index` is in the tree (section 2.1.3.1); none when there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if index < left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            index -= left.len();
            leaves = right;
        }
    }
    path.reverse();
    Some(path)
}

/// Checks an inclusion proof (section 2.1.3.2).
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    expected: &Digest,
) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *expected
}

/// The proof that the tree of the first `old_size` leaves is a beginning of this one (section 2.1.4.1); none
/// when it cannot be.
pub fn consistency_proof(leaves: &[Digest], old_size: usize) -> Option<Vec<Digest>> {
    if old_size > leaves.len() {
        return None;
    }
    let mut path = Vec::new();
    if old_size == 0 {
        return Some(path);
    }
    let (mut leaves, mut old, mut whole) = (leaves, old_size, true);
    while old < leaves.len() {
        let (left, right) = leaves.split_at(split(leaves.len()));
        if old <= left.len() {
            path.push(root(right));
            leaves = left;
        } else {
            path.push(root(left));
            old -= left.len();
            leaves = right;
            whole = false;
        }
    }
    if !whole {
        path.push(root(leaves));
    }
    path.reverse();
    Some(path)
}

/// Checks a consistency proof (section 2.1.4.2). The empty tree is a beginning of every tree.
pub fn verify_consistency(
    old_size: u64,
    old_root: &Digest,
    new_size: u64,
    new_root: &Digest,
    path: &[Digest],
) -> bool {
    if old_size == 0 {
        return path.is_empty() && *old_root == root(&[]);
    }
    if old_size == new_size {
        return path.is_empty() && old_root == new_root;
    }
    if old_size > new_size {
        return false;
    }
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let mut rest = path.iter();
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        rest.next()
    };
    let Some(first) = first else { return false };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The right edge of a growing tree: enough to append and to know the root without the leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    size: u64,
    // The roots of the complete subtrees, largest first: one for each bit that is set in `size`.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf.
    pub fn append(&mut self, leaf: Digest) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(smallest) = peaks.next() else {
            return root(&[]);
        };
        peaks.fold(*smallest, |right, left| node_hash(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The leaves, roots and proofs of the reference implementation of RFC 6962
    // (google/certificate-transparency, merkle_tree_test.cc).
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn digests(texts: &[&str]) -> Vec<Digest> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn vector_leaves() -> Vec<Digest> {
        let hash = |hex: &&str| leaf_hash(&hex::decode(hex).unwrap());
        LEAVES.iter().map(hash).collect()
    }

    #[test]
    fn the_published_trees_have_the_published_roots() {
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves = vector_leaves();
        for (at, expected) in ROOTS.iter().enumerate() {
            assert_eq!(root(&leaves[..=at]).to_string(), *expected);
        }
    }

    #[test]
    fn the_published_proofs_are_made_and_hold() {
        let leaves = vector_leaves();
        let inclusion = digests(&[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]);
        assert_eq!(inclusion_proof(&leaves, 5), Some(inclusion.clone()));
        assert!(verify_inclusion(
            &leaves[5],
            5,
            8,
            &inclusion,
            &root(&leaves)
        ));

        let six_to_eight = digests(&[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]);
        assert_eq!(consistency_proof(&leaves, 6), Some(six_to_eight));
        let two_to_five = digests(&[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]);
        assert_eq!(consistency_proof(&leaves[..5], 2), Some(two_to_five));
    }

    fn tree(size: usize) -> Vec<Digest> {
        (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    fn size(leaves: &[Digest]) -> u64 {
        u64::try_from(leaves.len()).unwrap()
    }

    #[test]
    fn there_is_no_proof_for_what_is_not_in_the_tree() {
        let leaves = tree(5);
        assert_eq!(inclusion_proof(&leaves, 5), None);
        assert_eq!(consistency_proof(&leaves, 6), None);
        let path = inclusion_proof(&leaves, 4).unwrap();
        assert!(!verify_inclusion(&leaves[4], 5, 5, &path, &root(&leaves)));
    }

    #[test]
    fn the_empty_log_is_a_beginning_of_every_log_and_nothing_else_begins_it() {
        let leaves = tree(3);
        assert!(verify_consistency(0, &root(&[]), 3, &root(&leaves), &[]));
        assert!(!verify_consistency(0, &leaves[0], 3, &root(&leaves), &[]));
        assert!(!verify_consistency(3, &root(&leaves), 0, &root(&[]), &[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn a_frontier_has_the_root_of_its_leaves(n in 0..130usize) {
            let leaves = tree(n);
            let mut frontier = Frontier::new();
            for leaf in &leaves {
                frontier.append(*leaf);
            }
            prop_assert_eq!(frontier.size(), size(&leaves));
            prop_assert_eq!(frontier.root(), root(&leaves));
        }

        #[test]
        fn each_leaf_is_proved_at_its_place_and_nowhere_else(n in 1..70usize, seed: prop::sample::Index, other: prop::sample::Index) {
            let leaves = tree(n);
            let (index, other) = (seed.index(n), other.index(n));
            let path = inclusion_proof(&leaves, index).unwrap();
            let holds = |leaf: usize, at: usize| {
                verify_inclusion(&leaves[leaf], u64::try_from(at).unwrap(), size(&leaves), &path, &root(&leaves))
            };
            prop_assert!(holds(index, index));
            prop_assert_eq!(holds(other, index), other == index);
            prop_assert_eq!(holds(index, other), other == index);
        }

        #[test]
        fn a_log_that_only_grew_is_proved_and_a_rewritten_one_is_not(n in 1..70usize, old: prop::sample::Index, changed: prop::sample::Index) {
            let leaves = tree(n);
            let old = old.index(n) + 1;
            let path = consistency_proof(&leaves, old).unwrap();
            let old_size = u64::try_from(old).unwrap();
            let old_root = root(&leaves[..old]);
            prop_assert!(verify_consistency(old_size, &old_root, size(&leaves), &root(&leaves), &path));

            let mut rewritten = leaves.clone();
            rewritten[changed.index(old)] = leaf_hash(b"something else");
            let path = consistency_proof(&rewritten, old).unwrap();
            prop_assert!(!verify_consistency(old_size, &old_root, size(&leaves), &root(&rewritten), &path));
        }

        #[test]
        fn a_proof_with_a_hash_too_many_too_few_or_changed_fails(n in 2..70usize, index: prop::sample::Index, at: prop::sample::Index) {
            let leaves = tree(n);
            let index = index.index(n);
            let path = inclusion_proof(&leaves, index).unwrap();
            let holds = |path: &[Digest]| {
                verify_inclusion(&leaves[index], u64::try_from(index).unwrap(), size(&leaves), path, &root(&leaves))
            };
            let mut longer = path.clone();
            longer.push(leaves[0]);
            prop_assert!(!holds(&longer));
            prop_assert!(!holds(&path[1..]));
            let mut changed = path.clone();
            changed[at.index(path.len())] = leaf_hash(b"something else");
            prop_assert!(!holds(&changed));
        }
    }
}
