//! `tagscope mirror -f ... --prune`: what mirrors with spec.prune created and nobody wants any more, told, and deleted with `--yes`.
//!
//! What is owned is in a ledger in the state directory, kept by every run of such documents; without it nothing is deleted. The rules
//! are `mirror::prune`'s; in the place of a status that tells before stands whoever says yes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::super::FAILED;
use super::figures;
use super::order::{Order, Suspended};
use super::progress::Console;
use crate::image::{Repository, Tag};
use crate::mirror::canonical;
use crate::mirror::known::Known;
use crate::mirror::ledger::{Ledger, Parties};
use crate::mirror::outcome::{Report, TagReport, Written};
use crate::mirror::prune::{Doubt, MOST_DELETIONS, Part, Rules, Sight, held, part};
use crate::object::Key;
use crate::registry::Client;
use crate::registry::copy::{Job, Place};
use crate::registry::remote::{Intent, Remote};
use crate::registry::sweep::{self, Unended, sweep_all};
use crate::state::{self, LedgerFile, State};

/// Exit code where the rules forbid to delete what would be deleted.
const REFUSED: u8 = 2;
/// So many tags of a kind are told.
const MOST_LINES: usize = 200;

/// What is asked for.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Pruning {
    /// Say which tags would be deleted of mirrors with spec.prune: those that they created and nobody wants any more
    #[arg(
        long,
        requires = "file",
        conflicts_with_all = ["dry_run", "no_state"],
        help_heading = "Documents"
    )]
    prune: bool,
    /// Delete them
    #[arg(long, requires = "prune", help_heading = "Documents")]
    yes: bool,
}

/// A destination repository.
#[derive(Debug)]
struct Target {
    place: Place,
    source: Repository,
    /// How many jobs copy there.
    jobs: usize,
    /// Who copies there, and by which jobs.
    mirrors: BTreeMap<Key, BTreeSet<usize>>,
    /// Who does not now, and may have.
    suspended: Option<Key>,
    /// None: one of those who copy there does not prune.
    rules: Option<Rules>,
    /// Whether anybody does.
    is_pruned: bool,
}

impl Target {
    fn remote(&self, client: &Client) -> Remote {
        let Place { repository, access } = &self.place;
        client.remote(repository.clone(), access.clone(), Intent::Write)
    }
}

/// All of them, by their one name.
#[derive(Debug, Default)]
pub(super) struct Targets(BTreeMap<Repository, Target>);

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Pruned {
    is_asked: bool,
    has_yes: bool,
    /// Whether any mirror prunes.
    is_any: bool,
    owned: usize,
    deleted: Vec<String>,
    planned: Vec<String>,
    waiting: Vec<String>,
    moved: Vec<String>,
    refused: Vec<String>,
    failed: Vec<String>,
}

impl Targets {
    /// Where `jobs` copy to, which `orders` are made to.
    pub(super) fn of(orders: &[Order], jobs: &[Job], suspended: &[Suspended]) -> Self {
        let mut targets: BTreeMap<_, Target> = BTreeMap::new();
        for (number, (order, job)) in orders.iter().zip(jobs).enumerate() {
            for place in &job.destinations {
                let name = canonical::repository(&place.repository).into_owned();
                let target = targets.entry(name).or_insert_with(|| Target {
                    place: place.clone(),
                    source: job.source.repository.clone(),
                    jobs: 0,
                    mirrors: BTreeMap::new(),
                    suspended: None,
                    rules: order.prune,
                    is_pruned: false,
                });
                target.jobs += 1;
                if let Some(mirror) = &order.mirror {
                    let numbers = target.mirrors.entry(mirror.clone()).or_default();
                    numbers.insert(number);
                }
                target.is_pruned |= order.prune.is_some();
                target.rules = match (target.rules, order.prune) {
                    (Some(one), Some(other)) => Some(one.and(other)),
                    (_, _) => None,
                };
            }
        }
        for (name, target) in &mut targets {
            let copies_there = |it: &&Suspended| match &it.to {
                Some(to) => to.iter().any(|to| *canonical::repository(to) == *name),
                None => true,
            };
            let found = suspended.iter().find(copies_there);
            target.suspended = found.map(|suspended| suspended.mirror.clone());
        }
        Self(targets)
    }

