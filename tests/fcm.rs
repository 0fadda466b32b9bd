//! The push service's client against its stand-in: every row of the answer table, with the tries and waits observed.

mod answers;
mod connections;
mod pace;
mod stand_in;
mod stopping;
mod tokens;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use pushctl::clock::System;
use pushctl::error::Result;
use pushctl::fcm::{
    Client, CollapseIds, Composer, Credentials, Delivery, FcmSettings, Login, MessageReport,
    Outcome, Platform, Reports, SendJob,
};
use pushctl::settings::secret::Secret;
use pushctl::template::link::AllowedHosts;
use pushctl::template::message_options::MessageOptions;
use pushctl::template::push::{PushTemplate, Wording};
use tempfile::NamedTempFile;

use crate::support::fcm::{ACCOUNT_EMAIL, PROJECT, StandIn, private_key_pem};

/// No test waits for longer than this.
const BOUND: Duration = Duration::from_secs(60);

/// What it takes to send to a stand-in: small waits, and its certificate authority in a file.
pub(crate) struct Bench {
    settings: FcmSettings,
    authority: NamedTempFile,
}

impl Bench {
    pub(crate) fn of(stand_in: &StandIn) -> Self {
        let mut authority = NamedTempFile::new().expect("a file");
        authority
            .write_all(stand_in.authority_pem())
            .expect("written");
        let settings = FcmSettings {
            base_url: stand_in.base_url(),
            token_uri: Some(stand_in.token_uri()),
            trusted: Some(authority.path().to_owned()),
            connections: 3,
            answer_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(5),
            quota_pause: Duration::from_millis(400),
            backoff: Duration::from_millis(100),
            tries: 4,
            ..FcmSettings::default()
        };
        Self {
            settings,
            authority,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut FcmSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Trusts the certificate of another stand-in too.
    pub(crate) fn trusting(mut self, other: &StandIn) -> Self {
        self.authority
            .write_all(other.authority_pem())
            .expect("written");
        self
    }

    pub(crate) async fn connect(&self) -> Result<(Client, Reports)> {
        Client::connect(self.settings.clone(), account(), Arc::new(System)).await
    }

    /// Sends one message to each token and awaits every report, in the order of the tokens.
    pub(crate) async fn send<S: AsRef<str>>(&self, tokens: &[S]) -> Sent {
        self.send_to(tokens.iter().map(|token| (token.as_ref(), None)))
            .await
    }

    /// The same on a connection that has answered once, so that it takes a hundred messages at a time.
    pub(crate) async fn send_warm<S: AsRef<str>>(&self, tokens: &[S]) -> Sent {
        let (client, mut reports) = self.connect().await.expect("connected");
        let all = ["warm-up"]
            .into_iter()
            .chain(tokens.iter().map(AsRef::as_ref));
        let mut first = jobs(all.map(|token| (token, None)));
        let rest = first.split_off(1);
        client.submit_all(first).await;
        let warm = next(&mut reports).await.expect("a report");
        assert_eq!(code(&warm), "accepted");
        client.submit_all(rest).await;
        client.close();
        let reports: Vec<MessageReport> = collect(reports).await.into_values().collect();
        assert_eq!(reports.len(), tokens.len(), "one report a job");
        Sent { reports, client }
    }

    /// The same for tokens whose platform is known.
    pub(crate) async fn send_to<'t>(
        &self,
        tokens: impl Iterator<Item = (&'t str, Option<Platform>)>,
    ) -> Sent {
        let (client, reports) = self.connect().await.expect("connected");
        let jobs: Vec<SendJob> = jobs(tokens);
        let count = jobs.len();
        let submit = async {
            client.submit_all(jobs).await;
            client.close();
        };
        let (reports, ()) = tokio::join!(collect(reports), submit);
        assert_eq!(reports.len(), count, "one report a job");
        Sent {
            reports: reports.into_values().collect(),
            client,
        }
    }
}

/// What a send came to.
pub(crate) struct Sent {
    pub(crate) reports: Vec<MessageReport>,
    pub(crate) client: Client,
}

impl Sent {
    /// The codes and how often there were, `accepted` among them.
    pub(crate) fn tally(&self) -> BTreeMap<&str, usize> {
        let mut tally = BTreeMap::new();
        for report in &self.reports {
            *tally.entry(code(report)).or_default() += 1;
        }
        tally
    }

    pub(crate) fn accepted(&self) -> usize {
        self.tally().get("accepted").copied().unwrap_or_default()
    }
}

/// The outcome's code, or `accepted`.
pub(crate) fn code(report: &MessageReport) -> &str {
    match &report.outcome {
        Outcome::Accepted { .. } => "accepted",
        other => other.code(),
    }
}

pub(crate) fn account() -> Login {
    Login::load(
        &Credentials::Variables {
            project: PROJECT.to_owned(),
            client_email: ACCOUNT_EMAIL.to_owned(),
            private_key: Secret::new(private_key_pem().replace('\n', "\\n")),
        },
        None,
    )
    .expect("a service account")
}

pub(crate) fn jobs<'t>(tokens: impl Iterator<Item = (&'t str, Option<Platform>)>) -> Vec<SendJob> {
    let mut composer = composer(Delivery::Live);
    tokens
        .zip(0..)
        .map(|((token, platform), id)| SendJob {
            id,
            body: composer
                .compose(token, ["Ana"].as_slice(), None)
                .expect("a message"),
            platform,
        })
        .collect()
}

pub(crate) fn composer(delivery: Delivery) -> Composer {
    let wording = Wording {
        variants: Vec::new(),
        title: "Hi [[var:name]]".into(),
        body: "Someone wants your shoes".into(),
        deep_link: Some("https://tradeblock.us/closet".into()),
        data: BTreeMap::from([("kind".into(), "layer2".into())]),
        options: MessageOptions::default(),
    };
    let push = PushTemplate::parse(&wording, &AllowedHosts::default())
        .and_then(|push| push.bind(&["name"]))
        .expect("a sound push");
    Composer::new(push, delivery, Some(CollapseIds::of("run-1")))
}

/// The next report; `None` once the client is closed and every job is reported.
pub(crate) async fn next(reports: &mut Reports) -> Option<MessageReport> {
    let mut one = Vec::new();
    reports.next_many(&mut one, 1).await;
    one.pop()
}

/// All reports by id; each id once.
pub(crate) async fn collect(mut reports: Reports) -> BTreeMap<u64, MessageReport> {
    let all = async {
        let mut by_id = BTreeMap::new();
        while let Some(report) = next(&mut reports).await {
            assert!(
                by_id.insert(report.id, report).is_none(),
                "a job was reported twice"
            );
        }
        by_id
    };
    tokio::time::timeout(BOUND, all)
        .await
        .expect("all reports in time")
}

/// `stem-0`, `stem-1`, …
pub(crate) fn tokens(stem: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{stem}-{number}"))
        .collect()
}

/// The tokens that the stand-in accepted, none of them twice.
pub(crate) fn accepted_once(stand_in: &StandIn) -> Vec<String> {
    let mut tokens: Vec<String> = stand_in
        .accepted()
        .into_iter()
        .map(|entry| entry.token)
        .collect();
    tokens.sort();
    let count = tokens.len();
    tokens.dedup();
    assert_eq!(tokens.len(), count, "a token was sent to twice");
    tokens
}
