//! Measures how fast the client sends on its own: `fcm-load --dir DIR` (the directory of a running `fcm-standin`).
//!
//! Prints one JSON object: messages a second, CPU a message, and the totals of the reports.

#![allow(clippy::print_stdout, reason = "it prints its measurement")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use pushctl::clock::System;
use pushctl::fcm::{
    Client, CollapseIds, Composer, Credentials, Delivery, FcmSettings, Limits, Login, SendJob,
};
use pushctl::template::link::AllowedHosts;
use pushctl::template::message_options::MessageOptions;
use pushctl::template::push::{Problem, PushTemplate, Wording};
use serde_json::json;

/// Measures the push client against a running stand-in
#[derive(Parser)]
#[command(name = "fcm-load")]
struct Arguments {
    /// The stand-in's directory
    #[arg(long)]
    dir: PathBuf,
    /// Messages
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Largest number of connections
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Rate limit in messages a second
    #[arg(long, default_value_t = 1_000_000)]
    rate: u32,
    /// Threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads)
        .enable_all()
        .build()?
        .block_on(measure(&arguments))
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let at = |name: &str| arguments.dir.join(name);
    let ready: serde_json::Value = serde_json::from_slice(&fs::read(at("ready.json"))?)?;
    let settings = FcmSettings {
        base_url: ready["url"].as_str().context("no url")?.to_owned(),
        trusted: Some(at("ca.pem")),
        connections: arguments.connections,
        rate: arguments.rate,
        limits: Limits {
            always: 2.0,
            jump: 2.0,
            ..Limits::default()
        },
        ..FcmSettings::default()
    };
    let account = Login::load(&Credentials::File(at("service-account.json")), None)?;
    let (client, mut reports) = Client::connect(settings, account, Arc::new(System)).await?;

    let (started, cpu) = (Instant::now(), cpu_seconds());
    let count = arguments.count;
    let sender = tokio::spawn(async move {
        let mut composer = composer()?;
        let mut next = 0;
        while next < count {
            let end = (next + 256).min(count);
            let jobs = (next..end).map(|id| {
                let row = ["Ana".to_owned(), format!("{}", id % 90 + 1)];
                let token = format!("dJ8sK2:APA91b{id:0130}");
                let body = composer
                    .compose(&token, row.as_slice(), None)
                    .unwrap_or_default();
                SendJob {
                    id,
                    body,
                    platform: None,
                }
            });
            client.submit_all(jobs.collect::<Vec<_>>()).await;
            next = end;
        }
        client.close();
        anyhow::Ok(client)
    });
    let mut outcomes: BTreeMap<String, u64> = BTreeMap::new();
    let mut batch = Vec::new();
    while reports.next_many(&mut batch, 512).await > 0 {
        for report in batch.drain(..) {
            *outcomes
                .entry(report.outcome.code().to_owned())
                .or_default() += 1;
        }
    }
    let client = sender.await??;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let messages = count as f64;
    println!(
        "{}",
        json!({
            "messages_a_second": (messages / seconds).round(),
            "cpu_microseconds_a_message": (cpu * 1e7 / messages).round() / 10.0,
            "seconds": (seconds * 1e3).round() / 1e3,
            "outcomes": outcomes,
            "halted": client.halted().map(|halt| halt.reason),
        })
    );
    Ok(())
}

fn composer() -> Result<Composer> {
    let wording = Wording {
        variants: Vec::new(),
        title: "[[var:first_name|default:\"Someone\"]], someone wants your shoes".into(),
        body: "[[var:count|number]] [[var:count|plural:\"person wants\",\"people want\"]] your Jordan 4".into(),
        deep_link: Some("https://tradeblock.us/closet".into()),
        data: BTreeMap::new(),
        options: MessageOptions::default(),
    };
    let bound = PushTemplate::parse(&wording, &AllowedHosts::default())
        .and_then(|push| push.bind(&["first_name", "count"]))
        .map_err(|problems| Problem::error(&problems))?;
    Ok(Composer::new(
        bound,
        Delivery::Live,
        Some(CollapseIds::of("bench")),
    ))
}

/// Returns the CPU time of this process, in all its threads; 0 on systems without /proc.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}
