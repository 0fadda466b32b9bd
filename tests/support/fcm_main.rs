//! The push service's stand-in as a program, for demonstrations, campaigns and measurements.
//!
//! `fcm-standin --dir DIR [--port N] [--script FILE]` writes `ca.pem` and `service-account.json` into DIR and appends
//! to `accepted.log`. When it is ready it writes `ready.json` and prints the same object on one line. With `--lend` it
//! also writes `bearer`: a token for a load generator that cannot request one.

#![allow(clippy::print_stdout, reason = "it prints its address")]

#[expect(dead_code, reason = "tests use more of it than the program does")]
mod fcm;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;

use fcm::ledger::Memory;
use fcm::script::Script;
use fcm::{Options, Protocol, StandIn};

/// A stand-in for the push service: HTTPS and HTTP/2 on loopback
#[derive(Parser)]
#[command(name = "fcm-standin")]
struct Arguments {
    /// Directory for certificates, credentials and the log
    #[arg(long)]
    dir: PathBuf,
    /// Port on 127.0.0.1; any free one by default
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Script of failures, as TOML
    #[arg(long)]
    script: Option<PathBuf>,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Lifetime of a bearer token in seconds
    #[arg(long, default_value_t = 3599)]
    token_seconds: u64,
    /// HTTP/2 without TLS
    #[arg(long)]
    cleartext: bool,
    /// Write a bearer token into the directory
    #[arg(long)]
    lend: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    fs::create_dir_all(&arguments.dir)?;
    let script = match &arguments.script {
        None => Script::default(),
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            Script::parse(&text).map_err(anyhow::Error::msg)?
        }
    };
    let at = |name: &str| arguments.dir.join(name);
    let stand_in = StandIn::start(&Options {
        port: arguments.port,
        protocol: if arguments.cleartext {
            Protocol::Cleartext
        } else {
            Protocol::Http2
        },
        script,
        log: Some(at("accepted.log")),
        keep: Some(arguments.dir.clone()),
        memory: Memory::Spared,
        threads: arguments.threads,
        token_lifetime: Duration::from_secs(arguments.token_seconds),
        ..Options::default()
    })?;

    fs::write(at("ca.pem"), stand_in.authority_pem())?;
    let account = serde_json::to_string_pretty(&stand_in.service_account())?;
    fs::write(at("service-account.json"), account)?;
    if arguments.lend {
        fs::write(at("bearer"), stand_in.lend())?;
    }
    let ready = json!({
        "url": stand_in.base_url(),
        "token_uri": stand_in.token_uri(),
        "project": fcm::PROJECT,
        "ca": at("ca.pem"),
        "credentials": at("service-account.json"),
        "log": at("accepted.log"),
        "pid": std::process::id(),
    });
    // It is renamed into place, so a waiting process never reads an incomplete file.
    fs::write(at("ready.json.new"), ready.to_string())?;
    fs::rename(at("ready.json.new"), at("ready.json"))?;
    println!("{ready}");
    loop {
        std::thread::park();
    }
}
