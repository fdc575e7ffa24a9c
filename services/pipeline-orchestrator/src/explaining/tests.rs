//! Why a run is where it is, in twenty-odd plays: the whole text of each lies in `scenarios`.

use oc_kernel::{Code, Kind};
use oc_workflow::plan::Access;

use super::play::{FIRST, Play, ago, attempt, start_is_refused_as};

#[test]
fn without_a_grant() {
    start_is_refused_as("grant-missing", |south| south.access = Access::Missing);
}

#[test]
fn with_a_grant_that_waits_for_the_partner() {
    let since = ago(7_200);
    start_is_refused_as("grant-pending", |south| {
        south.access = Access::Requested { since };
    });
}

#[test]
fn with_a_partner_that_does_not_answer_at_the_start() {
    start_is_refused_as("partner-silent-at-start", |south| {
        south.silent_since = Some(ago(40));
    });
}

#[test]
fn with_a_partner_that_cannot_isolate_our_tools() {
    start_is_refused_as("sandbox-missing", |south| {
        south.sandbox_missing = Some("its node reports none".to_owned());
    });
}

#[test]
fn while_all_cores_are_taken() {
    let mut play = Play::reserved();
    let text = "offer `machines` is full: 2 cores asked, 8 of 8 taken; try again when others end";
    play.refuses(FIRST, Kind::Exhausted, None, text);
    play.wait(95);
    play.is_explained_as("capacity-full");
}

#[test]
fn when_the_grant_is_used_up() {
    let mut play = Play::reserved();
    let text = "grant GRANT allows 10 core-hours: 9.8 are used or set aside, 0.6 more were asked";
    play.refuses(FIRST, Kind::Exhausted, Some(Code::OverLimit), text);
    play.give_back();
    play.wait(5);
    play.is_explained_as("grant-used-up");
}

#[test]
fn when_the_grant_has_ended() {
    let mut play = Play::reserved();
    let text = "grant GRANT is expired: its end was reached";
    play.refuses(FIRST, Kind::Forbidden, Some(Code::GrantExpired), text);
    play.give_back();
    play.wait(60);
    play.is_explained_as("grant-expired");
}

#[test]
fn when_the_grant_is_revoked_in_the_middle() {
    let mut play = Play::at_work();
    play.work(FIRST, 20);
    play.lost(FIRST, "grant-raised", "the grant was revoked or changed");
    play.wait(1);
    let text = "grant GRANT is revoked: maintenance";
    play.refuses(attempt(2), Kind::Forbidden, Some(Code::GrantRevoked), text);
    play.give_back();
    play.settle(None);
    play.wait(30);
    play.is_explained_as("grant-revoked");
}

#[test]
fn when_the_partner_withdraws_its_offer() {
    let mut play = Play::at_work();
    play.work(FIRST, 20);
    play.lost(FIRST, "by-provider", "stopped by the provider");
    play.wait(1);
    let text = "offer `machines` is withdrawn";
    let code = Some(Code::OfferWithdrawn);
    play.refuses(attempt(2), Kind::Precondition, code, text);
    play.give_back();
    play.settle(None);
    play.wait(30);
    play.is_explained_as("offer-withdrawn");
}

#[test]
fn while_the_partner_is_silent() {
    let mut play = Play::at_work();
    play.work(FIRST, 60);
    play.wait(10);
    play.is_explained_as("partner-unreachable");
}

#[test]
fn when_the_partner_blocks_us() {
    let mut play = Play::reserved();
    let text = "the peer 12D3KooW-South cannot be reached: 12D3KooW-South at `/ip4/192.0.2.7/tcp/4001` refused this node: \
                it is full or has blocked it";
    play.refuses(FIRST, Kind::Unavailable, None, text);
    play.wait(45);
    play.is_explained_as("partner-blocked");
}

#[test]
fn when_the_lease_is_lost_and_what_runs_may_not_be_doubled() {
    let mut play = Play::at_work();
    play.work(FIRST, 60);
    play.wait(17);
    play.is_explained_as("lease-lost");
}

#[test]
fn when_the_partners_node_stopped_and_the_next_attempt_runs() {
    let mut play = Play::at_work();
    play.work(FIRST, 60);
    play.lost(FIRST, "node-restarted", "the provider's node was restarted");
    play.wait(1);
    play.is_explained_as("provider-restarted");
}

#[test]
fn when_an_image_is_gone() {
    let mut play = Play::started();
    let text = "there is no image `S2B_31TCJ_20250614` in dataset `sentinel-2`";
    play.refuses_data(Kind::NotFound, text);
    play.wait(3);
    play.is_explained_as("image-gone");
}

