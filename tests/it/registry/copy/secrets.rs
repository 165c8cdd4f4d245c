//! What is logged, reported and remembered of a copy, whether it goes well or not, has nothing secret in it.

use std::io::{self, Write};

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::fake_registry::{Auth, Fault, Image, Nth};
use crate::registry::basic;

const READER: &str = "correct-horse-battery";
const WRITER: &str = "staple-of-the-writer";

/// Keeps everything that is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Source and destination with tokens of their own, blobs behind signed addresses, uploads too.
async fn guarded() -> (World, Job) {
    let world = World::new().await;
    let sides = [(&world.source, READER), (&world.destination, WRITER)];
    for (registry, password) in sides {
        registry.set_auth(Auth::Bearer {
            username: "me".into(),
            password: password.into(),
            identity_token: None,
            anonymous: false,
        });
        registry.configure(|options| {
            options.redirects_blobs_to = Some("localhost");
            options.uploads_to = Some("localhost");
        });
    }
    world
        .source
        .add_image("team/app", "1.0", &Image::sized(1, &[3000]));
    let mut job = world.job("team/app", tag("1.0"));
    job.source.access = basic("me", READER);
    job.destinations[0].access = basic("me", WRITER);
    (world, job)
}

#[tokio::test]
async fn fault_40_nothing_secret_is_logged_reported_or_remembered() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .finish();
    let dispatch = tracing::Dispatch::new(subscriber);
    // With one alone, whether a line is logged would be weighed by the thread that comes to it first: another test's.
    let _other = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logging = tracing::dispatcher::set_default(&dispatch);
    let mut shown = String::new();
    for (is_source, method, pattern, fault) in [
        (true, Method::GET, "nothing", Fault::Status(500)),
        (true, Method::GET, "^/store", Fault::Status(403)),
        (true, Method::GET, "^/store", Fault::ResetAt(10)),
        (true, Method::GET, "^/store", Fault::WrongBytes),
        (
            true,
            Method::GET,
            "/blobs/",
            Fault::Redirect("ftp://user:pass-in-url@x/?signature=z".into()),
        ),
        (true, Method::GET, "/manifests/", Fault::Echo),
        (
            false,
            Method::POST,
            "/uploads/",
            Fault::Location("http://127.0.0.1:1/?signature=z".into()),
        ),
        (false, Method::PUT, "/store", Fault::Status(403)),
        (false, Method::PUT, "/store", Fault::ResetHead),
        (false, Method::PUT, "/store", Fault::SessionLost),
        (false, Method::PUT, "/manifests/", Fault::Echo),
    ] {
        let (world, job) = guarded().await;
        let registry = if is_source {
            &world.source
        } else {
            &world.destination
        };
        registry.on(method, pattern, Nth::Every, fault.clone());
        let done = world.run(vec![job]).await;
        let is_copied = outcomes(&done)[0].1 == Outcome::Copied;
        assert_eq!(is_copied, pattern == "nothing", "{fault:?}: {done:?}");
        if is_copied {
            assert!(world.source.count(Route::Store) > 0 && world.destination.saw("token-number"));
        }
        shown.push_str(&format!("{done:?}\n{:?}\n", world.known));
        shown.push_str(&done.report.causes().join("\n"));
    }
    let logged = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(logged.contains("An upload did not work out"), "{logged}");
    shown.push_str(&logged);
    for secret in [
        READER,
        WRITER,
        "bWU6Y29ycmVjd", // me:correct…, in base64
        "bWU6c3RhcGxl",  // me:staple…
        "token-number",
        "signature=",
        "_state=",
        "pass-in-url",
    ] {
        let lines = shown.lines().filter(|line| line.contains(secret));
        assert_eq!(lines.collect::<Vec<_>>(), [""; 0], "{secret}");
    }
}
