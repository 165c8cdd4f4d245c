//! Leases over the fake API server: one leader at a time, and nobody beside Flux.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tagscope::cluster::connect::Opening;
use tagscope::cluster::lease::election::{self, Term};
use tagscope::cluster::lease::guard::{self, Outlook, Watched};
use tagscope::cluster::lease::office;
use tagscope::object::Key;
use tagscope::task::Tasks;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::bench::clock;
use super::fake_kube::FakeKube;

const LEASES: &str = "leases";
const NAME: &str = "image-reflector-controller-leader-election";

struct Candidate {
    term: watch::Receiver<Term>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Candidate {
    fn stand(kube: &FakeKube, identity: &str) -> Self {
        let settings = election::Settings {
            namespace: "flux-system".into(),
            name: NAME.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(35),
            renew_deadline: Duration::from_secs(30),
            retry_period: Duration::from_secs(5),
            release_on_cancel: true,
        };
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let (says, term) = watch::channel(Term::Undecided);
        let until = stop.clone().cancelled_owned();
        let run = election::run(kube.client(), settings, clock(), says, until);
        let killed = tasks.shutdown().clone();
        tasks.spawn("election", async move {
            killed.run_until_cancelled(run).await;
        });
        Self { term, stop, tasks }
    }

    fn leads(&self) -> bool {
        matches!(*self.term.borrow(), Term::Ours(until) if Instant::now() < until)
    }

    async fn elected(&mut self) {
        let ours = |term: &Term| matches!(term, Term::Ours(_));
        let elected = self.term.wait_for(ours);
        let waited = tokio::time::timeout(Duration::from_mins(5), elected).await;
        drop(
            waited
                .expect("it is elected in the end")
                .expect("it still stands"),
        );
    }

    /// SIGTERM.
    fn terminate(&self) {
        self.stop.cancel();
    }

    /// SIGKILL: nothing is given up.
    fn kill(&self) {
        self.tasks.shutdown().cancel();
    }
}

fn lease(kube: &FakeKube) -> Value {
    kube.get(LEASES, "flux-system", NAME).unwrap()["spec"].clone()
}

#[tokio::test(start_paused = true)]
async fn the_lease_reads_as_client_gos_and_goes_from_hand_to_hand() {
    let kube = FakeKube::new();
    let mut one = Candidate::stand(&kube, "one");
    one.elected().await;
    let mut two = Candidate::stand(&kube, "two");
    sleep(Duration::from_mins(10)).await;
    assert!(one.leads() && !two.leads());
    assert_eq!(*two.term.borrow(), Term::Others);
    let spec = lease(&kube);
    assert_eq!(
        (
            &spec["holderIdentity"],
            &spec["leaseDurationSeconds"],
            &spec["leaseTransitions"]
        ),
        (&json!("one"), &json!(35), &json!(0))
    );
    assert_eq!(spec["acquireTime"], "2026-05-01T12:00:00.000000Z");
    assert!(
        spec["renewTime"].as_str() > Some("2026-05-01T12:09:54"),
        "{spec}"
    );

    one.terminate();
    let begin = Instant::now();
    two.elected().await;
    assert!(
        begin.elapsed() < Duration::from_secs(12),
        "{:?}",
        begin.elapsed()
    );
    let spec = lease(&kube);
    assert_eq!(
        (&spec["holderIdentity"], &spec["leaseTransitions"]),
        (&json!("two"), &json!(1))
    );
    two.terminate();
    sleep(Duration::from_secs(1)).await;
    let spec = lease(&kube);
    assert_eq!(
        (&spec["holderIdentity"], &spec["leaseDurationSeconds"]),
        (&json!(""), &json!(1)),
        "released"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_is_replaced_when_its_time_is_up_and_not_before() {
    let kube = FakeKube::new();
    let mut one = Candidate::stand(&kube, "one");
    one.elected().await;
    let mut two = Candidate::stand(&kube, "two");
    sleep(Duration::from_secs(21)).await;
    one.kill();
    let begin = Instant::now();
    two.elected().await;
    let waited = begin.elapsed().as_secs();
    assert!((30..=47).contains(&waited), "{waited} s");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_before_anybody_else_begins() {
    let kube = FakeKube::new();
    let mut one = Candidate::stand(&kube, "one");
    one.elected().await;
    let two = Candidate::stand(&kube, "two");
    sleep(Duration::from_secs(12)).await;
    // Only writes fail: both see the Lease grow old, and the second takes it as soon as it can.
    kube.refuse(Method::PUT, NAME, StatusCode::INTERNAL_SERVER_ERROR);
    let begin = Instant::now();
    let mut stopped = None;
    for _ in 0..200 {
        sleep(Duration::from_millis(500)).await;
        assert!(!(one.leads() && two.leads()));
        if stopped.is_none() && !one.leads() {
            stopped = Some(begin.elapsed());
        }
        if begin.elapsed() > Duration::from_secs(50) {
            kube.heal();
        }
    }
    let stopped = stopped.unwrap();
    assert!(
        stopped > Duration::from_secs(20) && stopped <= Duration::from_secs(31),
        "{stopped:?}"
    );
    assert!(one.leads() != two.leads(), "one of them goes on");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_finds_another_name_in_its_lease_stops_at_its_next_renewal() {
    let kube = FakeKube::new();
    let mut one = Candidate::stand(&kube, "one");
    one.elected().await;
    let spec = json!({ "holderIdentity": "flux", "renewTime": "2026-05-01T12:00:01.000000Z" });
    kube.edit(LEASES, "flux-system", NAME, json!({ "spec": spec }));
    sleep(Duration::from_secs(6)).await;
    assert!(!one.leads());
    assert_eq!(lease(&kube)["holderIdentity"], "flux", "left alone");
    one.elected().await;
    assert_eq!(lease(&kube)["leaseTransitions"], 1, "flux has gone");
}

fn look_out(kube: &FakeKube, own: Option<Key>) -> (watch::Receiver<Outlook>, Tasks) {
    let settings = guard::Settings {
        names: vec![NAME.into()],
        namespaces: vec!["flux-system".into(), "tagscope-system".into()],
        own,
        watched: Watched::Controllers,
    };
    let (saw, outlook) = watch::channel(Outlook::Unknown);
    let tasks = Tasks::new();
    tasks.spawn("lookout", guard::run(kube.client(), settings, clock(), saw));
    (outlook, tasks)
}

/// Flux's own controller: its Lease as it stands `age` after its last renewal.
fn flux(kube: &FakeKube, namespace: &str, holder: &str, age: i64) {
    let renewed: Timestamp = "2026-05-01T12:00:00Z".parse().unwrap();
    let renewed = renewed - SignedDuration::from_secs(age);
    kube.create(
        LEASES,
        namespace,
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": NAME },
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": 35, "leaseTransitions": 2,
                "renewTime": format!("{renewed:.6}"),
            },
        }),
    );
}

fn renew(kube: &FakeKube, namespace: &str, second: u64) {
    let renewed = format!(
        "2026-05-01T13:{:02}:{:02}.000000Z",
        second / 60,
        second % 60
    );
    kube.edit(
        LEASES,
        namespace,
        NAME,
        json!({ "spec": { "renewTime": renewed } }),
    );
}

fn held(outlook: &watch::Receiver<Outlook>) -> Option<String> {
    match &*outlook.borrow() {
        Outlook::Held { lease, holder } => Some(format!("{lease} {holder}")),
        Outlook::Unknown | Outlook::Clear => None,
    }
}

/// Enough for everything that needs no waiting.
async fn a_moment() {
    sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn where_nobody_else_is_nobody_waits() {
    type Prepare = fn(&FakeKube);
    let cases: [(&str, Prepare); 4] = [
        ("there is no lease", |_| {}),
        ("it was released", |kube| flux(kube, "flux-system", "", 1)),
        ("its holder died long ago", |kube| {
            flux(kube, "flux-system", "flux", 600);
        }),
        ("it is another one", |kube| {
            let spec = json!({ "holderIdentity": "x", "leaseDurationSeconds": 35 });
            let lease = json!({ "metadata": { "name": "other" }, "spec": spec });
            kube.create(LEASES, "flux-system", lease);
        }),
    ];
    for (name, prepare) in cases {
        let kube = FakeKube::new();
        prepare(&kube);
        let (outlook, _tasks) = look_out(&kube, None);
        a_moment().await;
        assert_eq!(*outlook.borrow(), Outlook::Clear, "{name}");
        sleep(Duration::from_mins(10)).await;
        assert_eq!(*outlook.borrow(), Outlook::Clear, "{name}");
        assert!(
            kube.take_asked().iter().all(|asked| !asked.is_write()),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_renewed_holds_us_back_wherever_it_is() {
    let kube = FakeKube::new();
    flux(&kube, "elsewhere", "flux-1", 3);
    let (outlook, _tasks) = look_out(&kube, None);
    a_moment().await;
    for second in 0..40 {
        assert_eq!(
            held(&outlook).as_deref(),
            Some("elsewhere/image-reflector-controller-leader-election flux-1")
        );
        renew(&kube, "elsewhere", second * 5);
        sleep(Duration::from_secs(5)).await;
    }
    // It stops; not before its time is up may anybody else begin.
    sleep(Duration::from_secs(29)).await;
    assert!(held(&outlook).is_some());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(*outlook.borrow(), Outlook::Clear);
    // It comes again, and goes in good order.
    renew(&kube, "elsewhere", 900);
    a_moment().await;
    assert!(held(&outlook).is_some());
    kube.edit(
        LEASES,
        "elsewhere",
        NAME,
        json!({ "spec": { "holderIdentity": "" } }),
    );
    a_moment().await;
    assert_eq!(*outlook.borrow(), Outlook::Clear);
    // Another one begins, in another namespace.
    flux(&kube, "flux-system", "flux-2", 0);
    a_moment().await;
    assert!(held(&outlook).unwrap().ends_with("flux-2"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_went_silent_does_not_pass_for_a_death() {
    let kube = FakeKube::new();
    flux(&kube, "flux-system", "flux", 3);
    let (outlook, _tasks) = look_out(&kube, None);
    a_moment().await;
    // Nothing new can be heard from now on, only asked for.
    kube.restart();
    kube.refuse(Method::GET, "v1/leases", StatusCode::INTERNAL_SERVER_ERROR);
    for second in 0..20 {
        renew(&kube, "flux-system", second * 5);
        sleep(Duration::from_secs(5)).await;
        assert!(held(&outlook).is_some(), "after {second} renewals");
    }
    kube.refuse(Method::GET, NAME, StatusCode::INTERNAL_SERVER_ERROR);
    sleep(Duration::from_mins(2)).await;
    assert!(held(&outlook).is_some(), "nobody can say that it has gone");
    kube.heal();
    sleep(Duration::from_mins(2)).await;
    assert_eq!(*outlook.borrow(), Outlook::Clear);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_look_everywhere_the_likely_places_are_looked_at() {
    let kube = FakeKube::new();
    kube.refuse(Method::GET, "v1/leases", StatusCode::FORBIDDEN);
    flux(&kube, "flux-system", "flux", 3);
    let (outlook, _tasks) = look_out(&kube, None);
    a_moment().await;
    assert!(held(&outlook).is_some());

    let kube = FakeKube::new();
    kube.refuse(Method::GET, "leases", StatusCode::FORBIDDEN);
    let (outlook, _tasks) = look_out(&kube, None);
    a_moment().await;
    assert_eq!(
        *outlook.borrow(),
        Outlook::Clear,
        "nothing can be known, the log says so"
    );
    kube.take_asked();
    sleep(Duration::from_hours(1)).await;
    kube.take_asked();
    sleep(Duration::from_hours(1)).await;
    let asked = kube.take_asked().len();
    assert!(
        (1..=30).contains(&asked),
        "every ten minutes at each place: {asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn our_own_lease_is_no_others() {
    let kube = FakeKube::new();
    flux(&kube, "flux-system", "us", 0);
    let (outlook, _tasks) = look_out(&kube, Some(Key::new("flux-system", NAME)));
    a_moment().await;
    assert_eq!(*outlook.borrow(), Outlook::Clear);
    flux(&kube, "elsewhere", "flux", 0);
    a_moment().await;
    assert!(held(&outlook).is_some());
}

const OUTER: &str = "tagscope-mirror";
const INNER: &str = "imagerepo-mirror.oscar-romeu.io";

/// A process that acts while it holds both Leases.
struct Pair {
    opening: watch::Receiver<Opening>,
    /// What has to hold before either is stood for.
    first: watch::Sender<Opening>,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Pair {
    fn stand(kube: &FakeKube, identity: &str) -> Self {
        let (tasks, stop) = (Tasks::new(), CancellationToken::new());
        let (first, mut opening) = watch::channel(Opening::Wide);
        for name in [OUTER, INNER] {
            let settings = election::Settings {
                namespace: "tagscope-system".into(),
                name: name.into(),
                identity: identity.into(),
                lease_duration: Duration::from_secs(35),
                renew_deadline: Duration::from_secs(30),
                retry_period: Duration::from_secs(5),
                release_on_cancel: true,
            };
            let (says, both) = watch::channel(Opening::Shut);
            let hold = office::hold(
                kube.client(),
                settings,
                clock(),
                opening,
                says,
                stop.clone(),
            );
            let killed = tasks.shutdown().clone();
            tasks.spawn("office", async move {
                killed.run_until_cancelled(hold).await;
            });
            opening = both;
        }
        Self {
            opening,
            first,
            stop,
            tasks,
        }
    }

    fn acts(&self) -> bool {
        matches!(*self.opening.borrow(), Opening::Until(until) if Instant::now() < until)
    }
}

fn holder(kube: &FakeKube, name: &str) -> String {
    let lease = kube.get(LEASES, "tagscope-system", name);
    let holder = lease.map(|lease| lease["spec"]["holderIdentity"].clone());
    holder
        .and_then(|holder| holder.as_str().map(str::to_owned))
        .unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn who_needs_two_leases_acts_with_both_and_two_never_hold_one_each() {
    let kube = FakeKube::new();
    let (one, two) = (Pair::stand(&kube, "one"), Pair::stand(&kube, "two"));
    sleep(Duration::from_mins(2)).await;
    assert!(one.acts() != two.acts());
    let (leads, other, name) = if one.acts() {
        (one, two, "one")
    } else {
        (two, one, "two")
    };
    assert_eq!(
        (holder(&kube, OUTER), holder(&kube, INNER)),
        (name.into(), name.into())
    );

    // SIGTERM: both are given up, and both are taken.
    leads.stop.cancel();
    let mut waited = 0;
    while !other.acts() {
        assert!(waited < 30, "{waited} s");
        sleep(Duration::from_secs(1)).await;
        waited += 1;
    }
    assert!(!leads.acts());
    // SIGKILL, and the next one waits for both in turn.
    other.tasks.shutdown().cancel();
    let next = Pair::stand(&kube, "next");
    for second in 0..90 {
        sleep(Duration::from_secs(1)).await;
        assert!(second > 30 || !next.acts());
    }
    assert!(next.acts());
}

#[tokio::test(start_paused = true)]
async fn losing_either_lease_is_losing_both() {
    let kube = FakeKube::new();
    let pair = Pair::stand(&kube, "tagscope");
    sleep(Duration::from_secs(20)).await;
    assert!(pair.acts());

    // imagerepo-mirror takes its Lease: somebody has edited it by hand.
    let spec = json!({ "holderIdentity": "mirror", "renewTime": "2026-05-01T12:00:01.000000Z" });
    kube.edit(LEASES, "tagscope-system", INNER, json!({ "spec": spec }));
    sleep(Duration::from_secs(6)).await;
    assert!(!pair.acts());
    assert_eq!(holder(&kube, OUTER), "tagscope", "the other one is kept");
    sleep(Duration::from_mins(2)).await;
    assert!(pair.acts(), "it was never renewed");

    // What comes before both is lost: both are given up, and stood for again when it is back.
    pair.first.send_replace(Opening::Shut);
    a_moment().await;
    assert!(!pair.acts());
    assert_eq!(
        (holder(&kube, OUTER), holder(&kube, INNER)),
        (String::new(), String::new())
    );
    sleep(Duration::from_mins(10)).await;
    assert!(!pair.acts() && holder(&kube, OUTER).is_empty());
    pair.first.send_replace(Opening::Wide);
    sleep(Duration::from_secs(20)).await;
    assert!(pair.acts());
}

/// A running imagerepo-mirror keeps the second Lease: the first is held for nothing, and nothing is done.
#[tokio::test(start_paused = true)]
async fn a_lease_that_another_program_renews_is_waited_for() {
    let kube = FakeKube::new();
    kube.create(
        LEASES,
        "tagscope-system",
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": INNER },
            "spec": { "holderIdentity": "mirror", "leaseDurationSeconds": 15, "renewTime": "2026-05-01T12:00:00.000000Z" },
        }),
    );
    let pair = Pair::stand(&kube, "tagscope");
    for second in 1..60_u64 {
        let renewed = format!("2026-05-01T12:00:{second:02}.000000Z");
        kube.edit(
            LEASES,
            "tagscope-system",
            INNER,
            json!({ "spec": { "renewTime": renewed } }),
        );
        sleep(Duration::from_secs(2)).await;
        assert!(!pair.acts());
    }
    sleep(Duration::from_mins(1)).await;
    assert!(pair.acts());
    let lease = kube.get(LEASES, "tagscope-system", INNER).unwrap();
    assert_eq!(lease["spec"]["leaseTransitions"], 1);
}
