//! Log lines. As JSON each is one flat object, `{"level":…,"ts":…,"msg":…}` with every field beside them:
//! the contract that `flux logs` and Flux's dashboards read (users of theirs keep their tools).
//!
//! Never put a secret, token, signed URL or body into a field: nothing here could tell.

use std::fmt;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::SharedClock;
use crate::config::settings::{Log, LogEncoding, LogLevel};

/// Starts logging to standard error. The environment variable `TAGSCOPE_LOG` (tracing's filter grammar) overrides the level.
///
/// Does nothing when logging was started before (tests).
pub fn start(log: Log, clock: SharedClock) {
    let level = match log.level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Error => "error",
    };
    let default = format!(
        "{level},hyper=info,h2=info,rustls=info,reqwest=info,tower=info,kube_runtime=error,kube_client=error"
    );
    let filter =
        EnvFilter::try_from_env("TAGSCOPE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match log.encoding {
        LogEncoding::Json => lines
            .fmt_fields(JsonFields)
            .event_format(FlatJson { clock })
            .try_init(),
        LogEncoding::Console => lines.with_target(false).try_init(),
    };
    // Already started: the first one stays.
    drop(started);
}

/// One flat JSON object per event: the spans' fields from the outermost in, then the event's own.
struct FlatJson {
    clock: SharedClock,
}

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Map::new();
        line.insert("level".into(), level_word(*event.metadata().level()).into());
        line.insert("ts".into(), format!("{:.3}", self.clock.now()).into());
        line.insert("msg".into(), Value::Null);
        let spans = context
            .event_scope()
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root);
        for span in spans {
            let extensions = span.extensions();
            let fields = extensions.get::<tracing_subscriber::fmt::FormattedFields<N>>();
            if let Some(Ok(Value::Object(fields))) =
                fields.map(|fields| serde_json::from_str(fields))
            {
                line.extend(fields);
            }
        }
        event.record(&mut JsonVisitor(&mut line));
        let message = line.remove("message").unwrap_or_else(|| "".into());
        line.insert("msg".into(), message);
        name_object(&mut line);
        keep_contract(&mut line);
        let text = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

/// The object under its kind's name, as Flux's controllers have it besides `name` and `namespace`.
fn name_object(line: &mut Map<String, Value>) {
    if let (Some(Value::String(kind)), Some(name), Some(namespace)) = (
        line.get("controllerKind"),
        line.get("name"),
        line.get("namespace"),
    ) {
        let object = serde_json::json!({ "name": name, "namespace": namespace });
        line.insert(kind.clone(), object);
    }
}

/// `flux logs` stops reading a pod at the first line in which one of these is no string.
fn keep_contract(line: &mut Map<String, Value>) {
    for field in STRINGS {
        if let Some(value) = line.get_mut(field)
            && !value.is_string()
        {
            *value = value.to_string().into();
        }
    }
}

/// The fields that `flux logs` reads, besides those that are always strings here.
const STRINGS: [&str; 7] = [
    "msg",
    "error",
    "logger",
    "reconciler kind",
    "controllerKind",
    "name",
    "namespace",
];

/// Flux has no warnings: they are errors that healed, and belong to `info`.
fn level_word(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::TRACE => "trace",
        tracing::Level::DEBUG => "debug",
        tracing::Level::INFO | tracing::Level::WARN => "info",
        tracing::Level::ERROR => "error",
    }
}

/// Keeps a span's fields as a JSON object, ready to be merged into its events' lines.
struct JsonFields;

impl<'writer> FormatFields<'writer> for JsonFields {
    fn format_fields<R: tracing_subscriber::field::RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        let mut object = Map::new();
        fields.record(&mut JsonVisitor(&mut object));
        writer.write_str(&serde_json::to_string(&object).map_err(|_| fmt::Error)?)
    }

    fn add_fields(
        &self,
        current: &'writer mut tracing_subscriber::fmt::FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let mut object =
            serde_json::from_str::<Map<String, Value>>(&current.fields).unwrap_or_default();
        fields.record(&mut JsonVisitor(&mut object));
        current.fields = serde_json::to_string(&object).map_err(|_| fmt::Error)?;
        Ok(())
    }
}

struct JsonVisitor<'a>(&'a mut Map<String, Value>);

impl Visit for JsonVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0
            .insert(field.name().into(), format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let text = crate::cluster::with_causes(value);
        self.0.insert(field.name().into(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::clock::HandClock;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_reads_as_flux_logs_reads_it() {
        let lines = Lines::default();
        let clock = Arc::new(HandClock::at("2026-01-02T03:04:05.678Z".parse().unwrap()));
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(lines.clone())
            .fmt_fields(JsonFields)
            .event_format(FlatJson { clock })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!(
                "reconcile",
                controller = "imagerepository",
                controllerKind = "ImageRepository",
                name = "podinfo",
                namespace = "apps",
            );
            let _inside = span.enter();
            let error: &(dyn std::error::Error + 'static) = &io::Error::other("boom");
            tracing::error!(error, tags = 3, "Scan failed");
            tracing::trace!(error = 7, logger = true);
        });
        let text = String::from_utf8(lines.0.lock().clone()).unwrap();
        let read: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            read[1],
            serde_json::json!({
                "level": "trace", "ts": "2026-01-02T03:04:05.678Z", "msg": "",
                "controller": "imagerepository", "controllerKind": "ImageRepository",
                "name": "podinfo", "namespace": "apps",
                "ImageRepository": { "name": "podinfo", "namespace": "apps" },
                "error": "7", "logger": "true",
            })
        );
        assert_eq!(
            read[0],
            serde_json::json!({
                "level": "error", "ts": "2026-01-02T03:04:05.678Z", "msg": "Scan failed",
                "controller": "imagerepository", "controllerKind": "ImageRepository",
                "name": "podinfo", "namespace": "apps",
                "ImageRepository": { "name": "podinfo", "namespace": "apps" },
                "error": "boom", "tags": 3,
            })
        );
    }
}
