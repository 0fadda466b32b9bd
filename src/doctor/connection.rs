//! The steps of a connection to PostgreSQL, for the source, the state store and the notification history.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::Instant;

use super::STEP;
use super::checklist::Checklist;
use super::report::{Status, Step};
use crate::advice::Advice;
use crate::clock::Clock;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::postgres::Address;
use crate::postgres::address::{Host, SslMode, TargetSession};
use crate::postgres::failure::ConnectPhase;
use crate::postgres::inspect::{self, Certificate, LogIn, Privilege, ServerFacts};
use crate::run::context::RunContext;

/// A certificate that ends sooner is a warning.
const SOON: i32 = 21;
/// The part of the connections, in percent, from which on few are left.
const CROWDED: u32 = 80;
/// Clocks that differ by more are a warning, and by much more a failure.
const SKEWS: (f64, f64) = (5.0, 60.0);

/// A connection to check.
pub(super) struct Connection<'a> {
    pub(super) list: &'a Checklist,
    pub(super) context: &'a RunContext<'a>,
    pub(super) address: &'a Address,
    /// What the connection is used for, and needs.
    pub(super) privileges: &'a [Privilege],
}

/// One host of it. Its label is empty if there is only one.
struct HostCheck<'a> {
    connection: &'a Connection<'a>,
    host: &'a Host,
    label: String,
}

impl Connection<'_> {
    /// Plans the steps after `needs`; returns the names of the last ones.
    pub(super) fn plan(&self, needs: &str) {
        for host in self.hosts() {
            let chain = ["name", "tcp", "tls", "log-in", "query"];
            let names: Vec<String> = chain
                .iter()
                .filter(|step| !host.host.is_socket() || !["name", "tls"].contains(step))
                .map(|step| host.step(step))
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            self.list.plan_chain(&names, Some(needs));
            let query = host.step("query");
            for step in ["connections", "clock"] {
                self.list.plan(&host.step(step), Some(&query));
            }
        }
        if self.address.hosts.len() > 1 {
            self.list.plan("hosts", None);
        }
    }

    /// Runs the steps; returns the facts of a server that does.
    pub(super) async fn check(&self) -> Option<ServerFacts> {
        let hosts: Vec<HostCheck<'_>> = self.hosts().collect();
        let facts = join_all(hosts.iter().map(HostCheck::check)).await;
        if let [facts] = &*facts {
            return facts.clone();
        }
        let target = self.address.target;
        let suitable = |facts: &&ServerFacts| suits(facts, target);
        let found = facts.iter().flatten().find(suitable).cloned();
        if found.is_some() {
            for host in &hosts {
                self.list.excuse(&host.label);
            }
        }
        let answering = facts.iter().flatten().count();
        let counts = format!("{answering} of {} hosts answer", hosts.len());
        self.list.record(match &found {
            Some(_) => Step::new(
                "hosts",
                Status::Ok,
                format!("{counts}; target_session_attrs={target} is satisfied"),
            ),
            None => Step::failed(
                "hosts",
                &Error::new(
                    ErrorKind::Unreachable,
                    format!("{counts}, and none satisfies target_session_attrs={target}"),
                )
                .hint(Advice::WrongServer),
            ),
        });
        found
    }

    fn hosts(&self) -> impl Iterator<Item = HostCheck<'_>> {
        let several = self.address.hosts.len() > 1;
        self.address.hosts.iter().map(move |host| HostCheck {
            connection: self,
            host,
            label: if several {
                format!(" {host}")
            } else {
                String::new()
            },
        })
    }
}

fn suits(facts: &ServerFacts, target: TargetSession) -> bool {
    match target {
        TargetSession::Any | TargetSession::PreferStandby => true,
        TargetSession::ReadWrite => !facts.is_standby && !facts.is_read_only,
        TargetSession::ReadOnly => facts.is_standby || facts.is_read_only,
        TargetSession::Primary => !facts.is_standby,
        TargetSession::Standby => facts.is_standby,
    }
}

