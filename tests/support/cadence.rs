//! A stand-in for the existing cadence service: plain HTTP on loopback, with its contract and, on request, its
//! failures.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::listener::listen;

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// As the contract says.
    Well,
    /// As the service does when its database is unreachable: 500, an error, and everyone eligible.
    FailsOpen,
    /// The same, with status 200.
    FailsOpenPolitely,
    /// 404 and an error: a user whom it does not know.
    KnowsNoSuchUser,
    /// 503 and an HTML page.
    Unavailable,
    /// 200, and a count that differs from the number of excluded users.
    Miscounts,
    /// 200, and an eligible user who was not in the request.
    LetsAStrangerIn,
    /// 200, and no list at all.
    Forgets,
    /// The request is carried out, and the connection is closed without an answer.
    ActsAndHangsUp,
}

/// The service; its port is closed when the test process ends.
pub(crate) struct Service {
    port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    excluded: HashMap<String, &'static str>,
    moods: VecDeque<Mood>,
    batches: Vec<usize>,
    tracked: Vec<Value>,
    requests: usize,
}

impl Service {
    /// Starts a service that excludes these users, each by a rule's key.
    pub(crate) fn start(excluded: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        let state = Arc::new(Mutex::new(State {
            excluded: excluded.into_iter().collect(),
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let port = listen(move |connection| serve(connection, &shared));
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sets how the next requests are answered, one each; later ones are answered by the contract.
    pub(crate) fn next(&self, moods: impl IntoIterator<Item = Mood>) {
        self.state.lock().unwrap().moods = moods.into_iter().collect();
    }

    /// Returns the number of users in each filter request.
    pub(crate) fn batches(&self) -> Vec<usize> {
        self.state.lock().unwrap().batches.clone()
    }

    /// Returns the recorded pushes, in order.
    pub(crate) fn tracked(&self) -> Vec<Value> {
        self.state.lock().unwrap().tracked.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

fn serve(connection: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    loop {
        let mut head = String::new();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let Some((status, answer)) = state.lock().unwrap().answer(&head, &body) else {
            return Ok(());
        };
        let length = answer.len();
        write!(
            writer,
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{answer}"
        )?;
    }
}

impl State {
    /// Returns the status and the body; `None` to close the connection.
    fn answer(&mut self, head: &str, body: &Value) -> Option<(u16, String)> {
        self.requests += 1;
        let mood = self.moods.pop_front().unwrap_or(Mood::Well);
        if mood == Mood::Unavailable {
            return Some((503, "<html>back soon</html>".to_owned()));
        }
        if mood == Mood::KnowsNoSuchUser {
            return Some((404, json!({"error": "user not found"}).to_string()));
        }
        let path = head.split(' ').nth(1).unwrap_or_default();
        let answer = match path {
            "/api/health" => json!({"status": "ok"}),
            "/api/filter-audience" => self.filter(body, mood),
            "/api/track-notification" => self.track(body, mood),
            _ => return Some((404, "{}".to_owned())),
        };
        let status = if mood == Mood::FailsOpen { 500 } else { 200 };
        (mood != Mood::ActsAndHangsUp).then(|| (status, answer.to_string()))
    }

    fn filter(&mut self, body: &Value, mood: Mood) -> Value {
        assert!(body["layerId"].is_u64(), "{body}");
        let asked: Vec<&str> = body["userIds"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect();
        assert_eq!(
            asked.iter().collect::<HashSet<_>>().len(),
            asked.len(),
            "a user is in the request twice"
        );
        self.batches.push(asked.len());
        let mut sums: HashMap<&str, u64> =
            ["l3Cooldown", "l2l3WeeklyLimit", "l5Cooldown", "invalidUuid"]
                .map(|key| (key, 0))
                .into();
        let mut eligible: Vec<&str> = Vec::new();
        for id in &asked {
            match self.excluded.get(*id) {
                Some(rule) => *sums.entry(rule).or_default() += 1,
                None => eligible.push(id),
            }
        }
        let count = asked.len() - eligible.len();
        match mood {
            Mood::FailsOpen | Mood::FailsOpenPolitely => json!({
                "error": "connection to the history was refused", "eligibleUserIds": asked, "excludedCount": 0,
                "exclusionBreakdown": {"l3Cooldown": 0, "l2l3WeeklyLimit": 0, "l5Cooldown": 0, "invalidUuid": 0},
            }),
            Mood::LetsAStrangerIn => {
                eligible.push("00000000-0000-4000-8000-000000000000");
                json!({"eligibleUserIds": eligible, "excludedCount": count, "exclusionBreakdown": sums})
            }
            Mood::Miscounts => {
                json!({"eligibleUserIds": eligible, "excludedCount": count + 1, "exclusionBreakdown": sums})
            }
            Mood::Forgets => json!({"excludedCount": count, "exclusionBreakdown": sums}),
            _ => {
                json!({"eligibleUserIds": eligible, "excludedCount": count, "exclusionBreakdown": sums})
            }
        }
    }

    fn track(&mut self, body: &Value, mood: Mood) -> Value {
        if matches!(mood, Mood::FailsOpen | Mood::FailsOpenPolitely) {
            return json!({"error": "could not be recorded"});
        }
        self.tracked.push(body.clone());
        json!({"success": true})
    }
}
