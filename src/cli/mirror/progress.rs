//! How it goes, on standard error: bars where that is a terminal, lines where it is not, and nothing when nobody wants it.

mod bars;
mod tally;

use std::io::IsTerminal as _;
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
}

#[derive(Debug)]
enum Face {
    Quiet,
    Lines,
    Bars(Bars),
}

impl Console {
    /// Bars on a terminal, else lines; nothing when it is to be quiet.
    pub(super) fn new(is_quiet: bool) -> Self {
        let face = if is_quiet {
            Face::Quiet
        } else if std::io::stderr().is_terminal() {
            Face::Bars(Bars::new())
        } else {
            Face::Lines
        };
        Self {
            begin: Instant::now(),
            tally: Mutex::default(),
            face,
        }
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
                    super::super::tell(&summary::tag_line(report, false));
                }
            }
        }
    }
}
