//! The watermark merge: the rules one by one, and against a naive model.

use proptest::prelude::*;

use super::*;

fn at(ns: i64) -> Option<Timestamp> {
    Some(Timestamp(ns))
}

// SEMANTICS 11, 12
#[test]
fn the_minimum_over_channels_and_never_back() {
    let mut merge = WatermarkMerge::new(2);
    assert_eq!(merge.on_watermark(0, Timestamp(40)).watermark, None);
    assert_eq!(merge.on_watermark(1, Timestamp(15)).watermark, at(15));
    assert_eq!(merge.on_watermark(1, Timestamp(15)), Merged::default());
    assert_eq!(merge.on_watermark(1, Timestamp(10)), Merged::default());
    // SEMANTICS 13
    assert_eq!(merge.on_idle(1).watermark, at(40));
}

// SEMANTICS 14
#[test]
fn a_channel_that_comes_back_behind_must_catch_up() {
    let mut merge = WatermarkMerge::new(2);
    merge.on_watermark(0, Timestamp(40));
    merge.on_watermark(1, Timestamp(15));
    merge.on_idle(1);
    assert_eq!(merge.on_watermark(1, Timestamp(90)), Merged::default(), "dropped while idle");
    assert_eq!(merge.on_active(1), Merged::default());
    assert_eq!(merge.on_watermark(1, Timestamp(30)), Merged::default(), "still behind");
    assert_eq!(merge.on_watermark(0, Timestamp(50)).watermark, at(50), "not held back by it");
    assert_eq!(merge.on_watermark(1, Timestamp(60)), Merged::default(), "aligned again");
    assert_eq!(merge.on_watermark(0, Timestamp(70)).watermark, at(60));
}

// SEMANTICS 15, with the order-independent rule
#[test]
fn when_all_are_idle_the_highest_is_let_through() {
    let mut merge = WatermarkMerge::new(3);
    for (channel, watermark) in [50, 10, 20].into_iter().enumerate() {
        merge.on_watermark(channel, Timestamp(watermark));
    }
    merge.on_idle(0);
    assert_eq!(merge.on_idle(1).watermark, at(20));
    merge.on_active(1);
    assert_eq!(merge.on_idle(2), Merged::default());
    assert_eq!(merge.on_idle(1), Merged { active: false, watermark: at(50), idle: true });
    assert_eq!(merge.on_active(2), Merged { active: true, watermark: None, idle: false });
}

#[test]
fn an_ended_channel_is_left_out_until_all_have_ended() {
    let mut merge = WatermarkMerge::new(3);
    merge.on_watermark(0, Timestamp(5));
    merge.on_watermark(1, Timestamp(7));
    assert_eq!(merge.on_watermark(2, Timestamp::MAX).watermark, at(5));
    assert_eq!(merge.on_idle(0).watermark, at(7));
    assert_eq!(merge.on_watermark(1, Timestamp::MAX), Merged { idle: true, ..Merged::default() });
    assert_eq!(merge.on_watermark(0, Timestamp::MAX).watermark, Some(Timestamp::MAX));
}

#[derive(Clone, Debug)]
enum Step {
    Watermark(usize, i64),
    Idle(usize),
    Active(usize),
}

fn step(channels: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..channels, -50i64..50).prop_map(|(c, w)| Step::Watermark(c, w)),
        1 => (0..channels).prop_map(Step::Idle),
        2 => (0..channels).prop_map(Step::Active),
    ]
}

proptest! {
    /// A channel that was never idle holds the output at or below its own watermark; the output
    /// never goes back; idle and active alternate.
    #[test]
    fn promises_hold(steps in prop::collection::vec(step(3), 0..120)) {
        let mut merge = WatermarkMerge::new(3);
        let mut latest = [i64::MIN; 3];
        let mut ever_idle = [false; 3];
        let mut idle_now = [false; 3];
        let (mut output, mut output_idle) = (Timestamp::MIN, false);
        for step in steps {
            let merged = match step {
                Step::Watermark(channel, watermark) => {
                    if !idle_now[channel] {
                        latest[channel] = latest[channel].max(watermark);
                    }
                    merge.on_watermark(channel, Timestamp(watermark))
                }
                Step::Idle(channel) => {
                    (ever_idle[channel], idle_now[channel]) = (true, true);
                    merge.on_idle(channel)
                }
                Step::Active(channel) => {
                    idle_now[channel] = false;
                    merge.on_active(channel)
                }
            };
            if merged.active {
                prop_assert!(output_idle);
                output_idle = false;
            }
            if let Some(watermark) = merged.watermark {
                prop_assert!(watermark > output);
                output = watermark;
            }
            if merged.idle {
                prop_assert!(!output_idle);
                output_idle = true;
            }
            prop_assert_eq!(output_idle, idle_now.iter().all(|&idle| idle));
            for channel in 0..3 {
                if !ever_idle[channel] {
                    prop_assert!(output.0 <= latest[channel]);
                }
            }
            if ever_idle == [false; 3] {
                prop_assert_eq!(output.0, latest.into_iter().min().unwrap());
            }
        }
    }
}