    fn pruned(&self) -> impl Iterator<Item = &Target> {
        self.0.values().filter(|target| target.is_pruned)
    }

    /// Whether anything is copied by a document, which others may meet again.
    fn has_mirrors(&self) -> bool {
        self.0.values().any(|target| !target.mirrors.is_empty())
    }

    /// Who wants what there, by what the run has selected.
    fn parties(&self, report: &Report) -> Parties {
        let of_target = |target: &Target| {
            let of_mirror = |numbers: &BTreeSet<usize>| {
                let looks = report.looks.iter();
                let looks = looks.filter(|look| numbers.contains(&look.job));
                looks.flat_map(|look| look.selected.clone()).collect()
            };
            let mirrors = target.mirrors.iter();
            mirrors
                .map(|(mirror, numbers)| (mirror.clone(), of_mirror(numbers)))
                .collect()
        };
        let targets = self.0.iter();
        targets
            .map(|(name, target)| (name.clone(), of_target(target)))
            .collect()
    }

    /// What of a report is about those where somebody prunes: what is written elsewhere is nobody's.
    fn report(&self, report: &Report) -> Report {
        let is_ours = |to: &Repository| {
            let target = self.0.get(&*canonical::repository(to));
            target.is_some_and(|target| target.is_pruned)
        };
        let tags = report.tags.iter().filter(|tag| is_ours(&tag.to));
        let written = report.written.iter().filter(|written| is_ours(&written.to));
        Report {
            tags: tags.cloned().collect::<Vec<TagReport>>(),
            written: written.cloned().collect::<Vec<Written>>(),
            ..Report::default()
        }
    }
}

/// What is at hand when everything is copied.
#[derive(Debug)]
pub(super) struct After<'a> {
    pub(super) client: &'a Client,
    pub(super) state: Option<Arc<State>>,
    pub(super) known: &'a Known,
    pub(super) report: &'a Report,
    pub(super) now: Timestamp,
    pub(super) cancel: &'a CancellationToken,
    pub(super) console: &'a Console,
}

/// Notes what was copied, and tells or deletes what may go.
pub(super) async fn run(targets: &Targets, after: After<'_>, flags: Pruning) -> Pruned {
    let mut pruned = Pruned {
        is_asked: flags.prune,
        has_yes: flags.yes,
        is_any: targets.pruned().next().is_some(),
        ..Pruned::default()
    };
    // Where others own something, they hear that it is wanted; a ledger is not begun for that.
    let has_ledger = |state: &Arc<State>| LedgerFile::is_in(state);
    let is_heard = || targets.has_mirrors() && after.state.as_ref().is_some_and(has_ledger);
    if !pruned.is_any && !is_heard() {
        return pruned;
    }
    let mut book = match Book::open(&after).await {
        Ok(book) => book,
        Err(why) => {
            let what = if pruned.is_any {
                "nothing that is copied can be deleted later"
            } else {
                "mirrors with spec.prune do not hear of what is wanted here"
            };
            pruned.fails(format!("{what}: {why}"), after.console);
            return pruned;
        }
    };
    let mut report = targets.report(after.report);
    let remote = |to: &Repository| {
        let target = targets.0.get(&*canonical::repository(to))?;
        let is_over = after.cancel.is_cancelled();
        (!is_over).then(|| target.remote(after.client))
    };
    let ended = |one: &TagReport, tag: &Tag, ended: Result<(), Unended>| {
        after.known.forget_tag(&one.to, tag);
        if let Err(unended) = ended {
            after.console.warn(&format!("{}:{tag}: {unended}", one.to));
        }
    };
    sweep::end_all_broken_off(&book.ledger, &mut report, remote, ended).await;
    book.ledger.note_of(&report, targets.parties(after.report));
    let mut parts = Vec::new();
    for target in targets.pruned() {
        let looked = look(&mut book.ledger, target, &after);
        // Of what could not be looked at, nobody knows what is wanted.
        let to = &target.place.repository;
        let held = looked.is_ok().then(|| held(after.report, to)).flatten();
        let part = part_of(&book.ledger, target, looked, after.now);
        parts.push((target, part, held));
    }
    if let Err(why) = book.save().await {
        pruned.fails(why, after.console);
        return pruned;
    }
    let mut room = MOST_DELETIONS;
    for (target, part, held) in parts {
        let due = part.due.iter();
        let due: Vec<_> = due
            .map(|due| (due.tag.clone(), due.digest.clone()))
            .collect();
        let to = part.to.clone();
        let is_refused = part.refused.is_some();
        pruned.add(part);
        if !flags.yes || is_refused {
            continue;
        }
        let repository = &target.place.repository;
        // Whatever becomes of it: should it come back, it is not known to be there.
        for (tag, _) in &due {
            after.known.forget_tag(repository, tag);
        }
        let remote = target.remote(after.client);
        let may_go_on = || !after.cancel.is_cancelled();
        let (ledger, held) = (&mut book.ledger, held.as_ref());
        let swept = sweep_all(&remote, ledger, due, held, &mut room, &may_go_on).await;
        for tag in swept.deleted.iter().chain(&swept.companions) {
            after.known.forget_tag(repository, tag);
        }
        let names = |tags: Vec<Tag>| tags.into_iter().map(|tag| format!("{to}:{tag}"));
        pruned.deleted.extend(names(swept.deleted));
        pruned.deleted.extend(names(swept.companions));
        pruned.moved.extend(names(swept.moved));
        pruned.failed.extend(swept.trouble);
    }
    let is_done = |name: &String| pruned.deleted.contains(name) || pruned.moved.contains(name);
    let planned = pruned.planned.iter().filter(|name| !is_done(name));
    pruned.planned = planned.cloned().collect();
    if let Err(why) = book.save().await {
        pruned.fails(why, after.console);
    }
    pruned
}

