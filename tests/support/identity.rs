//! The servers of a log-in without a key file: an identity provider, the token exchange, the impersonation service and
//! a metadata server, on one port without TLS. They check each request as the real ones do, then play a script.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::listener::listen;

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const CLOUD: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The audience that the token exchange serves.
pub(crate) const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/ci";
/// The token of the other identity provider.
pub(crate) const SUBJECT: &str = "subject.token-s3cr3t/+=&";
pub(crate) const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// The account that may be impersonated.
pub(crate) const TARGET: &str = "sender@example-project.iam.example.com";
/// The token that the exchange issues for an impersonation.
const FEDERATED: &str = "federated-s3cr3t";

/// One of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Server {
    Subject,
    Exchange,
    Impersonation,
    Token,
    Project,
}

/// What becomes of a request that is well-formed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fate {
    Answer(u16, Value),
    /// With this status.
    Html(u16),
    Garbage,
    Endless,
    Hang,
    Close,
    /// A token whose life is over.
    Expired,
    /// Without the header of a metadata server.
    Unflavored,
}

#[derive(Default)]
struct State {
    /// The bearer tokens that the push service admits.
    bearers: Vec<String>,
    fates: HashMap<Server, VecDeque<Fate>>,
    asked: Vec<Server>,
    /// Why requests were refused.
    complaints: Vec<String>,
    lifetimes: Vec<Value>,
    delegates: Vec<Value>,
    /// The client that signed in for each exchange, and the options, both empty without any.
    clients: Vec<(String, String)>,
}

/// The servers; they stop with the test process.
pub(crate) struct Identity {
    port: u16,
    state: Arc<Mutex<State>>,
}

