//! Announcements: topics of a network, who takes them, and how many an author may make.

use std::collections::HashMap;
use std::time::Instant;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::gossipsub::{IdentTopic, TopicHash};
use tokio::sync::broadcast;

use crate::{Announcement, Limits, NetworkError, NetworkId};

const AUTHORS: usize = 4096;

/// Checks a topic's name and makes it one of this network.
pub(crate) fn topic(network: NetworkId, name: &str) -> Result<IdentTopic, NetworkError> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
    if name.is_empty() || name.len() > 64 || !name.bytes().all(allowed) {
        return Err(NetworkError::Topic {
            topic: name.chars().take(80).collect(),
        });
    }
    Ok(IdentTopic::new(format!("/opencloud/{network}/{name}")))
}

/// Who takes which topic.
#[derive(Debug, Default)]
pub(crate) struct Subscribers(HashMap<TopicHash, broadcast::Sender<Announcement>>);

impl Subscribers {
    /// Subscribes; true where the topic is new to this node.
    pub(crate) fn add(
        &mut self,
        topic: &IdentTopic,
        queue: usize,
    ) -> Result<(broadcast::Receiver<Announcement>, bool), NetworkError> {
        if let Some(sender) = self.0.get(&topic.hash()) {
            return Ok((sender.subscribe(), false));
        }
        if self.0.len() >= Limits::TOPICS {
            return Err(NetworkError::TooManyTopics {
                limit: Limits::TOPICS,
            });
        }
        let (sender, receiver) = broadcast::channel(queue);
        self.0.insert(topic.hash(), sender);
        Ok((receiver, true))
    }

    pub(crate) fn deliver(&self, topic: &TopicHash, author: PeerId, data: Vec<u8>) {
        if let Some(sender) = self.0.get(topic) {
            let data = Bytes::from(data);
            // An error means that nobody listens at the moment.
            let _ = sender.send(Announcement { author, data });
        }
    }
}

/// A bucket of tokens for each author.
#[derive(Debug)]
pub(crate) struct Rates {
    buckets: HashMap<PeerId, (f64, Instant)>,
    burst: f64,
    per_second: f64,
}

impl Rates {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            buckets: HashMap::new(),
            burst: f64::from(limits.gossip_burst),
            per_second: limits.gossip_per_second,
        }
    }

    /// Takes one token; false when the author has none left.
    pub(crate) fn allow(&mut self, author: PeerId, now: Instant) -> bool {
        if self.buckets.len() >= AUTHORS && !self.buckets.contains_key(&author) {
            self.drop_full(now);
            if self.buckets.len() >= AUTHORS {
                return false;
            }
        }
        let (tokens, at) = self.buckets.entry(author).or_insert((self.burst, now));
        let earned = now.saturating_duration_since(*at).as_secs_f64() * self.per_second;
        *tokens = (*tokens + earned).min(self.burst);
        *at = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }

    fn drop_full(&mut self, now: Instant) {
        let (burst, per_second) = (self.burst, self.per_second);
        self.buckets.retain(|_, (tokens, at)| {
            *tokens + now.saturating_duration_since(*at).as_secs_f64() * per_second < burst
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_author_over_the_rate_is_ignored_and_others_are_not() {
        let mut rates = Rates::new(&Limits {
            gossip_burst: 3,
            gossip_per_second: 2.0,
            ..Limits::default()
        });
        let (loud, quiet) = (PeerId::random(), PeerId::random());
        let start = Instant::now();
        let allowed = (0..10).filter(|_| rates.allow(loud, start)).count();
        assert_eq!(allowed, 3);
        assert!(rates.allow(quiet, start));
        let later = start + Duration::from_secs(1);
        let allowed = (0..10).filter(|_| rates.allow(loud, later)).count();
        assert_eq!(allowed, 2);
    }

    #[test]
    fn a_topic_is_a_plain_word() {
        let network = NetworkId::generate();
        assert!(topic(network, "catalogue.heads-1").is_ok());
        for name in ["", "A", "a/b", "ü", &"a".repeat(65)] {
            assert!(topic(network, name).is_err(), "{name}");
        }
    }
}