/// What the run has seen of a target's source.
fn look(ledger: &mut Ledger, target: &Target, after: &After<'_>) -> Result<(), Doubt> {
    let trouble = |what: &str| Err(Doubt::Trouble(what.to_owned()));
    if target.rules.is_none() {
        return trouble("another mirror without spec.prune copies there, too");
    }
    if let Some(mirror) = &target.suspended {
        return trouble(&format!("{mirror}, which is suspended, copies there, too"));
    }
    if after.cancel.is_cancelled() {
        return trouble("the run was interrupted");
    }
    let to = &target.place.repository;
    let name = canonical::repository(to);
    let goes_there = |to: &Repository| canonical::repository(to) == name;
    let looks = after.report.looks.iter();
    let looks: Vec<_> = looks
        .filter(|look| look.to.iter().any(goes_there))
        .collect();
    // One less, and what it would have selected would be taken for unwanted.
    if looks.len() != target.jobs {
        return trouble("the source's tags were not listed");
    }
    let sight = Sight {
        source: &target.source,
        at: after.now,
        listed: looks
            .iter()
            .map(|look| look.listed)
            .min()
            .unwrap_or_default(),
        is_complete: looks.iter().all(|look| look.is_complete),
        wanted: &looks
            .iter()
            .flat_map(|look| look.selected.iter().cloned())
            .collect(),
    };
    ledger.look(to, &sight, after.now)
}

fn part_of(ledger: &Ledger, target: &Target, looked: Result<(), Doubt>, now: Timestamp) -> Part {
    // Without rules there is a doubt, and then they do not matter.
    let rules = target.rules.unwrap_or(Rules {
        grace: std::time::Duration::MAX,
        max_percent: 0,
    });
    part(ledger, &target.place.repository, now, looked, rules)
}

/// A ledger, and the file that it is kept in: nobody else's for as long as this lives.
struct Book {
    kept: Arc<LedgerFile>,
    ledger: Ledger,
}

