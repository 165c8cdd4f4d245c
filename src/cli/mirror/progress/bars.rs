//! Bars on a terminal: one for each layer on its way, of which so many are shown, and one for all of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use parking_lot::Mutex;

use super::tally::{Blob, Tally};
use crate::cli::mirror::{figures, summary};
use crate::mirror::outcome::Outcome;
use crate::registry::copy::Event;

/// More layers at once are counted, not shown.
const MOST_SHOWN: usize = 8;

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Bars {
    screen: MultiProgress,
    total: ProgressBar,
    layers: Mutex<BTreeMap<u64, ProgressBar>>,
    /// On their way, and not shown.
    hidden: AtomicUsize,
    is_dry: bool,
}

impl Bars {
    pub(super) fn new(is_dry: bool) -> Self {
        let screen = MultiProgress::new();
        let total = screen.add(ProgressBar::new(0).with_style(style("[{bar:24}] {msg}")));
        Self {
            screen,
            total,
            layers: Mutex::default(),
            hidden: AtomicUsize::new(0),
            is_dry,
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
                    bar.finish_and_clear();
                    self.screen.remove(&bar);
                }
                self.fill(tally);
            }
            // What went well is told at the end.
            Event::Tag(report) => match &report.outcome {
                Outcome::Copied | Outcome::Unchanged => {}
                Outcome::Drifted { .. }
                | Outcome::Immutable { .. }
                | Outcome::Gone
                | Outcome::NotBegun { .. }
                | Outcome::Failed { .. } => self.say(&summary::tag_line(report, self.is_dry)),
            },
            Event::Planned(_) | Event::Differs { .. } => {}
        }
        let (written, planned) = tally.bytes();
        self.total.set_length(planned);
        self.total.set_position(written);
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
        // A terminal that is gone takes nothing more, and nobody is there to be told.
        drop(self.screen.println(text));
    }

    pub(super) fn end(&self) {
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
