//! Notices on their way: recorded in the store first, then delivered beside the work by a task of their own. What is
//! not delivered when the process ends stays in the store, and the next run or tick tries it again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::results::as_json;
use crate::automation::file::NotifyTable;
use crate::count::counted;
use crate::error::Error;
use crate::notify::{Event, Heartbeat, Notice, Notices, Warning};
use crate::state::{QueuedNotice, Store};

/// The time for the notices that are still under way at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// The time that a worker without work needs to end.
const MOMENT: Duration = Duration::from_millis(500);
/// The wait before a running process tries a notice again.
const PAUSE: Duration = Duration::from_secs(60);
/// At the end, a failed attempt that is older than this is repeated.
const RECENT: Duration = Duration::from_secs(10);
/// Longer than one delivery takes: no other process delivers a notice meanwhile.
const CLAIM: Duration = Duration::from_secs(30);
/// Deliveries that are begun for one notice.
const TRIES: u32 = 20;
/// The age from which on a notice is dropped, and a heartbeat, which would be taken for a present one.
const NOTICE_AGE: Duration = Duration::from_secs(24 * 3_600);
const HEARTBEAT_AGE: Duration = Duration::from_secs(3_600);

/// Makes the targets of an automation's notices from its addresses.
pub type Resolve = Box<dyn Fn(&NotifyTable) -> Notices + Send + Sync>;

/// What happens to a notice whose address this machine does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownAddress {
    /// It is not recorded: this machine is the one that runs the automation.
    Skip,
    /// It is recorded for the machine that runs the automation.
    Keep,
}

/// Records notices, and delivers them in the background.
pub struct Outgoing {
    wake: mpsc::UnboundedSender<()>,
    delivery: Arc<Delivery>,
    worker: tokio::task::JoinHandle<()>,
    unknown_address: UnknownAddress,
}

/// A notice as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
struct Queued {
    notify: NotifyTable,
    message: Message,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    Notice(Box<Notice>),
    Heartbeat(Heartbeat),
}

/// What became of the notices to one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Some,
}

struct Delivery {
    store: Store,
    resolve: Resolve,
    /// The targets that were made, by their table.
    known: Mutex<Vec<(NotifyTable, Notices)>>,
    /// This process, in the store's claims.
    claim: i64,
    warnings: Mutex<Vec<String>>,
    /// The targets that failed, and when they last did. The first failure of each was reported.
    failed: Mutex<BTreeMap<String, Instant>>,
}

impl Outgoing {
    /// Begins to deliver, with what earlier processes left in the store.
    pub fn begin(store: &Store, resolve: Resolve, unknown_address: UnknownAddress) -> Self {
        let (wake, wakes) = mpsc::unbounded_channel();
        let delivery = Arc::new(Delivery {
            store: store.clone(),
            resolve,
            known: Mutex::default(),
            claim: uuid::Uuid::new_v4().as_u64_pair().0.cast_signed(),
            warnings: Mutex::default(),
            failed: Mutex::default(),
        });
        let worker = tokio::spawn(work(Arc::clone(&delivery), wakes));
        Self {
            wake,
            delivery,
            worker,
            unknown_address,
        }
    }

    /// Records a notice for the webhook.
    pub async fn tell(&self, notify: &NotifyTable, notice: Notice) {
        if let Some(address) = &notify.webhook
            && self.is_wanted(notify, Notices::has_webhook)
        {
            let message = Message::Notice(Box::new(notice));
            self.queue(&format!("webhook {address}"), notify, message)
                .await;
        }
    }

    /// Records a call of the heartbeat.
    pub async fn beat(&self, notify: &NotifyTable, heartbeat: Heartbeat) {
        if let Some(address) = &notify.heartbeat
            && self.is_wanted(notify, Notices::has_heartbeat)
        {
            let message = Message::Heartbeat(heartbeat);
            self.queue(&format!("heartbeat {address}"), notify, message)
                .await;
        }
    }

