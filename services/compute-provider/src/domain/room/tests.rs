//! Quotas and write-once keys.

use proptest::prelude::*;

use super::*;

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

fn upload(holder: Holder, length: u64) -> Upload {
    Upload {
        id: UploadId::new(),
        holder,
        attempt: None,
        announcer: None,
        user: None,
        length,
        sha256: Digest::of(&length.to_be_bytes()),
        media_type: String::new(),
        expires_at: Timestamp::UNIX_EPOCH,
    }
}

fn room() -> Room {
    Room::new("results".parse().unwrap(), 100)
}

#[test]
fn a_full_offer_and_a_full_quota_say_their_numbers() {
    let mut room = room();
    let grant = GrantId::new();
    let partner = Holder::Grant(grant);
    room.announce(key("a"), upload(partner, 40), Some(50))
        .unwrap();
    let error = room
        .announce(key("b"), upload(partner, 20), Some(50))
        .unwrap_err();
    assert_eq!(
        error,
        RoomError::OverQuota {
            grant,
            asked: 20,
            used: 40,
            limit: 50
        }
    );
    let error = room
        .announce(key("b"), upload(Holder::Own, 61), None)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "storage.results has 60 bytes free of 100, and 61 more were to be stored: offer more, delete some, or use another \
         storage"
    );
}

#[test]
fn the_same_announcement_again_gets_the_same_upload() {
    let mut room = room();
    let first = room
        .announce(key("a"), upload(Holder::Own, 10), None)
        .unwrap();
    assert_eq!(
        room.announce(key("a"), upload(Holder::Own, 10), None),
        Ok(first)
    );
    assert_eq!(room.taken(None), 10);
}

#[test]
fn an_object_whose_note_a_crash_took_is_removed_with_its_own_bytes_only() {
    let mut room = room();
    for name in ["kept", "doomed"] {
        room.announce(key(name), upload(Holder::Own, 10), None)
            .unwrap();
    }
    room.store(&key("kept"));
    room.remove(&key("doomed"), Holder::Own, 10);
    room.removed(&key("doomed"));
    assert_eq!(room.taken(None), 10);
    assert!(room.upload(&key("doomed")).is_none());
}

#[test]
fn another_content_or_another_writer_under_the_same_key_is_refused() {
    let mut room = room();
    room.announce(key("a"), upload(Holder::Own, 10), None)
        .unwrap();
    let other = room.announce(key("a"), upload(Holder::Own, 11), None);
    assert_eq!(other, Err(RoomError::OtherContent { key: key("a") }));
    let mut thief = upload(Holder::Own, 10);
    thief.attempt = Some(AttemptId::new());
    let refused = room.announce(key("a"), thief, None);
    assert_eq!(refused, Err(RoomError::OtherWriter { key: key("a") }));
}

#[test]
fn a_key_that_is_being_removed_is_not_written_meanwhile() {
    let mut room = room();
    room.announce(key("a"), upload(Holder::Own, 10), None)
        .unwrap();
    room.store(&key("a"));
    room.remove(&key("a"), Holder::Own, 10);
    let refused = room.announce(key("a"), upload(Holder::Own, 10), None);
    assert_eq!(refused, Err(RoomError::BeingRemoved { key: key("a") }));
    room.removed(&key("a"));
    room.announce(key("a"), upload(Holder::Own, 10), None)
        .unwrap();
}

#[test]
fn a_room_does_not_shrink_below_what_is_in_it_and_a_closed_one_takes_nothing() {
    let mut room = room();
    room.announce(key("a"), upload(Holder::Own, 10), None)
        .unwrap();
    assert_eq!(room.resize(9), Err(RoomError::InUse { used: 10, limit: 9 }));
    room.closed = true;
    let refused = room.announce(key("b"), upload(Holder::Own, 1), None);
    assert!(matches!(refused, Err(RoomError::Withdrawn { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever is announced, stored, given up and removed, repeated or not: the bytes counted are those of
    /// the objects that are there or announced, and never more than there is room for.
    #[test]
    fn bytes_are_counted_exactly(
        acts in prop::collection::vec((0..4_u8, 0..5_u8, 1..40_u64, any::<bool>()), 1..60),
    ) {
        let mut room = room();
        let grant = Holder::Grant(GrantId::new());
        let mut there: BTreeMap<ObjectKey, (Holder, u64)> = BTreeMap::new();
        for (act, at, length, own) in acts {
            let key = key(&format!("k{at}"));
            let holder = if own { Holder::Own } else { grant };
            match act {
                0 if !there.contains_key(&key) => {
                    let _ = room.announce(key, upload(holder, length), Some(60));
                }
                1 => {
                    if let Some(open) = room.upload(&key) {
                        there.insert(key.clone(), (open.holder, open.length));
                    }
                    room.store(&key);
                    room.store(&key);
                }
                2 => room.give_up(&key),
                3 => if let Some((holder, length)) = there.remove(&key) {
                    room.remove(&key, holder, length);
                    room.remove(&key, holder, length);
                    room.removed(&key);
                },
                _ => {}
            }
            let stored: u64 = there.values().map(|(_, length)| length).sum();
            let announced: u64 = room.uploads().map(|(_, u)| u.length).sum();
            prop_assert_eq!(room.taken(None), stored + announced);
            prop_assert!(room.taken(None) <= 100);
            prop_assert!(room.taken(Some(&grant)) <= 60);
            let json = serde_json::to_string(&room).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Room>(&json).unwrap(), &room);
        }
    }
}

#[test]
fn two_users_do_not_announce_the_same_key() {
    let mut room = room();
    let of = |user: &str| Upload {
        user: Some(user.to_owned()),
        attempt: None,
        ..upload(Holder::Own, 10)
    };
    room.announce(key("a"), of("alice"), None).unwrap();
    let refused = room.announce(key("a"), of("bob"), None);
    assert!(matches!(refused, Err(RoomError::OtherWriter { .. })));
    assert!(room.announce(key("a"), of("alice"), None).is_ok());
}
