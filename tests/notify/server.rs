//! A small HTTP/1.1 server that answers each request as it was told beforehand, and keeps what it was asked.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Status {
        code: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: &'static str,
    },
    /// 403, with the path that was asked for.
    EchoPath,
    /// Nothing, while the connection stays open.
    Silence,
    /// The connection is reset.
    Reset,
    /// Bytes that are not HTTP.
    Garbage,
    /// The beginning of an answer.
    BreakOff,
    /// 500 with a body without end.
    Endless,
}

impl Answer {
    pub(crate) fn status(code: u16, body: &'static str) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        if let Self::Status { headers, .. } = &mut self {
            headers.push((name, value));
        }
        self
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self
            .headers
            .iter()
            .filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.as_str())
    }
}

pub(crate) struct Server {
    port: u16,
    requests: Arc<Mutex<Vec<Request>>>,
    task: JoinHandle<()>,
}

impl Server {
    /// One answer for each request; a request beyond them is kept and not answered.
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            let mut answers = answers.into_iter();
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else {
                    continue;
                };
                let path = request.path.clone();
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(request);
                let answer = answers.next().unwrap_or(Answer::Silence);
                open.push(tokio::spawn(give(stream, answer, path)));
            }
        });
        Self {
            port,
            requests,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).ok()?;
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ');
    let mut request = Request {
        method: first.next()?.to_owned(),
        path: first.next()?.to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    request.body = bytes[head..].to_vec();
    Some(request)
}

/// Errors of writing are the client's: it may have left.
async fn give(mut stream: TcpStream, answer: Answer, path: String) {
    let text = match answer {
        Answer::Status {
            code,
            headers,
            body,
        } => {
            let mut lines = String::new();
            for (name, value) in headers {
                let _ = write!(lines, "{name}: {value}\r\n");
            }
            format!(
                "HTTP/1.1 {code} X\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Answer::EchoPath => {
            let body = format!("no such hook: {path}");
            format!(
                "HTTP/1.1 403 X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Answer::Garbage => "220 mail.example.com ESMTP\r\n".to_owned(),
        Answer::BreakOff => "HTTP/1.1 200 OK\r\ncontent-le".to_owned(),
        Answer::Reset => {
            // Closing without lingering sends a reset.
            let _ = stream.set_zero_linger();
            return;
        }
        Answer::Silence => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            return;
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 500 X\r\n\r\n").await;
            while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
            return;
        }
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