#[test]
fn while_the_images_cannot_be_reserved() {
    let mut play = Play::started();
    play.refuses_data(Kind::Unavailable, "South has not answered for 5 s");
    play.wait(20);
    play.is_explained_as("data-unreachable");
}

#[test]
fn when_other_bytes_come_than_were_promised() {
    let mut play = Play::reserved();
    let text = "input `in-1` is not what was promised: its SHA-256 is 9f86d081 instead of 60303ae2";
    for number in 1..=3 {
        play.begin(attempt(number));
        play.work(attempt(number), 2);
        play.failed(attempt(number), "checksum-mismatch", text);
    }
    play.settle(None);
    play.wait(10);
    play.is_explained_as("checksum-mismatch");
}

#[test]
fn when_a_tool_fails() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    play.prints(&[
        ("stack", "reading 4 bands"),
        ("stack", "warning: band B8A is not used"),
        ("stack", "4 of 4 bands read"),
        ("picture", "Traceback (most recent call last):"),
        ("picture", "  File \"picture.py\", line 41, in <module>"),
        ("picture", "KeyError: 'B11'"),
    ]);
    let text = "step `picture`: `python3` failed: it left with code 1";
    play.failed(FIRST, "tool-failed", text);
    play.settle(None);
    play.wait(120);
    play.is_explained_as("tool-failed");
}

#[test]
fn when_a_tool_takes_too_long() {
    let mut play = Play::at_work();
    play.work(FIRST, 600);
    play.prints(&[("stack", "reading band 1 of 4000")]);
    let text = "step `stack`: `python3` ran longer than its limit of 600 s";
    play.failed(FIRST, "timed-out", text);
    play.settle(None);
    play.wait(5);
    play.is_explained_as("tool-over-time");
}

#[test]
fn when_a_tool_wants_too_much_memory() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    let text = "step `stack`: `python3` failed: the memory limit of 1073741824 bytes";
    play.failed(FIRST, "over-memory", text);
    play.settle(None);
    play.wait(5);
    play.is_explained_as("tool-over-memory");
}

#[test]
fn when_our_storage_is_full() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    let text = "announce output `picture/picture.png`, of 7340032 bytes in all: storage.results has 1048576 bytes free of \
                67108864, and 7340032 more were to be stored: offer more, delete some, or use another storage";
    play.failed(FIRST, "storage-full", text);
    play.settle(None);
    play.wait(5);
    play.is_explained_as("storage-full");
}

#[test]
fn when_the_partners_disk_is_full() {
    let mut play = Play::at_work();
    let text = "cannot write input `in-1`: No space left on device (os error 28)";
    play.failed(FIRST, "disk-full", text);
    play.wait(2);
    play.is_explained_as("disk-full");
}

#[test]
fn when_clocks_differ() {
    let mut play = Play::reserved();
    let text = "delegation 1: it begins 95000 ms from now: compare both clocks";
    play.refuses(FIRST, Kind::Forbidden, Some(Code::NotYetValid), text);
    play.wait(20);
    play.is_explained_as("clock-skew");
}

#[test]
fn when_the_books_are_disputed() {
    let mut play = Play::reserved();
    let text = "nothing begins under grant GRANT while its books are disputed: record 3: 9000 ms of wall time are \
                recorded, 1200 ms were seen";
    play.refuses(FIRST, Kind::Precondition, Some(Code::BooksDisputed), text);
    play.give_back();
    play.wait(5);
    play.is_explained_as("books-disputed");
}

#[test]
fn when_it_succeeded_and_its_books_are_disputed() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    play.succeeds(FIRST);
    play.settle(Some("record 3: 9000 ms are recorded, 1200 ms were seen"));
    play.wait(5);
    play.is_explained_as("succeeded-and-disputed");
}

#[test]
fn while_it_is_being_cancelled() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    play.cancel();
    play.wait(2);
    play.is_explained_as("being-cancelled");
}

#[test]
fn after_it_was_cancelled() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    play.cancel();
    play.lost(FIRST, "released", "released by the consumer");
    play.settle(None);
    play.wait(60);
    play.is_explained_as("cancelled");
}

#[test]
fn after_it_succeeded() {
    let mut play = Play::at_work();
    play.work(FIRST, 30);
    play.succeeds(FIRST);
    play.settle(None);
    play.wait(3_600);
    play.is_explained_as("succeeded");
}
