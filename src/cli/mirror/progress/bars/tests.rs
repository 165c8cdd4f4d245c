//! What is drawn on a terminal, and how often.

use std::io;
use std::sync::Arc;

use indicatif::TermLike;
use tokio::time::Instant;

use super::*;
use crate::image::{Digest, Repository};
use crate::mirror::outcome::TagReport;
use crate::registry::copy::Estimate;

/// What was written to a terminal, each drawing apart.
#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Vec<String>>>);

impl Screen {
    fn add(&self, text: &str) {
        let mut drawings = self.0.lock();
        if drawings.is_empty() {
            drawings.push(String::new());
        }
        if let Some(last) = drawings.last_mut() {
            last.push_str(text);
        }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        200
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text);
        self.add("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.0.lock().push(String::new());
        Ok(())
    }
}

/// Bars, what they know, and where they are drawn.
fn bars(tells_trouble: bool) -> (Bars, Tally, Screen) {
    let screen = Screen::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), DRAWN_A_SECOND);
    (
        Bars::on(target, false, tells_trouble),
        Tally::default(),
        screen,
    )
}

fn happen(bars: &Bars, tally: &mut Tally, event: &Event<'_>) {
    tally.note(event);
    bars.note(event, tally);
}

fn drawn(screen: &Screen) -> String {
    screen.0.lock().concat()
}

#[test]
fn a_bar_of_nothing_is_not_shown() {
    let (bars, mut tally, screen) = bars(true);
    bars.total("0 tags done");
    assert!(
        drawn(&screen).contains("0 tags done") && !drawn(&screen).contains('['),
        "{screen:?}"
    );
    let estimate = Estimate {
        bytes_written: 100,
        ..Estimate::default()
    };
    happen(&bars, &mut tally, &Event::Planned(estimate));
    let begun = Instant::now();
    while !drawn(&screen).contains('[') {
        assert!(begun.elapsed().as_secs() < 10, "{screen:?}");
        bars.total("0 tags done");
    }
}

#[test]
fn however_much_happens_little_is_drawn() {
    let (bars, mut tally, screen) = bars(true);
    let begun = Instant::now();
    let to: Repository = "r.example/app".parse().unwrap();
    let digest = Digest::of(b"x");
    for id in 0..2_000 {
        let event = Event::BlobBegan {
            id,
            digest: &digest,
            size: 10,
            to: &to,
        };
        happen(&bars, &mut tally, &event);
        happen(&bars, &mut tally, &Event::BlobBytes { id, bytes: 10 });
        happen(&bars, &mut tally, &Event::BlobEnded { id, is_there: true });
    }
    let tenths = begun.elapsed().as_millis() / 100;
    let most = usize::try_from(tenths).unwrap() + 30;
    let drawings = screen.0.lock().len();
    assert!(drawings <= most, "{drawings} drawings in {tenths} tenths");
    assert_eq!(bars.layers.lock().len(), 0);
}

#[test]
fn what_is_said_after_the_end_brings_no_bar_back() {
    let (bars, _, screen) = bars(true);
    bars.total("0 tags done");
    bars.say("before");
    bars.end();
    let before = drawn(&screen);
    assert!(before.contains("before"), "{before}");
    bars.say("after");
    assert_eq!(drawn(&screen), before);
}

#[test]
fn what_the_result_tells_in_the_same_place_is_not_told_before() {
    let report = TagReport {
        from: "s.example/app".parse().unwrap(),
        to: "r.example/app".parse().unwrap(),
        tag: Some("1".parse().unwrap()),
        source: None,
        destination: None,
        expected: None,
        outcome: Outcome::Gone,
        referrers: 0,
        moved_meanwhile: false,
    };
    for tells_trouble in [true, false] {
        let (bars, mut tally, screen) = bars(tells_trouble);
        happen(&bars, &mut tally, &Event::Tag(&report));
        assert_eq!(drawn(&screen).contains("gone "), tells_trouble);
    }
}