impl HostCheck<'_> {
    fn step(&self, name: &str) -> String {
        format!("{name}{}", self.label)
    }

    fn record(&self, step: Step) {
        let name = self.step(&step.name);
        self.connection.list.record(Step { name, ..step });
    }

    /// The time for one step: that of an attempt, or what is left.
    fn limit(&self) -> Duration {
        let context = self.connection.context;
        let given = context.settings.source.connect_timeout;
        let usual = given.or(self.connection.address.connect_timeout);
        usual.unwrap_or(STEP).min(context.budget.left())
    }

    async fn check(&self) -> Option<ServerFacts> {
        let address = inspect::alone(self.connection.address, self.host);
        let certificate = if self.host.is_socket() {
            None
        } else {
            self.reach(&address).await.ok()?
        };
        let connection = self.connection;
        let context = connection.context;
        let name = format!(
            "pushctl/{} doctor {}",
            env!("CARGO_PKG_VERSION"),
            context.id
        );
        let name = address.application_name.clone().unwrap_or(name);
        let clock = context.clock.as_ref();
        let limit = self.limit();
        let privileges = connection.privileges;
        match inspect::log_in(&address, &name, limit, clock, privileges).await {
            Ok(log_in) => self.facts(&address, log_in, certificate.as_ref()),
            Err((phase, error)) => {
                self.refused(&address, phase, &error, certificate.as_ref());
                None
            }
        }
    }

    /// The name and the TCP connection; returns the certificate, if there is one to see.
    async fn reach(&self, address: &Address) -> Result<Option<Certificate>, ()> {
        let began = Instant::now();
        let found = match inspect::resolve(self.host, self.limit()).await {
            Ok(found) => found,
            Err(error) => {
                self.record(Step::failed("name", &error).took(began.elapsed()));
                return Err(());
            }
        };
        let shown: Vec<String> = found.iter().map(|at| at.ip().to_string()).collect();
        let fixed = self.host.hostaddr.map_or("", |_| " (hostaddr)");
        let seen = format!("{}: {}{fixed}", self.host.name, shown.join(", "));
        self.record(
            Step::new("name", Status::Ok, seen)
                .took(began.elapsed())
                .detail("addresses", shown),
        );
        let (tried, error) = inspect::dial(address, self.host, &found, self.limit()).await;
        let quickest = tried
            .iter()
            .filter(|(.., why)| why.is_none())
            .map(|(_, took, _)| *took)
            .min();
        let seen = tried.iter().map(|(at, took, why)| match why {
            None => format!("{at} in {}", shown_time(*took)),
            Some(why) => format!("{at}: {why}"),
        });
        let seen = seen.collect::<Vec<_>>().join("; ");
        let details: Vec<_> = tried
            .iter()
            .map(|(at, took, why)| json!({ "address": at.to_string(), "ms": took.as_secs_f64() * 1000.0, "error": why }))
            .collect();
        if let Some(error) = error {
            self.record(Step::failed("tcp", &error).detail("addresses", details));
            return Err(());
        }
        let silent = tried
            .iter()
            .any(|(_, took, why)| why.is_some() && *took >= Duration::from_secs(1));
        let step = Step::new("tcp", Status::Ok, seen).warn_if(silent, Advice::SomeAddresses);
        self.record(
            step.took(quickest.unwrap_or_default())
                .detail("addresses", details),
        );
        let reached = tried.iter().find(|(.., why)| why.is_none());
        let Some((at, ..)) = reached.filter(|_| address.tls.mode != SslMode::Disable) else {
            return Ok(None);
        };
        Ok(inspect::certificate(address, self.host, *at, self.limit()).await)
    }

    /// A connection that failed after TCP.
    fn refused(
        &self,
        address: &Address,
        phase: ConnectPhase,
        error: &Error,
        certificate: Option<&Certificate>,
    ) {
        let failed = match phase {
            ConnectPhase::Resolving if !self.host.is_socket() => "name",
            ConnectPhase::Dialing | ConnectPhase::Resolving => "tcp",
            ConnectPhase::AskingForTls | ConnectPhase::Handshake => "tls",
            ConnectPhase::Password | ConnectPhase::Authentication | ConnectPhase::Greeting => {
                "log-in"
            }
        };
        let mut step = Step::failed(failed, error);
        if failed == "tls" {
            if let Some(certificate) = certificate {
                step.seen = format!("{}; its certificate: {}", step.seen, described(certificate));
                step = with_details(step, certificate);
            }
        } else if failed == "log-in" {
            if self.host.is_socket() {
                self.record(Step::new("tcp", Status::Ok, self.host.to_string()));
            } else {
                self.record(tls_step(address, certificate, None));
            }
        }
        self.record(step);
    }

    /// A log-in that succeeded.
    fn facts(
        &self,
        address: &Address,
        log_in: LogIn,
        certificate: Option<&Certificate>,
    ) -> Option<ServerFacts> {
        if self.host.is_socket() {
            self.record(Step::new(
                "tcp",
                Status::Ok,
                format!("Unix socket {}", self.host),
            ));
        } else {
            let encrypted = log_in.tls.is_some();
            let certificate = certificate.filter(|_| encrypted);
            self.record(tls_step(address, certificate, log_in.tls));
        }
        let facts = match log_in.facts {
            Ok(facts) => facts,
            Err(error) => {
                let seen = format!("as {}", address.user);
                self.record(Step::new("log-in", Status::Ok, seen).took(log_in.authentication));
                self.record(Step::failed("query", &error));
                return None;
            }
        };
        let seen = format!("as {}, database {}", facts.role, address.dbname);
        self.record(Step::new("log-in", Status::Ok, seen).took(log_in.authentication));
        let place = match (facts.is_standby, facts.is_read_only) {
            (true, _) => "a standby",
            (false, true) => "a primary, read-only for this role",
            (false, false) => "a primary",
        };
        let seen = format!("PostgreSQL {}, {place}", facts.version);
        self.record(
            Step::new("query", Status::Ok, seen)
                .took(facts.round_trip)
                .detail("server_version", facts.version.clone())
                .detail("standby", facts.is_standby),
        );
        self.record(connections(&facts));
        self.record(clock("clock", facts.skew, "the server's"));
        Some(facts)
    }
}

