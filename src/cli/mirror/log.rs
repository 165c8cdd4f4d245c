//! Warnings of the program's own parts, which they log: told as other warnings are, each once, and above the bars.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::progress::Console;

/// More different ones are not told.
const MOST: usize = 100;

/// Starts it. Does nothing when something is started already (tests).
pub(super) fn start(console: &Arc<Console>) {
    let warnings = Warnings {
        console: Arc::clone(console),
        told: Mutex::default(),
    };
    drop(
        tracing_subscriber::registry()
            .with(warnings.with_filter(of_own()))
            .try_init(),
    );
}

/// Whatever libraries have to say is not for users.
fn of_own() -> Targets {
    Targets::new().with_target("tagscope", LevelFilter::WARN)
}

struct Warnings {
    console: Arc<Console>,
    told: Mutex<BTreeSet<String>>,
}

impl<S: Subscriber> Layer<S> for Warnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let line = line.text();
        let mut told = self.told.lock();
        if told.len() < MOST && told.insert(line.clone()) {
            drop(told);
            self.console.warn(&line);
        }
    }
}

/// An event as a line: its message, and its fields behind it.
#[derive(Debug, Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn text(self) -> String {
        let Self { message, fields } = self;
        if fields.is_empty() {
            message
        } else {
            format!("{message} ({fields})")
        }
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let into = if field.name() == "message" {
            &mut self.message
        } else {
            let comma = if self.fields.is_empty() { "" } else { ", " };
            self.fields.push_str(comma);
            self.fields.push_str(field.name());
            self.fields.push('=');
            &mut self.fields
        };
        // A text takes all of it.
        write!(into, "{value:?}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps the lines.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut line = Line::default();
            event.record(&mut line);
            self.0.lock().push(line.text());
        }
    }

    #[test]
    fn warnings_of_ones_own_are_lines_and_nothing_else_is() {
        let kept = Kept::default();
        let subscriber = tracing_subscriber::registry().with(kept.clone().with_filter(of_own()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(error = "no such file", count = 2, "It is not there");
            tracing::error!("It broke");
            tracing::info!("It goes on");
            tracing::warn!(target: "hyper::client", "Not for users");
        });
        assert_eq!(
            *kept.0.lock(),
            ["It is not there (error=no such file, count=2)", "It broke"]
        );
    }
}
