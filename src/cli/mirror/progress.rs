//! How it goes, on standard error: bars where that is a terminal, lines where it is not, and nothing when nobody wants it.
//!
//! Where the result goes to the same place, a tag is told once: in its line as it ends, or, under bars, in the result.

mod bars;
mod tally;

use std::fs::File;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::bars::Bars;
use self::tally::Tally;
use super::summary;
use crate::registry::copy::{Event, Progress};

/// How often bars and rates are brought up to date.
const TICK: Duration = Duration::from_secs(1);
/// So many of them between two lines that say how far it is.
const TICKS_A_LINE: u64 = 10;

/// Tells whoever sits before it.
#[derive(Debug)]
pub(super) struct Console {
    begin: Instant,
    tally: Mutex<Tally>,
    face: Face,
    is_dry: bool,
    /// Whether standard output is the same file or terminal.
    is_shared: bool,
}

#[derive(Debug)]
enum Face {
    Quiet,
    Lines,
    Bars(Bars),
}

impl Console {
    /// Bars on a terminal, else lines; nothing when it is to be quiet.
    pub(super) fn new(is_quiet: bool, is_dry: bool) -> Self {
        let is_shared = is_one_place();
        let face = if is_quiet {
            Face::Quiet
        } else if std::io::stderr().is_terminal() {
            Face::Bars(Bars::new(is_dry, !is_shared))
        } else {
            Face::Lines
        };
        Self {
            begin: Instant::now(),
            tally: Mutex::default(),
            face,
            is_dry,
            is_shared,
        }
    }

    /// Whether every tag has a line already where the result goes.
    pub(super) fn has_told_tags(&self) -> bool {
        self.is_shared && matches!(self.face, Face::Lines)
    }

    /// Since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Brings rates, bars and lines up to date, for as long as it runs.
    pub(super) async fn keep_up(&self) {
        let mut ticks = tokio::time::interval(TICK);
        let mut told = String::new();
        for tick in 0_u64.. {
            ticks.tick().await;
            let line = {
                let mut tally = self.tally.lock();
                tally.sample(self.elapsed());
                tally.line()
            };
            match &self.face {
                Face::Bars(bars) => bars.total(&line),
                // What has not changed is not told again.
                Face::Lines if tick % TICKS_A_LINE == TICKS_A_LINE - 1 && line != told => {
                    super::super::tell(&line);
                    told = line;
                }
                Face::Quiet | Face::Lines => {}
            }
        }
    }

    /// Says something besides, above the bars.
    pub(super) fn say(&self, text: &str) {
        match &self.face {
            Face::Bars(bars) => bars.say(text),
            Face::Quiet | Face::Lines => super::super::tell(text),
        }
    }

    /// Says something that is worth knowing but stops nothing. It stays on its line, and moves no cursor.
    pub(super) fn warn(&self, text: &str) {
        self.say(&format!("tagscope: warning: {}", summary::one_line(text)));
    }

    /// Takes the bars away.
    pub(super) fn end(&self) {
        match &self.face {
            Face::Bars(bars) => bars.end(),
            Face::Quiet | Face::Lines => {}
        }
    }
}

impl Progress for Console {
    fn happened(&self, event: Event<'_>) {
        let mut tally = self.tally.lock();
        tally.note(&event);
        match &self.face {
            Face::Quiet => {}
            Face::Bars(bars) => {
                bars.note(&event, &tally);
            }
            Face::Lines => {
                if let Event::Tag(report) = event {
                    drop(tally);
                    super::super::tell(&summary::tag_line(report, self.is_dry));
                }
            }
        }
    }
}

/// Whether standard output and standard error are one file, pipe or terminal.
fn is_one_place() -> bool {
    let of = |it: std::io::Result<std::os::fd::OwnedFd>| {
        let found = File::from(it.ok()?).metadata().ok()?;
        Some((found.dev(), found.ino()))
    };
    let out = of(std::io::stdout().as_fd().try_clone_to_owned());
    let err = of(std::io::stderr().as_fd().try_clone_to_owned());
    out.is_some() && out == err
}
