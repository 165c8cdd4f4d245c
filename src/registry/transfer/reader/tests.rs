//! The reader against sources that break off, lie, dawdle and overrun, and against feeds that nobody empties.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use super::*;
use crate::image::{Algorithm, Digest, Hasher};
use crate::registry::transfer::feed::ROOM;

/// What one opening does.
#[derive(Debug, Clone)]
enum Script {
    /// Sends from the offset on, breaks off after so many bytes.
    Breaks(u64),
    /// Ends after so many bytes.
    Ends(u64),
    /// Sends everything from the beginning, whatever was asked.
    Whole,
    /// Is not opened.
    Refuses(Error),
    /// Sends a byte at a time, so long apart.
    Drips(Duration),
    /// Sends what it should.
    Good,
}

/// `content` repeated; the openings by script, and good ones after that.
#[derive(Debug)]
struct Fake {
    content: Content,
    scripts: Mutex<VecDeque<Script>>,
    openings: Mutex<Vec<u64>>,
    /// What is sent beyond or below the size.
    sent: u64,
}

#[derive(Debug, Clone)]
enum Content {
    Bytes(Bytes),
    /// This one for ever.
    Repeated(Bytes),
}

impl Content {
    fn at(&self, offset: u64) -> Bytes {
        match self {
            Self::Bytes(bytes) => {
                let begin = usize::try_from(offset).unwrap();
                bytes.slice(begin..bytes.len().min(begin + 1000))
            }
            Self::Repeated(piece) => {
                piece.slice(usize::try_from(offset % length(piece)).unwrap()..)
            }
        }
    }
}

struct FakePieces {
    offset: u64,
    at: u64,
    end: u64,
    breaks: bool,
    drip: Option<Duration>,
    content: Content,
}

fn broken() -> Error {
    Error::Broken {
        host: "r.example".to_owned(),
        cause: "reset".to_owned(),
    }
}

fn status(status: u16) -> Error {
    Error::Status {
        host: "r.example".to_owned(),
        status: StatusCode::from_u16(status).unwrap(),
        asked: "GET".to_owned(),
        detail: String::new(),
    }
}

impl Source for Fake {
    type Pieces = FakePieces;

    fn host(&self) -> &'static str {
        "r.example"
    }

    fn repository(&self) -> &'static str {
        "team/app"
    }

    async fn open(
        &self,
        _: &Descriptor,
        offset: u64,
        _: Option<Permit>,
    ) -> Result<FakePieces, Error> {
        self.openings.lock().push(offset);
        let script = self.scripts.lock().pop_front().unwrap_or(Script::Good);
        let mut pieces = FakePieces {
            offset,
            at: offset,
            end: self.sent,
            breaks: false,
            drip: None,
            content: self.content.clone(),
        };
        match script {
            Script::Breaks(bytes) => {
                pieces.end = offset + bytes;
                pieces.breaks = true;
            }
            Script::Ends(bytes) => pieces.end = offset + bytes,
            Script::Whole => (pieces.offset, pieces.at) = (0, 0),
            Script::Refuses(error) => return Err(error),
            Script::Drips(apart) => pieces.drip = Some(apart),
            Script::Good => {}
        }
        Ok(pieces)
    }
}

impl Pieces for FakePieces {
    fn offset(&self) -> u64 {
        self.offset
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if self.at >= self.end {
            return if self.breaks { Err(broken()) } else { Ok(None) };
        }
        let mut piece = self.content.at(self.at);
        let most = if let Some(apart) = self.drip {
            tokio::time::sleep(apart).await;
            1
        } else {
            usize::try_from(self.end - self.at).unwrap()
        };
        piece.truncate(most);
        self.at += length(&piece);
        Ok(Some(piece))
    }
}

fn content(size: usize) -> Bytes {
    let mut state = 1_u32;
    let bytes = (0..size).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    bytes.collect()
}

fn descriptor(content: &Bytes) -> Descriptor {
    Descriptor {
        media_type: String::new(),
        digest: Digest::of(content),
        size: length(content),
    }
}