fn tls_step(address: &Address, certificate: Option<&Certificate>, took: Option<Duration>) -> Step {
    let mode = address.tls.mode;
    let weak = address.advice().is_some();
    let Some(certificate) = certificate else {
        let seen = match took {
            Some(_) => format!("encrypted, sslmode={mode}"),
            None => format!("not encrypted, sslmode={mode}"),
        };
        let step = Step::new("tls", Status::Ok, seen).warn_if(weak, Advice::VerifyServer);
        return took.into_iter().fold(step, Step::took);
    };
    let seen = format!(
        "{}, sslmode={mode}; {}",
        certificate.version,
        described(certificate)
    );
    let step = Step::new("tls", Status::Ok, seen)
        .warn_if(certificate.days_left < SOON, Advice::Renew)
        .warn_if(weak, Advice::VerifyServer);
    with_details(took.into_iter().fold(step, Step::took), certificate)
}

fn described(certificate: &Certificate) -> String {
    let Certificate {
        names,
        chain,
        expires,
        days_left,
        ..
    } = certificate;
    let days = counted(u64::from(days_left.unsigned_abs()), "days");
    let validity = match days_left {
        0.. => format!("valid until {expires} ({days} left)"),
        _ => format!("expired on {expires} ({days} ago)"),
    };
    format!(
        "for {}, {validity}, signed by {}",
        names.join(", "),
        chain.join(" < ")
    )
}

fn with_details(step: Step, certificate: &Certificate) -> Step {
    step.detail("version", certificate.version.clone())
        .detail("names", certificate.names.clone())
        .detail("chain", certificate.chain.clone())
        .detail("expires", certificate.expires.clone())
        .detail("days_left", certificate.days_left)
}

fn connections(facts: &ServerFacts) -> Step {
    let used: u32 = facts.applications.iter().map(|(_, count)| count).sum();
    let max = facts.max_connections;
    let free = max.saturating_sub(facts.reserved_connections);
    let by_name: Vec<String> = facts
        .applications
        .iter()
        .take(6)
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let seen = format!(
        "{used} of {max} used, {} reserved for administrators: {}",
        facts.reserved_connections,
        by_name.join(", ")
    );
    let is_crowded = used * 100 >= free * CROWDED;
    let step =
        Step::new("connections", Status::Ok, seen).warn_if(is_crowded, Advice::FewConnections);
    let by_name = facts
        .applications
        .iter()
        .map(|(name, count)| json!({ "application": name, "count": count }));
    step.detail("used", used)
        .detail("maximum", max)
        .detail("reserved", facts.reserved_connections)
        .detail("applications", by_name.collect::<Vec<_>>())
}

/// Returns the step about a difference of clocks, in seconds: positive if the other one is ahead.
pub(super) fn clock(name: &str, skew: f64, whose: &str) -> Step {
    let off = skew.abs();
    let which = if skew > 0.0 { "behind" } else { "ahead of" };
    let seen = if off < 1.0 {
        format!("this machine's clock agrees with {whose}")
    } else {
        format!("this machine's clock is {off:.0} s {which} {whose}")
    };
    let step = if off >= SKEWS.1 {
        Step::failed(
            name,
            &Error::new(ErrorKind::Failed, seen).hint(Advice::Clock),
        )
    } else if off >= SKEWS.0 {
        Step::new(name, Status::Warning, seen).hint(Advice::Clock)
    } else {
        Step::new(name, Status::Ok, seen)
    };
    step.detail("seconds", (skew * 1000.0).round() / 1000.0)
}

/// Returns the difference of a clock from this machine's.
pub(super) fn skew(clock: &dyn Clock, theirs: jiff::Timestamp) -> f64 {
    theirs.duration_since(clock.now()).as_secs_f64()
}

/// Returns the step about privileges that a role lacks on tables of its `search_path`.
pub(super) fn privileges(facts: &ServerFacts, asked: &[Privilege]) -> Step {
    let name = "privileges";
    if facts.lacking.is_empty() {
        let mut tables: Vec<&str> = asked.iter().map(|(table, _)| *table).collect();
        tables.dedup();
        return Step::new(
            name,
            Status::Ok,
            format!("{} may use {}", facts.role, tables.join(", ")),
        );
    }
    let lacks = facts
        .lacking
        .iter()
        .map(|(table, privilege)| match privilege {
            Some(privilege) => format!("{privilege} on {table}"),
            None => format!("the table {table}"),
        });
    let lacks = lacks.collect::<Vec<_>>().join(", ");
    let is_missing = facts
        .lacking
        .iter()
        .any(|(_, privilege)| privilege.is_none());
    if is_missing {
        let message = format!("missing: {lacks}");
        return Step::failed(name, &Error::usage(message).hint(Advice::WrongHistory));
    }
    let grants = facts.lacking.iter().filter_map(|(table, privilege)| {
        Some(format!(
            "GRANT {} ON {table} TO {};",
            (*privilege)?,
            facts.role
        ))
    });
    let error = Error::new(
        ErrorKind::Credentials,
        format!("{} lacks {lacks}", facts.role),
    );
    Step::failed(name, &grants.fold(error, Error::hint))
}

fn shown_time(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
