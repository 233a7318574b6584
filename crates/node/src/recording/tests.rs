use fseg_control::Controller;
use fseg_control::recording::Replay;
use fseg_model::{Mono, Wall};
use fseg_yaml::Source;

use super::*;
use crate::config::NodeConfig;
use crate::config::tests::SMALL;

const AT: Now = Now { wall: Wall(1_800_000_000_000), mono: Mono(7) };

fn site() -> SiteConfig {
    NodeConfig::parse(&Source::new("node.yaml", SMALL)).unwrap_or_else(|e| panic!("{e:?}")).site
}

/// Records so many ticks.
fn record(file: &Path, limit: u64, ticks: u64) {
    let to = RecordTo { file: file.to_owned(), limit };
    let mut recording = Recording::begin(to, &site(), &[], AT).unwrap();
    let mut controller = Controller::new(site(), vec![], AT).unwrap();
    for n in 0..ticks {
        recording.flushed(&controller.flush());
        let now = Now { wall: Wall(AT.wall.0 + 200 * n), mono: Mono(AT.mono.0 + 200 * n) };
        recording.input(&Input::Tick, now);
        controller.handle(Input::Tick, now);
    }
    recording.flushed(&controller.flush());
}

/// Steps, and how it ended.
fn replay(file: &Path) -> (u64, Option<String>) {
    let bytes = std::fs::read(file).unwrap();
    let mut replay = Replay::new(&bytes).unwrap();
    let mut steps = 0;
    while let Some(done) = replay.step().unwrap() {
        assert_eq!(done.difference, None);
        steps += 1;
    }
    assert_eq!(replay.torn(), 0);
    (steps, replay.ended().map(str::to_owned))
}

#[test]
fn the_file_is_private_bounded_and_rotated() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.rec");
    record(&file, 1 << 20, 10);
    assert_eq!(replay(&file), (22, Some("the node was stopped".into())));
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Too much for the limit: it ends before, and whole.
    let limit = std::fs::metadata(&file).unwrap().len();
    record(&file, limit, 10_000);
    let (steps, ended) = replay(&file);
    assert!((10..100).contains(&steps), "{steps}");
    assert_eq!(ended.as_deref(), Some("it has its full size"));
    assert!(std::fs::metadata(&file).unwrap().len() < limit + 100);
    // The former ones are still there, two of them.
    record(&file, 1 << 20, 1);
    record(&file, 1 << 20, 2);
    let steps = ["node.rec", "node.rec.1", "node.rec.2"].map(|f| replay(&folder.path().join(f)).0);
    assert_eq!((steps[0], steps[1]), (6, 4));
    assert!(!folder.path().join("node.rec.3").exists());
}

#[test]
fn a_full_disk_ends_the_recording_only() {
    // Every write to this device fails with "no space left".
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let recorder = Recorder::begin("test", &site(), &[], AT).unwrap();
    let to = RecordTo { file: "/dev/full".into(), limit: 1 << 30 };
    let mut recording = Recording::write_to(full, recorder, to).unwrap();
    let mut controller = Controller::new(site(), vec![], AT).unwrap();
    let begun = std::time::Instant::now();
    while recording.pipe.is_some() {
        assert!(begun.elapsed().as_secs() < 30, "it never noticed");
        recording.input(&Input::Tick, AT);
        controller.handle(Input::Tick, AT);
        recording.flushed(&controller.flush());
        std::thread::yield_now();
    }
    // And goes on as nothing.
    recording.input(&Input::Tick, AT);
    recording.flushed(&controller.flush());
    assert_eq!(recording.recorder.pending(), 0);
}
