//! What a round plays in: a source, a state store, a notification history and a push service, each behind a proxy that
//! can fail.

use std::time::Duration;

use crate::pipeline::office::Office;
use crate::support::campaign::Random;
use crate::support::fcm::script::{Reply, RetryAfter, Script};
use crate::support::postgres::{Database, at_port};
use crate::support::programs::closed_port;
use crate::support::proxy::{Fate, Proxy};
use crate::support::store::Place;

pub(super) const FANS: u32 = 120;
/// The deadline of every command.
pub(super) const DEADLINE: Duration = Duration::from_secs(8);

pub(super) struct World {
    pub(super) office: Office,
    /// Of this round; used in names that must be new.
    pub(super) steps: u32,
    peers: Vec<(&'static str, Proxy)>,
    /// Kept while the history is used.
    _history: Option<Database>,
}

impl World {
    /// A world whose history and answers the random numbers choose.
    pub(super) fn new(place: Place, random: &mut Random) -> Self {
        let mut office = Office::at(place, FANS, script(random));
        office.ends(&["state", "migrate"], 0);
        let mut peers = Vec::new();
        let source = Proxy::start(office.market.port(), Fate::Pass);
        office.set("DATABASE_URL", at_port(&office.market.url(), source.port()));
        peers.push(("source", source));
        if let Some(state) = &office.place.database {
            let proxy = Proxy::start(state.port(), Fate::Pass);
            let url = at_port(&office.place.setting(), proxy.port());
            peers.push(("state store", proxy));
            office.set("PUSHCTL_STATE_URL", url);
        }
        let url = office.stand_in.base_url();
        let service = Proxy::start(url.rsplit_once(':').unwrap().1.parse().unwrap(), Fate::Pass);
        office.set(
            "PUSHCTL_PUSH_URL",
            format!("https://127.0.0.1:{}", service.port()),
        );
        peers.push(("push service", service));
        let history = random.one_in(3).then(crate::cadence::history);
        if let Some(history) = &history {
            let proxy = Proxy::start(history.port(), Fate::Pass);
            let url = history.url_with("tls_only", "sslmode=require");
            office.set("PUSH_CADENCE_DATABASE_URL", at_port(&url, proxy.port()));
            peers.push(("history", proxy));
        }
        office.set("PUSHCTL_DEADLINE", format!("{}s", DEADLINE.as_secs()));
        office.set("PUSHCTL_RATE", "100");
        // A host that failed is asked again at once: each step has its own faults.
        office.sandbox.config("[source]\nbreaker_failures = 0\n");
        Self {
            office,
            steps: 0,
            peers,
            _history: history,
        }
    }

    /// Gives some peers a fault, the others none; returns what was chosen.
    pub(super) fn break_some(&self, random: &mut Random) -> String {
        let mut chosen = Vec::new();
        for (name, proxy) in &self.peers {
            let some = usize::try_from(random.below(6_000)).unwrap();
            let (fault, fate) = match random.below(18) {
                0 => ("silent", Fate::Silence),
                1 => ("resets", Fate::ResetAfter(0)),
                2 => ("closes", Fate::CloseAfter(0)),
                3 => ("resets later", Fate::ResetAfter(some)),
                4 => ("closes later", Fate::CloseAfter(some)),
                5 => ("stalls later", Fate::StallAfter(some)),
                6 => (
                    "speaks something else",
                    Fate::Say(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
                ),
                _ => ("", Fate::Pass),
            };
            proxy.turn(fate);
            if !fault.is_empty() {
                chosen.push(format!("the {name} {fault}"));
            }
        }
        chosen.join(", ")
    }

    /// Ends every fault, also those that a command left behind.
    pub(super) fn heal(&mut self) {
        for (_, proxy) in &self.peers {
            proxy.turn(Fate::Pass);
        }
        self.office.set("PUSHCTL_DEADLINE", "100s");
    }

    /// An address where nothing listens, of a webhook that is told of everything.
    pub(super) fn dead_webhook() -> String {
        format!("http://127.0.0.1:{}/hook", closed_port())
    }
}

/// Replies of a push service that has bad days: most messages are accepted.
fn script(random: &mut Random) -> Script {
    let retry_after = Some(RetryAfter::Seconds(1));
    let mut script = Script::default();
    for reply in [
        Reply::Unavailable { retry_after },
        Reply::Quota { retry_after },
        Reply::Internal { retry_after: None },
        Reply::AcceptThenReset,
        Reply::AcceptThenDrop,
        Reply::AcceptThenTruncate,
        Reply::Reset,
        Reply::Refuse,
        Reply::GoAway,
        Reply::GoAwayNow,
        Reply::Drop,
        Reply::Unregistered,
        Reply::ExpiredToken,
    ] {
        if random.one_in(2) {
            let every = 20 + random.below(60);
            script = script.every("token-fan-*", every, reply);
        }
    }
    let then = Box::new(Reply::Accept);
    script.always("*", Reply::Slow { ms: 20, then })
}
