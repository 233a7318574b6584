//! The simulator against a real Open vSwitch: random rows, random packets, every search, every field, everything that leaves.
//!
//! `FSEG_SIMULATE_SEED` sets where the random numbers begin, `FSEG_SIMULATE_SETS` how many sets of rows are tried.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod random;

use fseg_test_kit::oracle::Oracle;
use random::Random;

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}: a number")))
}

#[test]
fn random_rows_and_packets_meet_the_same_fate_as_in_open_vswitch() {
    let Some(mut oracle) = Oracle::start([1, 2, 3, 4], &[1]) else { return };
    let (seed, sets) = (setting("FSEG_SIMULATE_SEED", 1), setting("FSEG_SIMULATE_SETS", 120));
    let (mut compared, mut rows, mut refused, mut searches, mut left, mut forks, mut endless) = (0, 0, 0, 0, 0, 0, 0);
    for number in seed..seed + sets {
        let mut random = Random::new(number);
        let (groups, made) = (random.groups(), random.rows());
        let not_taken = oracle.replace(&groups, &made);
        rows += made.len();
        refused += not_taken.len();
        for _ in 0..40 {
            let question = random.question();
            let expected = oracle.simulate(&question);
            if expected.starts.len() > 12 || expected.steps.len() > 200 {
                // Open vSwitch would write pages about it, for minutes.
                endless += 1;
                continue;
            }
            let trace = oracle.compare(&question).unwrap_or_else(|what| {
                panic!("FSEG_SIMULATE_SEED={number} FSEG_SIMULATE_SETS=1, {question:x?}: {what}")
            });
            compared += 1;
            searches += trace.steps.iter().filter(|step| step.row.is_some()).count();
            left += trace.departures.len();
            forks += trace.starts.len() - 1;
        }
    }
    println!(
        "{compared} packets through {sets} sets of rows ({rows} rows, {refused} refused by Open vSwitch): {searches} rows \
         met, {left} packets left, {forks} went on after connection tracking; {endless} packets were too long to compare"
    );
    assert!(endless * 20 < compared, "{endless} packets were not compared");
    // A generator that makes nothing but refused rows and drops would compare nothing.
    assert!(refused * 5 < rows, "{refused} of {rows} rows were refused");
    assert!(searches > compared * 2 && left > compared / 2 && forks > compared / 20, "the packets do too little");
}
