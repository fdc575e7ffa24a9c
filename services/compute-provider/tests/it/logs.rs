//! The log of an attempt: numbered, complete, and within what may leave.

use oc_proto::federation::v1::watch_response::Event;

use crate::attempts::story;
use crate::work::Attempt;

#[tokio::test]
async fn a_follower_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    for line in 0..600 {
        south
            .stage
            .log(attempt.attempt, &format!("line {line}"))
            .await;
    }
    south.stage.succeed(attempt.attempt, "{}").await;
    let all = attempt.watch(&north, &south, 0).await;
    let lines = all
        .iter()
        .filter(|event| matches!(event.event, Some(Event::Log(_))))
        .count();
    assert_eq!(lines, 600);
    for after in [1, 300, all.len() as u64 - 1] {
        let rest = attempt.watch(&north, &south, after).await;
        assert_eq!(rest, all[usize::try_from(after).unwrap()..]);
    }
}

#[tokio::test]
async fn lines_beyond_what_may_leave_are_cut_and_the_cut_is_told() {
    let (north, south, grant) = story().await;
    let attempt = Attempt::new(&grant);
    attempt.start(&north, &south).await;
    south.stage.runs(attempt.attempt).await;
    // The delegation lets 10,000 bytes leave.
    for _ in 0..3 {
        south.stage.log(attempt.attempt, &"x".repeat(4000)).await;
    }
    south.stage.succeed(attempt.attempt, "{}").await;
    let events = attempt.watch(&north, &south, 0).await;
    let lines: Vec<String> = events
        .into_iter()
        .filter_map(|event| match event.event {
            Some(Event::Log(line)) => Some(line.text),
            _ => None,
        })
        .collect();
    let sent: usize = lines
        .iter()
        .filter(|line| line.starts_with('x'))
        .map(String::len)
        .sum();
    assert!(sent <= 10_000, "{sent} bytes of log left");
    assert!(
        lines.last().unwrap().contains("10000 bytes to leave"),
        "{lines:?}"
    );
}
