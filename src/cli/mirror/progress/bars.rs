//! Bars on a terminal: one for each layer on its way, of which so many are shown, and one for all of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::tally::{Blob, Tally};
use crate::cli::mirror::{figures, summary};
use crate::mirror::outcome::Outcome;
use crate::registry::copy::Event;

/// More layers at once are counted, not shown.
const MOST_SHOWN: usize = 8;
/// The screen is drawn so often a second at most, but for lines above the bars.
const DRAWN_A_SECOND: u8 = 10;

/// Of all of it, once it is known how much that is; a bar of nothing looks full.
const TOTAL: &str = "[{bar:24}] {msg}";
const NOTHING_YET: &str = "{msg}";

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    layers: Mutex<BTreeMap<u64, ProgressBar>>,
    /// On their way, and not shown.
    hidden: AtomicUsize,
    has_total: AtomicBool,
    /// The bars are gone, and what is said now would bring them back.
    is_over: AtomicBool,
    is_dry: bool,
    /// Whether what did not go well is told at once: the result does not tell it in the same place.
    tells_trouble: bool,
}

impl Bars {
    pub(super) fn new(is_dry: bool, tells_trouble: bool) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWN_A_SECOND);
        Self::on(target, is_dry, tells_trouble)
    }

    fn on(target: ProgressDrawTarget, is_dry: bool, tells_trouble: bool) -> Self {
        let screen = MultiProgress::with_draw_target(target);
        let total = screen.add(ProgressBar::new(0).with_style(style(NOTHING_YET)));
        Self {
            screen,
            total,
            layers: Mutex::default(),
            hidden: AtomicUsize::new(0),
            has_total: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            is_dry,
            tells_trouble,
        }
    }

    pub(super) fn note(&self, event: &Event<'_>, tally: &Tally) {
        match event {
            Event::BlobBegan { .. } => self.fill(tally),
            Event::BlobBytes { id, .. } | Event::BlobAgain { id } => {
                if let (Some(bar), Some(blob)) = (self.layers.lock().get(id), tally.open().get(id))
                {
                    show(bar, blob);
                }
            }
            Event::BlobEnded { id, .. } => {
                let ended = self.layers.lock().remove(id);
                if let Some(bar) = ended {
                    // Its line goes with the next drawing: to finish it would draw at once.
                    self.screen.remove(&bar);
                }
                self.fill(tally);
            }
            Event::Tag(_) if !self.tells_trouble => {}
            // What went well is told at the end.
            Event::Tag(report) => match &report.outcome {
                Outcome::Copied | Outcome::Unchanged => {}
                Outcome::Drifted { .. }
                | Outcome::Immutable { .. }
                | Outcome::Gone
                | Outcome::NotBegun { .. }
                | Outcome::Failed { .. } => self.say(&summary::tag_line(report, self.is_dry)),
            },
            Event::Planned(_) | Event::Differs { .. } | Event::Written(_) => {}
        }
        let (written, planned) = tally.bytes();
        if planned > 0 {
            if !self.has_total.swap(true, Ordering::Relaxed) {
                self.total.set_style(style(TOTAL));
            }
            self.total.set_length(planned);
            self.total.set_position(written);
        }
    }

    /// What the last line says.
    pub(super) fn total(&self, line: &str) {
        let hidden = self.hidden.load(Ordering::Relaxed);
        let more = if hidden > 0 {
            format!(", {hidden} more layers on their way")
        } else {
            String::new()
        };
        self.total.set_message(format!("{line}{more}"));
    }

    pub(super) fn say(&self, text: &str) {
        if self.is_over.load(Ordering::Relaxed) {
            crate::cli::tell(text);
            return;
        }
        // A terminal that is gone takes nothing more, and nobody is there to be told.
        drop(self.screen.println(text));
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.screen.clear());
    }

    /// Shows what is on its way, the oldest first, while there is room.
    fn fill(&self, tally: &Tally) {
        let mut layers = self.layers.lock();
        for (id, blob) in tally.open() {
            if layers.len() >= MOST_SHOWN {
                break;
            }
            layers.entry(*id).or_insert_with(|| {
                let bar = ProgressBar::new(blob.size).with_style(style(" {bar:20} {msg}"));
                let bar = self.screen.insert_before(&self.total, bar);
                show(&bar, blob);
                bar
            });
        }
        let hidden = tally.open().len().saturating_sub(layers.len());
        self.hidden.store(hidden, Ordering::Relaxed);
    }
}

fn show(bar: &ProgressBar, blob: &Blob) {
    bar.set_position(blob.written);
    bar.set_message(format!(
        "{} of {}  {}",
        figures::bytes(blob.written),
        figures::bytes(blob.size),
        blob.name
    ));
}

/// One of the templates above, which are well formed.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests;
