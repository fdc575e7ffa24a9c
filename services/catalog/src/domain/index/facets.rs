//! Facets as small numbers, so that counting them over ten thousand listings takes no time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Numbers for pairs of key and value, as long as a listing has them.
#[derive(Debug, Clone, Default)]
pub(super) struct Facets {
    numbers: HashMap<Arc<str>, u32>,
    names: Vec<Option<Named>>,
    free: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Named {
    name: Arc<str>,
    uses: u32,
}

fn name_of(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

impl Facets {
    /// The numbers of these pairs, one use each.
    pub(super) fn take<'a>(
        &mut self,
        pairs: impl Iterator<Item = (&'a str, String)>,
    ) -> Arc<[u32]> {
        let mut taken: Vec<u32> = pairs
            .map(|(key, value)| self.number(name_of(key, &value)))
            .collect();
        taken.sort_unstable();
        taken.dedup();
        for number in &taken {
            if let Some(named) = &mut self.names[*number as usize] {
                named.uses += 1;
            }
        }
        taken.into()
    }

    fn number(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(name.as_str()) {
            return *number;
        }
        let name: Arc<str> = name.into();
        let named = Some(Named {
            name: Arc::clone(&name),
            uses: 0,
        });
        let number = match self.free.pop() {
            Some(number) => {
                self.names[number as usize] = named;
                number
            }
            None => {
                self.names.push(named);
                u32::try_from(self.names.len() - 1).unwrap_or(u32::MAX)
            }
        };
        self.numbers.insert(name, number);
        number
    }

    /// Takes one use of each back; a number without use is free for another pair.
    pub(super) fn give_back(&mut self, taken: &[u32]) {
        for number in taken {
            let Some(named) = &mut self.names[*number as usize] else {
                continue;
            };
            named.uses -= 1;
            if named.uses == 0 {
                self.numbers.remove(&named.name);
                self.names[*number as usize] = None;
                self.free.push(*number);
            }
        }
    }

    /// The number of a pair that some listing has.
    pub(super) fn find(&self, key: &str, value: &str) -> Option<u32> {
        self.numbers.get(name_of(key, value).as_str()).copied()
    }

    /// One more than the highest number.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The names of the highest counts, at most `most`; of equal ones the first by name.
    pub(super) fn most_frequent(&self, counts: &[u32], most: usize) -> BTreeMap<String, u64> {
        let mut counted: Vec<(Reverse<u32>, &str)> = counts
            .iter()
            .zip(&self.names)
            .filter(|(count, _)| **count > 0)
            .filter_map(|(count, named)| Some((Reverse(*count), named.as_ref()?.name.as_ref())))
            .collect();
        if counted.len() > most {
            counted.select_nth_unstable(most);
            counted.truncate(most);
        }
        let named = counted.into_iter();
        named
            .map(|(Reverse(count), name)| (name.to_owned(), u64::from(count)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(facets: &mut Facets, names: &[(&'static str, &str)]) -> Arc<[u32]> {
        facets.take(names.iter().map(|(key, value)| (*key, (*value).to_owned())))
    }

    #[test]
    fn a_number_lives_as_long_as_a_listing_has_it() {
        let mut facets = Facets::default();
        let first = take(&mut facets, &[("a", "1"), ("a", "1"), ("b", "2")]);
        let second = take(&mut facets, &[("a", "1")]);
        assert_eq!(first.len(), 2);
        facets.give_back(&first);
        assert_eq!(facets.find("a", "1"), Some(second[0]));
        assert_eq!(facets.find("b", "2"), None);
        facets.give_back(&second);
        take(&mut facets, &[("c", "3"), ("d", "4")]);
        assert_eq!(facets.len(), 2, "numbers are used again");
    }

    #[test]
    fn the_highest_counts_are_named() {
        let mut facets = Facets::default();
        take(
            &mut facets,
            &[("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")],
        );
        let counts: Vec<u32> = (0..4).map(|n| [5, 7, 0, 5][n]).collect();
        let named = facets.most_frequent(&counts, 2);
        assert_eq!(
            named,
            BTreeMap::from([("a=1".to_owned(), 5), ("a=2".to_owned(), 7)])
        );
    }
}
