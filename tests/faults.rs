//! The fault table: every peer of pushctl × everything that a peer or the network can do wrong, through the program.
//!
//! Each cell says which exit statuses are right and which words the error must have. Every command ends within its
//! deadline, names the peer, gives a next step, and sends nothing twice.

mod bytes;
mod pipelines;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::pipeline::office::{self as pipeline, File};
use crate::send::{Kept, Office, order, people, state_database, state_url};
use crate::support::cadence::Service;
use crate::support::cli::{Outcome, Sandbox};
use crate::support::fcm::script::Script;
use crate::support::fcm::{HOST_NAME, Options, StandIn};
use crate::support::http_proxy::{HttpProxy, Manner};
use crate::support::postgres::{Database, Postgres};
use crate::support::programs::closed_port;
use crate::support::proxy::{Blackhole, Fate, Proxy};

/// The deadline of every command here.
const DEADLINE: Duration = Duration::from_secs(6);
/// What a machine may add that runs this table and other tests at once; a peer that is not bound adds far more.
const SLACK: Duration = Duration::from_secs(5);
/// Commands at once. They mostly wait.
const AT_ONCE: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Peer {
    Source,
    State,
    HistoryDatabase,
    HistoryService,
    PushService,
    TokenEndpoint,
    /// The proxy on the way to the push service and the token endpoint.
    Proxy,
    Webhook,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// No packet is answered, not even the first.
    Dropped,
    /// Accepts, and never says anything.
    Silent,
    /// Nothing listens.
    Refused,
    /// Accepts, and resets at once.
    Reset,
    /// Accepts, and closes at once.
    Closed,
    /// Accepts, says that it has nothing to say, and goes on listening.
    HalfClosed,
    /// Resets in a phase, again and again.
    ResetIn(Phase),
    /// Closes in a phase, again and again.
    ClosedIn(Phase),
    /// Half closes in a phase, again and again.
    HalfClosedIn(Phase),
    /// Falls silent in a phase.
    SilentIn(Phase),
    /// Answers one byte at a time.
    Trickling,
    /// Another service listens there.
    OtherProtocol,
    /// No name server knows the name.
    UnknownHost,
    /// Its certificate is not signed by a trusted authority.
    Untrusted,
}

/// How far a connection comes: so many bytes of the peer arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// PostgreSQL's answer to the request for TLS; the first byte of another peer's TLS.
    Start,
    /// In the handshake of TLS.
    Tls,
    /// In the log-in, or the first answers.
    LogIn,
    /// In the work.
    Work,
}

impl Phase {
    fn bytes(self) -> usize {
        match self {
            Self::Start => 1,
            Self::Tls => 900,
            Self::LogIn => 2_500,
            Self::Work => 5_000,
        }
    }
}

const PEERS: [Peer; 8] = [
    Peer::Source,
    Peer::State,
    Peer::HistoryDatabase,
    Peer::HistoryService,
    Peer::PushService,
    Peer::TokenEndpoint,
    Peer::Proxy,
    Peer::Webhook,
];
const PHASES: [Phase; 4] = [Phase::Start, Phase::Tls, Phase::LogIn, Phase::Work];

/// Every fault, those that come later in every phase.
fn faults() -> Vec<Fault> {
    let mut faults = vec![
        Fault::Dropped,
        Fault::Silent,
        Fault::Refused,
        Fault::Reset,
        Fault::Closed,
        Fault::HalfClosed,
        Fault::Trickling,
        Fault::OtherProtocol,
        Fault::UnknownHost,
        Fault::Untrusted,
    ];
    for phase in PHASES {
        faults.extend([
            Fault::ResetIn(phase),
            Fault::ClosedIn(phase),
            Fault::HalfClosedIn(phase),
            Fault::SilentIn(phase),
        ]);
    }
    faults
}