fn fake(content: &Bytes, scripts: impl IntoIterator<Item = Script>) -> Fake {
    Fake {
        sent: length(content),
        content: Content::Bytes(content.clone()),
        scripts: Mutex::new(scripts.into_iter().collect()),
        openings: Mutex::default(),
    }
}

fn begin() -> Cursor {
    Cursor {
        offset: 0,
        hasher: Hasher::new(Algorithm::Sha256),
        feed_from: 0,
    }
}

/// Reads `blob` into one feed that is emptied at once: what came through, or why it broke off and after how many bytes.
async fn read(source: &Fake, blob: &Descriptor, cursor: Cursor) -> Result<Bytes, (Error, u64)> {
    let feed = Feed::new();
    let reading = Reading {
        source,
        blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|_| {},
    };
    let body = feed.body(blob.size - cursor.feed_from).collect();
    let ((), body) = futures::join!(reading.read(cursor, vec![Arc::clone(&feed)]), body);
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(_) => Err((feed.failure().unwrap(), feed.taken())),
    }
}

#[tokio::test(start_paused = true)]
async fn fault_01_a_source_that_breaks_off_is_asked_for_the_rest() {
    let content = content(10_000);
    for (scripts, openings) in [
        (vec![Script::Breaks(3500)], vec![0, 3500]),
        (vec![Script::Ends(3500)], vec![0, 3500]),
        (
            vec![Script::Breaks(1), Script::Breaks(0), Script::Breaks(9998)],
            vec![0, 1, 1, 9999],
        ),
        (
            vec![Script::Refuses(status(503)), Script::Breaks(7)],
            vec![0, 0, 7],
        ),
        (vec![Script::Breaks(10_000)], vec![0]),
    ] {
        let source = fake(&content, scripts);
        let found = read(&source, &descriptor(&content), begin()).await;
        assert_eq!(found.unwrap(), content);
        assert_eq!(*source.openings.lock(), openings);
    }
}

#[tokio::test(start_paused = true)]
async fn fault_01_without_progress_it_ends() {
    let content = content(1 << 20);
    let source = fake(&content, (0..9).map(|_| Script::Breaks(100)));
    let (error, _) = read(&source, &descriptor(&content), begin())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert_eq!(source.openings.lock().len(), 6);
    // With progress it goes on for as long as it takes.
    let source = fake(&content, (0..12).map(|_| Script::Breaks(80 << 10)));
    let found = read(&source, &descriptor(&content), begin()).await;
    assert_eq!(found.unwrap(), content);
}

#[tokio::test(start_paused = true)]
async fn fault_03_and_04_the_last_piece_of_what_is_wrong_is_never_sent() {
    let right = content(10_000);
    let mut wrong = right.to_vec();
    wrong[5000] ^= 1;
    let wrong = Bytes::from(wrong);
    let (error, taken) = read(&fake(&wrong, []), &descriptor(&right), begin())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(taken < 10_000, "{taken}");

    let longer = content(10_001);
    for longer_by in [1, 1000] {
        let mut source = fake(&longer, []);
        source.sent = 10_000 + longer_by.min(1);
        let (error, taken) = read(&source, &descriptor(&right), begin())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.to_string().contains("longer"), "{error}");
        assert!(taken < 10_000, "{taken}");
    }
}

#[tokio::test(start_paused = true)]
async fn fault_07_a_source_without_parts_is_read_from_the_beginning() {
    let content = content(10_000);
    let integrity = Error::Integrity {
        host: "r.example".to_owned(),
        what: "part".to_owned(),
        cause: "shifted".to_owned(),
    };
    for (scripts, openings) in [
        (vec![Script::Breaks(3500), Script::Whole], vec![0, 3500]),
        (
            vec![Script::Breaks(3500), Script::Refuses(status(416))],
            vec![0, 3500, 0],
        ),
        (
            vec![Script::Breaks(3500), Script::Refuses(integrity)],
            vec![0, 3500, 0],
        ),
    ] {
        let source = fake(&content, scripts);
        let found = read(&source, &descriptor(&content), begin()).await;
        assert_eq!(found.unwrap(), content);
        assert_eq!(*source.openings.lock(), openings);
    }
    // At the beginning there is no other way.
    let source = fake(&content, [Script::Refuses(status(416))]);
    let (error, _) = read(&source, &descriptor(&content), begin())
        .await
        .unwrap_err();
    assert_eq!(error, status(416));
}

