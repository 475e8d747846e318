//! The tester must see what it is there to see.
#![allow(clippy::unwrap_used)]

use super::*;

fn answered(lines: &[&str]) -> Producer {
    let mut producer = Producer::new(1, 0);
    for (number, line) in (1..).zip(lines) {
        assert_eq!(producer.take(number, line), Ok(true));
    }
    producer
}

#[test]
fn the_same_answer_again_is_as_it_should_be() {
    let mut producer =
        answered(&[r#"{"seq":7,"time":1}"#, r#"{"code":"unknown_asset","message":"no","field":"asset"}"#]);
    assert_eq!(producer.take(1, r#"{"seq":7,"time":1}"#), Ok(true));
    assert_eq!(producer.fresh(), [(1, 7)]);
    assert_eq!(producer.fresh(), []);
    assert_eq!((producer.tally.answered, producer.tally.refused, producer.tally.repeated), (2, 1, 1));
}

#[test]
fn another_answer_to_the_same_number_is_a_violation() {
    for other in [r#"{"seq":8,"time":1}"#, r#"{"seq":7,"time":2}"#, r#"{"code":"no_mark","message":"","field":""}"#] {
        let violation = answered(&[r#"{"seq":7,"time":1}"#]).take(1, other).unwrap_err();
        assert!(violation.contains("number 1 was first answered"), "{violation}");
    }
}

#[test]
fn an_answered_number_out_of_order_is_a_violation_and_a_gap_is_sent_again() {
    let refusal = r#"{"code":"out_of_order","message":"","field":"number"}"#;
    let mut producer = answered(&[r#"{"seq":7,"time":1}"#]);
    assert!(producer.take(1, refusal).is_err());
    assert_eq!(producer.take(3, refusal), Ok(false));
}

#[test]
fn a_number_taken_over_a_gap_is_a_violation() {
    assert!(answered(&[r#"{"seq":7,"time":1}"#]).take(3, r#"{"seq":8,"time":1}"#).is_err());
}

#[test]
fn fewer_answers_than_commands_are_a_violation() {
    let reply = Reply { status: 200, body: r#"{"seq":1,"time":1}"#.to_owned() };
    assert!(Producer::new(1, 0).take_all(1, 2, &reply).is_err());
}