/// What a cell demands of its command.
enum Cell {
    /// One of these exit statuses; after one other than 0, these words.
    Ends(&'static [i32], &'static [&'static str]),
    /// It cannot be, for this reason.
    Never(&'static str),
}

fn cell(peer: Peer, fault: Fault) -> Cell {
    use Cell::{Ends, Never};
    match (peer, fault) {
        (Peer::HistoryService, Fault::Untrusted) => {
            Never("over plain http there is no certificate")
        }
        (Peer::Proxy, Fault::UnknownHost) => Ends(&[5], &["missing.invalid"]),
        (Peer::Webhook, _) => Ends(&[0], &[]),
        (Peer::HistoryService, Fault::UnknownHost) => Ends(&[2], &["https"]),
        (_, Fault::Untrusted) => Ends(&[4], &["certificate"]),
        (_, Fault::UnknownHost) => Ends(&[2, 4, 5], &["missing.invalid"]),
        (Peer::Source | Peer::State | Peer::HistoryDatabase, Fault::OtherProtocol) => {
            Ends(&[2], &["another service"])
        }
        (_, Fault::OtherProtocol) => Ends(&[5], &["127.0.0.1"]),
        // Through a port of its own, the stand-in refuses the assertion: it is for another address.
        (Peer::TokenEndpoint, _) if is_later(fault) => Ends(&[4, 5], &["token"]),
        // The connection may have done its work by then, or do it byte by byte.
        (Peer::PushService | Peer::Proxy, _) if is_later(fault) => Ends(&[0, 3, 5], &[]),
        (_, _) if is_later(fault) => Ends(&[0, 5], &["127.0.0.1"]),
        _ => Ends(&[5], &["127.0.0.1"]),
    }
}

/// Returns whether the connection may come as far as its work.
fn is_later(fault: Fault) -> bool {
    match fault {
        Fault::Trickling => true,
        Fault::ResetIn(phase)
        | Fault::ClosedIn(phase)
        | Fault::HalfClosedIn(phase)
        | Fault::SilentIn(phase) => phase != Phase::Start,
        _ => false,
    }
}

/// The words by which an error names the peer.
fn named(peer: Peer) -> &'static [&'static str] {
    match peer {
        Peer::Source => &["the database", "cannot connect to", "reading from"],
        Peer::State => &["the state store"],
        Peer::HistoryDatabase => &["the notification history"],
        Peer::HistoryService => &["the cadence service"],
        Peer::PushService => &["the push service"],
        Peer::TokenEndpoint => &["bearer token", "the token endpoint"],
        Peer::Proxy => &["the proxy"],
        Peer::Webhook => &["the webhook"],
    }
}

/// How a fault is made, in front of a service on a loopback port.
struct Broken {
    port: u16,
    host: &'static str,
    _proxy: Option<Proxy>,
    _blackhole: Option<Blackhole>,
}

impl Broken {
    /// `untrusted` is what happens to a connection whose certificate is not trusted.
    fn new(fault: Fault, upstream: u16, untrusted: Fate) -> Self {
        let fate = match fault {
            Fault::Silent => Fate::Silence,
            Fault::Reset => Fate::ResetAfter(0),
            Fault::Closed => Fate::CloseAfter(0),
            Fault::HalfClosed => Fate::HalfCloseAfter(0),
            Fault::ResetIn(phase) => Fate::ResetAfter(phase.bytes()),
            Fault::ClosedIn(phase) => Fate::CloseAfter(phase.bytes()),
            Fault::HalfClosedIn(phase) => Fate::HalfCloseAfter(phase.bytes()),
            Fault::SilentIn(phase) => Fate::StallAfter(phase.bytes()),
            Fault::Trickling => Fate::Trickle,
            Fault::OtherProtocol => Fate::Say(b"SSH-2.0-OpenSSH_9.2p1\r\n"),
            Fault::Untrusted => untrusted,
            Fault::Dropped => {
                let blackhole = Blackhole::open_for_the_test();
                return Self {
                    port: blackhole.port,
                    host: "127.0.0.1",
                    _proxy: None,
                    _blackhole: Some(blackhole),
                };
            }
            Fault::Refused | Fault::UnknownHost => {
                return Self {
                    port: closed_port(),
                    host: if fault == Fault::Refused {
                        "127.0.0.1"
                    } else {
                        "missing.invalid"
                    },
                    _proxy: None,
                    _blackhole: None,
                };
            }
        };
        let proxy = Proxy::start(upstream, fate);
        Self {
            port: proxy.port(),
            host: "127.0.0.1",
            _proxy: Some(proxy),
            _blackhole: None,
        }
    }

    /// Returns the URL of a PostgreSQL database behind the fault. An untrusted certificate is the server's own, whose
    /// authority is not the one that is trusted.
    fn postgres(&self, fault: Fault, database: &Database, other_authority: &str) -> String {
        let tls = match fault {
            Fault::Untrusted => format!("sslmode=verify-ca&sslrootcert={other_authority}"),
            _ => "sslmode=require".to_owned(),
        };
        let url = database.url_with("tls_only", &tls);
        let (login, path) = url.split_once('@').unwrap();
        let (_, path) = path.split_once('/').unwrap();
        format!("{login}@{}:{}/{path}", self.host, self.port)
    }
}

fn port_of(url: &str) -> u16 {
    let port = url.rsplit_once(':').unwrap().1;
    port.trim_end_matches('/').parse().unwrap()
}

/// A certificate that the clients of the push service do not trust.
fn stranger() -> Fate {
    let pair = Postgres::shared().certificates().pair("server");
    Fate::DirectTls(pair, Box::new(Fate::Pass))
}

/// Runs the command of a cell; returns its outcome and how long it took.
fn run(peer: Peer, fault: Fault) -> (Outcome, Duration) {
    match peer {
        Peer::Source => generate(fault),
        Peer::Webhook => pipeline(fault),
        _ => send(peer, fault),
    }
}

fn timed(work: impl FnOnce() -> Outcome) -> (Outcome, Duration) {
    let began = Instant::now();
    let outcome = work();
    (outcome, began.elapsed())
}

const MANY: &str = "\
--| title = \"Many\"
--| order = \"user_id\"
--| [[files]]
--| stem = \"many\"
--| columns = [\"user_id\"]
SELECT gen_random_uuid() AS user_id FROM generate_series(1, 20000)
";

fn generate(fault: Fault) -> (Outcome, Duration) {
    let database = Postgres::shared().database("faults");
    let broken = Broken::new(fault, database.port(), Fate::Pass);
    let sandbox = Sandbox::new();
    sandbox.write("here/queries/many.sql", MANY);
    let office = Office::playing(Script::default());
    let authority = office.sandbox.home().join("ca.pem").display().to_string();
    let url = broken.postgres(fault, &database, &authority);
    let arguments = [
        "generate",
        "many",
        "--queries",
        "queries",
        "--output",
        "out",
        "--deadline",
        "6s",
    ];
    let (outcome, took) = timed(|| sandbox.run_with(&arguments, &[("DATABASE_URL", &url)]));
    let files = std::fs::read_dir(sandbox.here().join("out"));
    let visible = files.into_iter().flatten().flatten();
    let visible = visible.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
    let expected = if outcome.status == 0 { 2 } else { 0 };
    assert_eq!(visible.count(), expected, "{outcome}");
    (outcome, took)
}

/// An authority that did not sign the push service's certificate.
fn another_authority() -> String {
    let path = Postgres::shared().certificates().pem("root");
    path.display().to_string()
}

/// An office whose push service can be reached only through a proxy.
fn behind_a_proxy() -> Office {
    let stand_in = StandIn::start(&Options {
        host: HOST_NAME,
        ..Options::default()
    });
    Office::with(Kept::Sqlite, stand_in.unwrap())
}

/// Where the peers are that a send and a pipeline meet in the same way.
struct Places {
    stand_in: String,
    service: String,
    /// The file of the authority that is trusted.
    authority: String,
}

impl Places {
    /// Puts the fault before a peer, and points the settings there.
    fn lose(&self, peer: Peer, fault: Fault, mut set: impl FnMut(&str, String)) -> Broken {
        match peer {
            Peer::HistoryDatabase => {
                let history = crate::cadence::history();
                let broken = Broken::new(fault, history.port(), Fate::Pass);
                let url = broken.postgres(fault, &history, &self.authority);
                set("PUSH_CADENCE_DATABASE_URL", url);
                broken
            }
            Peer::HistoryService => {
                let broken = Broken::new(fault, port_of(&self.service), Fate::Pass);
                let url = format!("http://{}:{}", broken.host, broken.port);
                set("CADENCE_SERVICE_URL", url);
                broken
            }
            Peer::PushService | Peer::TokenEndpoint => {
                let broken = Broken::new(fault, port_of(&self.stand_in), stranger());
                let url = format!("https://{}:{}", broken.host, broken.port);
                if fault == Fault::Untrusted && peer == Peer::PushService {
                    set("PUSHCTL_PUSH_CA", another_authority());
                } else if peer == Peer::PushService {
                    set("PUSHCTL_PUSH_URL", url);
                } else {
                    set("PUSHCTL_PUSH_TOKEN_URL", format!("{url}/token"));
                }
                broken
            }
            Peer::State | Peer::Source | Peer::Proxy | Peer::Webhook => {
                unreachable!("each command has its own")
            }
        }
    }
}

fn send(peer: Peer, fault: Fault) -> (Outcome, Duration) {
    let mut office = match peer {
        Peer::Proxy => behind_a_proxy(),
        _ => Office::playing(Script::default()),
    };
    let tunnels = HttpProxy::start(Manner::Tunnel);
    let authority = office.sandbox.home().join("ca.pem").display().to_string();
    let service = Service::start([]);
    let postgres =
        |broken: &Broken, database: &Database| broken.postgres(fault, database, &authority);
    office.set("PUSHCTL_PUSH_PATIENCE", "1m");
    let _broken = match peer {
        Peer::State => {
            let state = state_database(Postgres::shared());
            // Its tables exist, so that the fault meets a send and not a migration.
            office.set("PUSHCTL_STATE_URL", state_url(&state));
            assert_eq!(office.run(&["state", "migrate"]).status, 0);
            let broken = Broken::new(fault, state.port(), Fate::Pass);
            office.set("PUSHCTL_STATE_URL", postgres(&broken, &state));
            broken
        }
        Peer::HistoryDatabase | Peer::HistoryService | Peer::PushService | Peer::TokenEndpoint => {
            let places = Places {
                stand_in: office.stand_in.base_url(),
                service: service.url(),
                authority,
            };
            places.lose(peer, fault, |name, value| office.set(name, value))
        }
        Peer::Proxy => {
            let broken = Broken::new(fault, tunnels.port(), Fate::Pass);
            office.set(
                "HTTPS_PROXY",
                format!("http://{}:{}", broken.host, broken.port),
            );
            if fault == Fault::Untrusted {
                office.set("PUSHCTL_PUSH_CA", another_authority());
            }
            broken
        }
        Peer::Source | Peer::Webhook => unreachable!("another command meets it"),
    };
    office.audience(&people(0..3));
    let arguments = order(&["--layer", "3", "--deadline", "6s"]);
    let told = timed(|| office.run(&arguments));
    // None twice.
    office.delivered();
    told
}

fn pipeline(fault: Fault) -> (Outcome, Duration) {
    let mut office = pipeline::Office::new(4, Script::default());
    let upstream = Service::start([]);
    let broken = Broken::new(fault, port_of(&upstream.url()), stranger());
    let scheme = if matches!(fault, Fault::Untrusted | Fault::UnknownHost) {
        "https"
    } else {
        "http"
    };
    office.set(
        "HOOK",
        format!("{scheme}://{}:{}/hook", broken.host, broken.port),
    );
    office.file(&File {
        notify: "webhook = \"env:HOOK\"".to_owned(),
        ..File::default()
    });
    let arguments = [
        "run-pipeline",
        "daily",
        "--tick",
        "--json",
        "--deadline",
        "20s",
    ];
    let (outcome, took) = timed(|| office.run(&arguments));
    assert_eq!(office.reached().len(), 4, "{outcome}");
    if !is_later(fault) {
        outcome.says("the webhook did not accept the notice");
    }
    // A notice that cannot be delivered costs its own time once, at the end.
    (outcome, took.saturating_sub(Duration::from_secs(14)))
}

fn check(peer: Peer, fault: Fault) -> Result<(), String> {
    let (statuses, words) = match cell(peer, fault) {
        Cell::Ends(statuses, words) => (statuses, words),
        Cell::Never(reason) => {
            assert!(!reason.is_empty());
            return Ok(());
        }
    };
    let (outcome, took) = run(peer, fault);
    let mut wrong = Vec::new();
    if !statuses.contains(&outcome.status) {
        wrong.push(format!(
            "exit status {}, not in {statuses:?}",
            outcome.status
        ));
    }
    if took > DEADLINE + SLACK {
        wrong.push(format!("took {took:?}"));
    }
    if outcome.status != 0 {
        let said = &outcome.stderr;
        wrong.extend(
            words
                .iter()
                .filter(|word| !said.contains(**word))
                .map(|word| format!("{word:?} is missing")),
        );
        // Messages in doubt say so, and not by whom.
        if outcome.status != 3 && !named(peer).iter().any(|name| said.contains(name)) {
            wrong.push(format!("none of {:?} is said", named(peer)));
        }
        if !said.contains("hint: ") {
            wrong.push("no next step".to_owned());
        }
        if said.contains("hunter2") || said.contains("panicked") {
            wrong.push("a secret or a panic".to_owned());
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{peer:?} × {fault:?}: {}\n{outcome}\n",
        wrong.join("; ")
    ))
}

/// Does the work for every item, many at once; fails with what any of them says.
fn at_once<T: Send>(
    items: impl Iterator<Item = T> + Send,
    work: impl Fn(T) -> Result<(), String> + Sync,
) {
    let items = Mutex::new(items);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(item) = items.lock().unwrap().next() else {
                        return;
                    };
                    if let Err(why) = work(item) {
                        wrong.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(
        wrong.is_empty(),
        "{} cells:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_peer_with_every_fault_ends_in_time_and_is_named() {
    let cells = PEERS
        .into_iter()
        .flat_map(|peer| faults().into_iter().map(move |fault| (peer, fault)));
    at_once(cells, |(peer, fault)| check(peer, fault));
}