#[tokio::test(start_paused = true)]
async fn fault_15_drops_for_a_minute_are_a_break() {
    let content = content(100_000);
    let drips = Script::Drips(Duration::from_secs(3));
    let source = fake(&content, [drips.clone()]);
    let found = read(&source, &descriptor(&content), begin()).await;
    assert_eq!(found.unwrap(), content);
    assert_eq!(source.openings.lock().len(), 2);
    // Never again and again.
    let source = fake(&content, (0..100).map(|_| drips.clone()));
    let begun = Instant::now();
    let (error, _) = read(&source, &descriptor(&content), begin())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Transport);
    assert!(begun.elapsed() < Duration::from_mins(10));
}

#[tokio::test(start_paused = true)]
async fn what_the_destination_has_is_read_for_the_hash_alone() {
    let content = content(10_000);
    let source = fake(&content, []);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&content[..4000]);
    let cursor = Cursor {
        offset: 4000,
        hasher,
        feed_from: 6100,
    };
    let found = read(&source, &descriptor(&content), cursor).await;
    assert_eq!(found.unwrap(), content.slice(6100..));
    assert_eq!(*source.openings.lock(), [4000]);
}

fn large(megabytes: u64) -> (Fake, Descriptor) {
    let piece = Bytes::from(vec![3; 1 << 20]);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    for _ in 0..megabytes {
        hasher.update(&piece);
    }
    large_of(megabytes, hasher.finish())
}

/// So many times a megabyte of threes, whose digest is known.
fn large_of(megabytes: u64, digest: Digest) -> (Fake, Descriptor) {
    let piece = Bytes::from(vec![3; 1 << 20]);
    let blob = Descriptor {
        media_type: String::new(),
        digest,
        size: megabytes << 20,
    };
    let source = Fake {
        content: Content::Repeated(piece),
        scripts: Mutex::default(),
        openings: Mutex::default(),
        sent: blob.size,
    };
    (source, blob)
}