struct Request {
    method: String,
    path: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Identity {
    /// Starts servers that give out these bearer tokens.
    pub(crate) fn start(bearers: Vec<String>) -> Self {
        let state = Arc::new(Mutex::new(State {
            bearers,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        let port = listen(move |connection| serve(connection, &shared));
        Self { port, state }
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host())
    }

    /// Returns the address at which an account is impersonated.
    pub(crate) fn impersonation_url(&self) -> String {
        self.url(&format!(
            "/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken"
        ))
    }

    /// Returns an external account, whose token comes from the identity provider.
    pub(crate) fn external_account(&self) -> Value {
        json!({
            "type": "external_account",
            "audience": AUDIENCE,
            "subject_token_type": JWT,
            "token_url": self.url("/v1/token"),
            "credential_source": {
                "url": self.url("/subject?audience=a"),
                "headers": { "Metadata": "True" },
                "format": { "type": "json", "subject_token_field_name": "id_token" },
            },
        })
    }

    /// Sets the fate of the next requests to a server, one each; later ones are answered.
    pub(crate) fn next(&self, server: Server, fates: impl IntoIterator<Item = Fate>) {
        self.state
            .lock()
            .unwrap()
            .fates
            .insert(server, fates.into_iter().collect());
    }

    /// Returns which servers were asked, in order; fails if a request was not as it should be.
    pub(crate) fn asked(&self) -> Vec<Server> {
        let state = self.state.lock().unwrap();
        assert!(state.complaints.is_empty(), "{:?}", state.complaints);
        state.asked.clone()
    }

    /// Returns how often a server was asked.
    pub(crate) fn count(&self, server: Server) -> usize {
        self.asked()
            .into_iter()
            .filter(|asked| *asked == server)
            .count()
    }

    /// Returns who signed in for each exchange, by the header, and the options.
    pub(crate) fn clients(&self) -> Vec<(String, String)> {
        self.state.lock().unwrap().clients.clone()
    }

    /// Returns the lifetimes and the delegates of the impersonations.
    pub(crate) fn impersonations(&self) -> (Vec<Value>, Vec<Value>) {
        let state = self.state.lock().unwrap();
        (state.lifetimes.clone(), state.delegates.clone())
    }
}

fn serve(connection: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some(request) = read(&mut reader)? {
        let (fate, is_metadata) = state.lock().unwrap().fate(&request);
        let flavor = if is_metadata && fate != Fate::Unflavored {
            "Metadata-Flavor: Google\r\n"
        } else {
            ""
        };
        let html = "<!DOCTYPE html><html><title>Sign in</title></html>".to_owned();
        let (status, body) = match fate {
            Fate::Answer(status, Value::String(text)) => (status, text),
            Fate::Answer(status, body) => (status, body.to_string()),
            Fate::Html(status) => (status, html),
            Fate::Garbage => (200, "{\"access_token\": 7, s3cr3t".to_owned()),
            Fate::Expired | Fate::Unflavored => (
                200,
                json!({"access_token": "ya29.x", "expires_in": 0}).to_string(),
            ),
            Fate::Close => return Ok(()),
            Fate::Hang => {
                thread::sleep(Duration::from_secs(60));
                return Ok(());
            }
            Fate::Endless => {
                writer.write_all(b"HTTP/1.1 200 X\r\n\r\n")?;
                loop {
                    writer.write_all(&[b'x'; 4096])?;
                }
            }
        };
        let length = body.len();
        write!(
            writer,
            "HTTP/1.1 {status} X\r\n{flavor}content-length: {length}\r\n\r\n{body}"
        )?;
    }
    Ok(())
}

fn read(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    if reader.read_line(&mut head)? == 0 {
        return Ok(None);
    }
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|length| length.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let mut words = head.split(' ').map(str::to_owned);
    Ok(Some(Request {
        method: words.next().unwrap(),
        path: words.next().unwrap(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }))
}

impl Request {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Returns the fields of the query or of a form.
    fn pairs(text: &str) -> HashMap<String, String> {
        let url = reqwest::Url::parse(&format!("form:?{text}")).unwrap();
        url.query_pairs().into_owned().collect()
    }
}

impl State {
    /// Returns what becomes of a request, and whether it is one to the metadata server.
    fn fate(&mut self, request: &Request) -> (Fate, bool) {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let (server, checked) = match path {
            "/subject" => (Server::Subject, check_subject(request)),
            "/v1/token" => (Server::Exchange, check_exchange(request)),
            "/computeMetadata/v1/project/project-id" => (Server::Project, check_metadata(request)),
            "/computeMetadata/v1/instance/service-accounts/default/token" => {
                let scopes = Request::pairs(query).remove("scopes").unwrap_or_default();
                let checked = check_metadata(request).and_then(|()| same("scopes", &scopes, SCOPE));
                (Server::Token, checked)
            }
            _ => (Server::Impersonation, self.check_impersonation(request)),
        };
        self.asked.push(server);
        if server == Server::Exchange {
            let options = Request::pairs(&request.body).remove("options");
            let client = request.header("authorization").to_owned();
            self.clients.push((client, options.unwrap_or_default()));
        }
        let is_metadata = matches!(server, Server::Token | Server::Project);
        if let Err(complaint) = checked {
            let body = json!({"error": "invalid_request", "error_description": complaint});
            self.complaints.push(format!("{server:?}: {complaint}"));
            return (Fate::Answer(400, body), is_metadata);
        }
        let planned = self.fates.get_mut(&server).and_then(VecDeque::pop_front);
        let fate = match planned {
            Some(Fate::Expired) if server == Server::Impersonation => Fate::Answer(
                200,
                json!({"accessToken": "ya29.x", "expireTime": "2020-01-01T00:00:00Z"}),
            ),
            Some(planned) => planned,
            None => Fate::Answer(200, self.answer(server, &request.body)),
        };
        (fate, is_metadata)
    }

    fn answer(&mut self, server: Server, body: &str) -> Value {
        let is_federated = Request::pairs(body).get("scope").map(String::as_str) == Some(CLOUD);
        match server {
            Server::Subject => json!({ "id_token": SUBJECT }),
            Server::Project => "example-project\n".into(),
            Server::Exchange if is_federated => json!({
                "access_token": FEDERATED, "expires_in": 3599, "token_type": "Bearer",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            }),
            Server::Exchange | Server::Token => {
                json!({"access_token": self.bearer(), "expires_in": 3599, "token_type": "Bearer"})
            }
            Server::Impersonation => {
                let end = jiff::Timestamp::now() + Duration::from_secs(3600);
                json!({"accessToken": self.bearer(), "expireTime": end.to_string()})
            }
        }
    }

    fn bearer(&mut self) -> String {
        self.bearers.pop().expect("enough bearer tokens")
    }

    fn check_impersonation(&mut self, request: &Request) -> Result<(), String> {
        same(
            "path",
            &request.path,
            &format!("/v1/projects/-/serviceAccounts/{TARGET}:generateAccessToken"),
        )?;
        same("method", &request.method, "POST")?;
        same(
            "content-type",
            request.header("content-type"),
            "application/json",
        )?;
        let body: Value = serde_json::from_str(&request.body).map_err(|error| error.to_string())?;
        same(
            "scope",
            &body["scope"].to_string(),
            &json!([SCOPE]).to_string(),
        )?;
        self.lifetimes.push(body["lifetime"].clone());
        self.delegates.push(body["delegates"].clone());
        let authorization = request.header("authorization");
        // A token of the push stand-in comes from a service account whose token endpoint is there.
        if authorization.starts_with("Bearer ya29.c.") {
            return Ok(());
        }
        same(
            "authorization",
            authorization,
            &format!("Bearer {FEDERATED}"),
        )
    }
}

fn check_subject(request: &Request) -> Result<(), String> {
    same("method", &request.method, "GET")?;
    same("path", &request.path, "/subject?audience=a")?;
    same("metadata", request.header("metadata"), "True")
}

fn check_exchange(request: &Request) -> Result<(), String> {
    same("method", &request.method, "POST")?;
    same(
        "content-type",
        request.header("content-type"),
        "application/x-www-form-urlencoded",
    )?;
    let fields = Request::pairs(&request.body);
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    same(
        "grant_type",
        &field("grant_type"),
        "urn:ietf:params:oauth:grant-type:token-exchange",
    )?;
    same("audience", &field("audience"), AUDIENCE)?;
    let access_token = "urn:ietf:params:oauth:token-type:access_token";
    same(
        "requested_token_type",
        &field("requested_token_type"),
        access_token,
    )?;
    same("subject_token_type", &field("subject_token_type"), JWT)?;
    same("subject_token", &field("subject_token"), SUBJECT)?;
    let scope = field("scope");
    if [SCOPE, CLOUD].contains(&scope.as_str()) {
        Ok(())
    } else {
        Err(format!("scope is {scope:?}"))
    }
}

fn check_metadata(request: &Request) -> Result<(), String> {
    same("method", &request.method, "GET")?;
    same(
        "metadata-flavor",
        request.header("metadata-flavor"),
        "Google",
    )
}

fn same(name: &str, found: &str, expected: &str) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{name} is {found:?}, not {expected:?}"))
    }
}