impl Book {
    async fn open(after: &After<'_>) -> Result<Self, String> {
        let state = after.state.clone().ok_or("there is no state directory")?;
        let opened = tokio::task::spawn_blocking(move || LedgerFile::open(&state)).await;
        let opened = opened.map_err(anyhow::Error::from);
        let opened = opened.and_then(|opened| opened.map_err(anyhow::Error::from));
        let (kept, bytes) = opened.map_err(|error| format!("{error:#}"))?;
        let ledger = bytes.map_or_else(|| Ok(Ledger::default()), |bytes| Ledger::decode(&bytes));
        let ledger = ledger.unwrap_or_else(|error| {
            let path = kept.path();
            let bad = kept.set_aside().map_or_else(
                |error| error.to_string(),
                |bad| format!("it is kept as {}", bad.display()),
            );
            after.console.warn(&format!(
                "{} is not used, and will be made anew: {error}; {bad}; what was copied before is never deleted",
                path.display()
            ));
            Ledger::default()
        });
        let kept = Arc::new(kept);
        Ok(Self { kept, ledger })
    }

    async fn save(&self) -> Result<(), String> {
        let (kept, bytes) = (Arc::clone(&self.kept), self.ledger.encode());
        let saved: Result<Result<(), state::Error>, _> =
            tokio::task::spawn_blocking(move || kept.write(&bytes)).await;
        let saved = saved.map_err(anyhow::Error::from);
        let saved = saved.and_then(|saved| saved.map_err(anyhow::Error::from));
        saved.map_err(|error| format!("{error:#}"))
    }
}

impl Pruned {
    /// It fails the run where somebody asked for it, and is told in any case.
    fn fails(&mut self, why: String, console: &Console) {
        if self.is_asked {
            self.failed.push(why);
        } else {
            console.warn(&why);
        }
    }

    fn add(&mut self, part: Part) {
        let Part {
            to,
            owned,
            due,
            waiting,
            refused,
        } = part;
        self.owned += owned;
        self.planned
            .extend(due.iter().map(|due| format!("{to}:{}", due.tag)));
        self.waiting
            .extend(waiting.iter().map(|tag| format!("{to}:{tag}")));
        self.refused
            .extend(refused.map(|refused| format!("{to}: {refused}")));
    }

    /// For people; nothing, where nobody asked.
    pub(super) fn text(&self) -> String {
        if !self.is_asked {
            return String::new();
        }
        if !self.is_any && self.failed.is_empty() {
            return "\nprune: no mirror has spec.prune.enabled\n".to_owned();
        }
        let planned = if self.has_yes { "left" } else { "would delete" };
        let mut lines = vec![String::new()];
        for (word, names) in [
            ("failed", &self.failed),
            ("refused", &self.refused),
            ("moved", &self.moved),
            ("waiting", &self.waiting),
            (planned, &self.planned),
            ("deleted", &self.deleted),
        ] {
            let told = names.iter().take(MOST_LINES);
            lines.extend(told.map(|name| format!("{word:<12} {}", super::summary::one_line(name))));
            if let Some(more) = names.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
                lines.push(format!("{word:<12} and {more} more"));
            }
        }
        let owned = figures::count(u64::try_from(self.owned).unwrap_or(u64::MAX), "tag");
        let rest = match (self.planned.len(), self.has_yes) {
            (0, _) => String::new(),
            (several, true) => format!(", {several} left for the next run"),
            (several, false) => format!(", {several} would be deleted with --yes"),
        };
        lines.push(format!(
            "prune: {owned} owned, {} deleted{rest}, {} waiting",
            self.deleted.len(),
            self.waiting.len(),
        ));
        lines.join("\n") + "\n"
    }

    /// For programs; nothing, where nobody asked.
    pub(super) fn json(&self) -> Option<Value> {
        self.is_asked.then(|| {
            json!({
                "owned": self.owned,
                "deleted": self.deleted,
                "planned": self.planned,
                "waiting": self.waiting,
                "moved": self.moved,
                "refused": self.refused,
                "failed": self.failed,
            })
        })
    }

    /// The exit code, unless the copies' is worse.
    pub(super) fn code(&self) -> Option<u8> {
        if !self.is_asked {
            None
        } else if !self.failed.is_empty() {
            Some(FAILED)
        } else if !self.refused.is_empty() {
            Some(REFUSED)
        } else {
            None
        }
    }
}