#[tokio::test(start_paused = true)]
async fn a_quarter_of_a_gigabyte_goes_through_a_megabyte() {
    // Hashed once is enough for a test.
    let digest = "sha256:943e54d190948644c0776837afae0ddf08ea53f996ef32fc5593c5539ea66fcc";
    let (source, blob) = large_of(256, digest.parse().unwrap());
    let feeds = vec![Feed::new(), Feed::new()];
    let counted = AtomicU64::new(0);
    let reading = Reading {
        source: &source,
        blob: &blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|bytes| {
            counted.fetch_add(bytes, Ordering::Relaxed);
        },
    };
    let drain = |feed: Arc<Feed>| {
        let mut body = feed.body(blob.size);
        async move {
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                bytes += length(frame.unwrap().data_ref().unwrap());
                // The network's turn.
                tokio::task::yield_now().await;
            }
            bytes
        }
    };
    let drains = feeds.iter().cloned().map(drain);
    let ((), taken) = futures::join!(reading.read(begin(), feeds.clone()), join_all(drains));
    assert_eq!(taken, [blob.size, blob.size]);
    assert_eq!(counted.load(Ordering::Relaxed), blob.size, "read once");
    assert_eq!(*source.openings.lock(), [0]);
    for feed in feeds {
        assert!(feed.most() <= ROOM, "{}", feed.most());
        assert!(feed.most() > ROOM / 2, "it is used");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_holds_up_the_others_reads_on_its_own() {
    let (source, blob) = large(8);
    let (quick, slow) = (Feed::new(), Feed::new());
    let reading = Reading {
        source: &source,
        blob: &blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|_| {},
    };
    let body = quick.body(blob.size).collect();
    let feeds = vec![Arc::clone(&quick), Arc::clone(&slow)];
    let ((), body) = futures::join!(reading.read(begin(), feeds), body);
    assert_eq!(length(&body.unwrap().to_bytes()), blob.size);
    // It has what fits; the rest comes from a reader of its own, which goes on with the same hash.
    let cursor = slow.take_detached().unwrap();
    assert_eq!(cursor.offset, 1 << 20);
    let own = reading.read(cursor, vec![Arc::clone(&slow)]);
    let ((), body) = futures::join!(own, slow.body(blob.size).collect());
    assert_eq!(length(&body.unwrap().to_bytes()), blob.size);
    assert_eq!(*source.openings.lock(), [0, 1 << 20]);
}

#[tokio::test(start_paused = true)]
async fn nobody_to_read_for_is_the_end() {
    let (source, blob) = large(8);
    let feed = Feed::new();
    let reading = Reading {
        source: &source,
        blob: &blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|_| {},
    };
    let leave = async {
        feed.body(blob.size).frame().await.unwrap().unwrap();
        feed.close();
    };
    futures::join!(reading.read(begin(), vec![Arc::clone(&feed)]), leave);
    assert!(feed.failure().is_none() && feed.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_source_is_not_kept_open_for_whoever_takes_nothing() {
    let (source, blob) = large(8);
    let feed = Feed::new();
    let reading = Reading {
        source: &source,
        blob: &blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|_| {},
    };
    let late = async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        feed.body(blob.size).collect().await.unwrap().to_bytes()
    };
    let ((), body) = futures::join!(reading.read(begin(), vec![Arc::clone(&feed)]), late);
    assert_eq!(length(&body), blob.size);
    let openings = source.openings.lock().clone();
    assert!(
        openings.len() == 2 && openings[1] >= 1 << 20,
        "{openings:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn fault_15_a_slow_destination_is_read_for_in_one_go_as_long_as_it_takes_anything() {
    for (apart, is_one) in [(20, true), (59, true), (90, false)] {
        let (source, blob) = large(8);
        let feed = Feed::new();
        let reading = Reading {
            source: &source,
            blob: &blob,
            limiters: &[],
            patience: Patience::default(),
            place: Mutex::default(),
            on_read: &|_| {},
        };
        let trickle = async {
            let mut body = feed.body(blob.size);
            let mut bytes = 0;
            while let Some(frame) = body.frame().await {
                bytes += length(frame.unwrap().data_ref().unwrap());
                tokio::time::sleep(Duration::from_secs(apart)).await;
            }
            bytes
        };
        let ((), taken) = futures::join!(reading.read(begin(), vec![Arc::clone(&feed)]), trickle);
        assert_eq!(taken, blob.size);
        assert_eq!(source.openings.lock().len() == 1, is_one, "{apart}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_begin_does_not_keep_the_others_for_long() {
    let (source, blob) = large(8);
    let (ready, late) = (Feed::awaited(), Feed::awaited());
    let reading = Reading {
        source: &source,
        blob: &blob,
        limiters: &[],
        patience: Patience::default(),
        place: Mutex::default(),
        on_read: &|_| {},
    };
    let begun = Instant::now();
    let body = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(source.openings.lock().is_empty(), "for nobody");
        ready.begin();
        let body = ready.body(blob.size).collect().await.unwrap();
        (body.to_bytes(), begun.elapsed())
    };
    let feeds = vec![Arc::clone(&ready), Arc::clone(&late)];
    let ((), (body, took)) = futures::join!(reading.read(begin(), feeds), body);
    assert_eq!(length(&body), blob.size);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(late.take_detached().unwrap().offset, 1 << 20);
    // Who is only a little late is waited for.
    let feeds = [Feed::awaited(), Feed::awaited()];
    let bodies = feeds
        .clone()
        .into_iter()
        .zip([1, 2])
        .map(|(feed, seconds)| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            feed.begin();
            feed.body(8 << 20).collect().await.unwrap().to_bytes().len()
        });
    let reading = reading.read(begin(), feeds.to_vec());
    let ((), taken) = futures::join!(reading, join_all(bodies));
    assert_eq!(taken, [8 << 20; 2]);
    assert_eq!(*source.openings.lock(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_of_an_empty_blob() {
    let empty = Bytes::new();
    let source = fake(&empty, []);
    let found = read(&source, &descriptor(&empty), begin()).await;
    assert_eq!(found.unwrap(), empty);
    assert!(source.openings.lock().is_empty());
}