    fn is_wanted(&self, notify: &NotifyTable, has_target: fn(&Notices) -> bool) -> bool {
        self.unknown_address == UnknownAddress::Keep || has_target(&self.delivery.notices(notify))
    }

    async fn queue(&self, target: &str, notify: &NotifyTable, message: Message) {
        let queued = Queued {
            notify: notify.clone(),
            message,
        };
        let recorded = match as_json(&queued) {
            Ok(queued) => self.delivery.store.queue_notice(target, &queued).await,
            Err(error) => Err(error),
        };
        match recorded {
            // The worker lives as long as the sender.
            Ok(()) => drop(self.wake.send(())),
            Err(error) => self
                .delivery
                .warn(format!("a notice was not recorded: {error:#}")),
        }
    }

    /// Takes the warnings so far.
    pub fn warnings(&self) -> Vec<String> {
        self.delivery.take_warnings()
    }

    /// Waits for the notices under way, a few seconds and until `end` at most. Returns the warnings.
    pub async fn finish(self, end: Option<Instant>) -> Vec<String> {
        let Self {
            wake,
            delivery,
            mut worker,
            ..
        } = self;
        drop(wake);
        let limit = Instant::now() + FLUSH;
        // Also after the deadline, a worker without work gets the moment that it needs to end.
        let end = end.map_or(limit, |end| end.min(limit).max(Instant::now() + MOMENT));
        if timeout_at(end, &mut worker).await.is_err() {
            worker.abort();
            let _ = (&mut worker).await;
            let left = async {
                delivery.store.release_notices(delivery.claim).await?;
                delivery.store.queued_notice_count().await
            };
            let left = timeout(MOMENT, left).await;
            let left = match left {
                Ok(Ok(0)) => None,
                Ok(Ok(left)) => Some(counted(left, "notices")),
                _ => Some("the last notices".to_owned()),
            };
            if let Some(left) = left {
                delivery.warn(format!(
                    "the webhook or the heartbeat did not answer in time: {left} stay in the state store, and the next run or tick sends them"
                ));
            }
        }
        delivery.take_warnings()
    }
}

/// Delivers at the beginning, at each wake and every minute while something is left, until the sender is gone.
async fn work(delivery: Arc<Delivery>, mut wakes: mpsc::UnboundedReceiver<()>) {
    loop {
        let left = delivery.deliver_all(PAUSE).await;
        let pause = async {
            match left {
                Left::Some => sleep(PAUSE).await,
                Left::Nothing => std::future::pending().await,
            }
        };
        tokio::select! {
            wake = wakes.recv() => {
                let is_last = wake.is_none();
                if is_last {
                    delivery.deliver_all(RECENT).await;
                    return;
                }
                while wakes.try_recv().is_ok() {}
            }
            () = pause => {}
        }
    }
}

impl Delivery {
    fn notices(&self, notify: &NotifyTable) -> Notices {
        let mut known = lock(&self.known);
        if let Some((_, notices)) = known.iter().find(|(table, _)| table == notify) {
            return notices.clone();
        }
        let notices = (self.resolve)(notify);
        known.push((notify.clone(), notices.clone()));
        notices
    }

    fn has_failed_within(&self, target: &str, pause: Duration) -> bool {
        let failed = lock(&self.failed);
        failed.get(target).is_some_and(|at| at.elapsed() < pause)
    }

    fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.warnings))
    }

    fn warn(&self, warning: String) {
        lock(&self.warnings).push(warning);
    }

    /// Tries every notice in the store once, except those to a target that failed within `pause`. One target does not
    /// wait for another.
    async fn deliver_all(&self, pause: Duration) -> Left {
        let queued = match self.store.queued_notices().await {
            Ok(queued) => queued,
            Err(error) => {
                tracing::debug!("the notices cannot be read: {error:#}");
                return Left::Some;
            }
        };
        let mut targets: BTreeMap<String, Vec<QueuedNotice>> = BTreeMap::new();
        for one in queued {
            targets.entry(one.target.clone()).or_default().push(one);
        }
        let before = targets.len();
        targets.retain(|target, _| !self.has_failed_within(target, pause));
        let is_skipped = targets.len() < before;
        let delivered = join_all(targets.values().map(|queued| self.deliver_to_one(queued))).await;
        let is_left = |left: &Result<Left, Error>| !matches!(left, Ok(Left::Nothing));
        if is_skipped || delivered.iter().any(is_left) {
            Left::Some
        } else {
            Left::Nothing
        }
    }

    /// Delivers the notices to one target in their order, to the first that cannot be delivered now.
    async fn deliver_to_one(&self, queued: &[QueuedNotice]) -> Result<Left, Error> {
        for one in queued {
            let Ok(Queued { notify, message }) = Queued::deserialize(&one.notice) else {
                // A newer version recorded it.
                continue;
            };
            if message.is_out_of_date(one.queued_at, self.store.now()) {
                self.drop_notice(one, "it is out of date").await?;
                continue;
            }
            let notices = self.notices(&notify);
            if !message.has_target(&notices) {
                return Ok(Left::Nothing);
            }
            if !self.store.claim_notice(one, self.claim, CLAIM).await? {
                return Ok(Left::Some);
            }
            match message.deliver(&notices).await {
                Ok(()) => {
                    self.store.remove_notice(one.id).await?;
                    lock(&self.failed).remove(&one.target);
                }
                Err(warning) if warning.is_permanent() => {
                    self.warn(warning.to_string());
                    self.store.remove_notice(one.id).await?;
                }
                Err(warning) => return self.keep(one, &warning).await,
            }
        }
        Ok(Left::Nothing)
    }

    /// Keeps a notice for another attempt, unless there were enough.
    async fn keep(&self, one: &QueuedNotice, warning: &Warning) -> Result<Left, Error> {
        if one.tries + 1 >= TRIES {
            self.warn(warning.to_string());
            let why = format!("{} did not deliver it", counted(TRIES.into(), "attempts"));
            self.drop_notice(one, &why).await?;
            return Ok(Left::Some);
        }
        self.store.release_notice(one.id, self.claim).await?;
        let failed = lock(&self.failed).insert(one.target.clone(), Instant::now());
        if failed.is_some() {
            tracing::debug!("{warning}");
        } else {
            self.warn(format!("{warning}; it is tried again later"));
        }
        Ok(Left::Some)
    }

    /// Drops a notice. One that was never tried was for another machine.
    async fn drop_notice(&self, one: &QueuedNotice, why: &str) -> Result<(), Error> {
        if one.tries > 0 {
            let what = one.target.split(' ').next().unwrap_or_default();
            self.warn(format!(
                "a notice of {:.0} to the {what} is dropped: {why}",
                one.queued_at
            ));
        }
        self.store.remove_notice(one.id).await
    }
}

impl Message {
    fn is_out_of_date(&self, queued_at: Timestamp, now: Timestamp) -> bool {
        let older_than = |age: Duration| now.duration_since(queued_at).unsigned_abs() > age;
        match self {
            Self::Heartbeat(_) => older_than(HEARTBEAT_AGE),
            Self::Notice(notice) => match &notice.event {
                Event::WindowOpen { send_at, .. } => send_at.timestamp() <= now,
                _ => older_than(NOTICE_AGE),
            },
        }
    }

    fn has_target(&self, notices: &Notices) -> bool {
        match self {
            Self::Notice(_) => notices.has_webhook(),
            Self::Heartbeat(_) => notices.has_heartbeat(),
        }
    }

    async fn deliver(&self, notices: &Notices) -> Result<(), Warning> {
        match self {
            Self::Notice(notice) => notices.tell(notice).await,
            Self::Heartbeat(heartbeat) => notices.beat(heartbeat).await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
