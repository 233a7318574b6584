//! Telling what happens: chapters of timed steps, each with its outcome, and a summary.
//!
//! Colour only where the output is a terminal and `NO_COLOR` (<https://no-color.org>) is not set.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A story under way.
pub struct Story<W: Write> {
    out: W,
    colour: bool,
    steps: usize,
    failures: Vec<(String, String)>,
    begun: Instant,
}

impl Story<io::Stdout> {
    /// A story told on standard output.
    #[must_use]
    pub fn stdout() -> Self {
        let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let out = io::stdout();
        let colour = out.is_terminal() && !quiet && !dumb;
        Self::new(out, colour)
    }
}

impl<W: Write> Story<W> {
    /// A story told to `out`, in colour or not.
    pub fn new(out: W, colour: bool) -> Self {
        Self { out, colour, steps: 0, failures: Vec::new(), begun: Instant::now() }
    }

    /// Begins a chapter.
    pub fn chapter(&mut self, title: &str) {
        let title = self.paint("1", title);
        self.say(&format!("\n{title}\n"));
    }

    /// Adds a line of explanation.
    pub fn note(&mut self, text: &str) {
        for line in text.lines() {
            let line = self.paint("2", line);
            self.say(&format!("    {line}\n"));
        }
    }

    /// Does one step and tells how it went. `None`: it failed, which is remembered for the end.
    pub fn step<T, E: Display>(&mut self, what: &str, action: impl FnOnce() -> Result<T, E>) -> Option<T> {
        let begun = Instant::now();
        let result = action();
        let took = begun.elapsed();
        self.tell(what, result, Some(took))
    }

    /// Like [`Story::step`], where the step produces a sentence worth showing.
    pub fn show<E: Display>(&mut self, what: &str, action: impl FnOnce() -> Result<String, E>) -> bool {
        let Some(text) = self.step(what, action) else { return false };
        self.note(&text);
        true
    }

    /// Checks a fact; `otherwise` says what is the case instead.
    pub fn check(&mut self, what: &str, holds: bool, otherwise: impl Display) -> bool {
        self.tell(what, if holds { Ok(()) } else { Err(otherwise) }, None).is_some()
    }

    fn tell<T, E: Display>(&mut self, what: &str, result: Result<T, E>, took: Option<Duration>) -> Option<T> {
        self.steps += 1;
        let time = took.map(|took| format!("  {}", self.paint("2", &duration(took)))).unwrap_or_default();
        match result {
            Ok(value) => {
                let mark = self.paint("32", "✓");
                self.say(&format!("  {mark} {what}{time}\n"));
                Some(value)
            }
            Err(error) => {
                let mark = self.paint("31", "✗");
                let error = error.to_string();
                self.say(&format!("  {mark} {what}{time}\n"));
                for line in error.lines() {
                    let line = self.paint("31", line);
                    self.say(&format!("      {line}\n"));
                }
                self.failures.push((what.to_owned(), error));
                None
            }
        }
    }

    /// Whether every step so far went well.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failures.is_empty()
    }

    /// What failed so far: the step and its error.
    #[must_use]
    pub fn failures(&self) -> &[(String, String)] {
        &self.failures
    }

    /// Tells the summary; answers the exit code: 0 if there were steps and all went well, else 1.
    pub fn finish(mut self) -> u8 {
        let total = duration(self.begun.elapsed());
        let failed = self.failures.len();
        let good = failed == 0 && self.steps > 0;
        let summary = match (good, self.steps) {
            (true, steps) => format!("all {steps} steps went well, in {total}"),
            (false, 0) => "nothing happened".to_owned(),
            (false, steps) => format!("{failed} of {steps} steps failed, in {total}:"),
        };
        let summary = self.paint(if good { "1;32" } else { "1;31" }, &summary);
        self.say(&format!("\n{summary}\n"));
        for (what, _) in std::mem::take(&mut self.failures) {
            self.say(&format!("  ✗ {what}\n"));
        }
        u8::from(!good)
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }

    // A reader that went away (`| head`) must not stop a lab halfway.
    fn say(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn duration(took: Duration) -> String {
    match took.as_millis() {
        millis @ 0..1000 => format!("{millis} ms"),
        _ => format!("{:.1} s", took.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(colour: bool, plot: impl FnOnce(&mut Story<&mut Vec<u8>>)) -> (String, u8) {
        let mut out = Vec::new();
        let mut story = Story::new(&mut out, colour);
        plot(&mut story);
        let code = story.finish();
        (String::from_utf8(out).unwrap(), code)
    }

    #[test]
    fn a_good_story_ends_with_0() {
        let (text, code) = tell(false, |story| {
            story.chapter("One");
            assert_eq!(story.step("add", || Ok::<_, String>(3)), Some(3));
            assert!(story.show("look", || Ok::<_, String>("a\nb".into())));
            assert!(story.check("sky is up", true, ""));
        });
        assert_eq!(code, 0);
        assert!(text.starts_with("\nOne\n  ✓ add"), "{text}");
        assert!(text.contains("    a\n    b\n  ✓ sky is up\n"), "{text}");
        assert!(text.contains("all 3 steps went well"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_failure_is_told_twice_and_ends_with_1() {
        let (text, code) = tell(true, |story| {
            assert_eq!(story.step("fall", || Err::<(), _>("ground")), None);
            assert!(!story.check("sky is down", false, "it is up"));
            assert!(!story.is_good() && story.failures().len() == 2);
        });
        assert_eq!(code, 1);
        assert!(text.contains("ground") && text.contains("it is up") && text.contains("2 of 2 steps failed"), "{text}");
        assert!(text.ends_with("  ✗ fall\n  ✗ sky is down\n"), "{text}");
        assert!(text.contains("\x1b[31m✗\x1b[0m"));
    }

    #[test]
    fn an_empty_story_proves_nothing() {
        assert_eq!(tell(false, |_| {}).1, 1);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(Duration::from_millis(7)), "7 ms");
        assert_eq!(duration(Duration::from_millis(1250)), "1.2 s");
    }
}
