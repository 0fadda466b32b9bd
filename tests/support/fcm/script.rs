//! The script of the stand-in: rules over tokens and counts, written in Rust or in a TOML file.
//!
//! ```toml
//! [[rules]]
//! tokens = "dead-*"                    # a `*` matches anything; the default is every token
//! replies = ["unregistered"]           # the n-th request of a token gets the n-th reply
//! repeat = true                        # the last reply goes on for ever; otherwise later requests pass on
//!
//! [[rules]]
//! after = 1000                         # leaves the first thousand requests that match alone
//! every = 500                          # then takes every 500th
//! times = 3                            # three times in all
//! replies = ["go-away", { unavailable = { retry-after = { seconds = 1 } } }]
//! ```
//! The first rule that applies decides; without one the message is accepted.

use std::collections::HashMap;

use serde::Deserialize;

/// All rules, in the order of evaluation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// Selects requests, and gives their replies.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Rule {
    #[serde(default = "any")]
    pub(crate) tokens: String,
    pub(crate) replies: Vec<Reply>,
    #[serde(default)]
    pub(crate) repeat: bool,
    #[serde(default)]
    pub(crate) after: u64,
    #[serde(default = "one")]
    pub(crate) every: u64,
    #[serde(default)]
    pub(crate) times: Option<u64>,
}

/// The reply to a request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub(crate) enum Reply {
    /// 200, the message is logged as accepted.
    Accept,
    /// 404 with `FcmError` UNREGISTERED.
    Unregistered,
    /// 400 `INVALID_ARGUMENT` about the token.
    InvalidToken,
    /// 400 `INVALID_ARGUMENT` whose field violations concern the message.
    InvalidMessage,
    /// 403 `SENDER_ID_MISMATCH`.
    SenderIdMismatch,
    /// 401 `THIRD_PARTY_AUTH_ERROR`.
    ThirdPartyAuth,
    /// 401 without `FcmError`: the bearer token has expired.
    ExpiredToken,
    /// 403 without `FcmError`.
    PermissionDenied,
    /// 404 without `FcmError`.
    NotFound,
    /// 429 `QUOTA_EXCEEDED`.
    Quota { retry_after: Option<RetryAfter> },
    /// 500 INTERNAL.
    Internal { retry_after: Option<RetryAfter> },
    /// 503 UNAVAILABLE.
    Unavailable { retry_after: Option<RetryAfter> },
    /// An HTML page from a proxy, with any status.
    Html { status: u16 },
    /// Another reply, after a delay.
    Slow { ms: u64, then: Box<Reply> },
    /// Accepted and logged, but the stream is reset in place of an answer.
    AcceptThenReset,
    /// Accepted and logged, then the connection is closed without an answer.
    AcceptThenDrop,
    /// Accepted and logged; the answer's head arrives, its body does not.
    AcceptThenTruncate,
    /// Not accepted; the stream is reset with CANCEL, which leaves that open.
    Reset,
    /// `RST_STREAM` with `REFUSED_STREAM`.
    Refuse,
    /// Never answered.
    Hang,
    /// Accepted; the connection sends GOAWAY and ends once its streams are answered.
    GoAway,
    /// The connection sends GOAWAY and ends at once.
    GoAwayNow,
    /// Not accepted; the connection is closed.
    Drop,
}

/// The `Retry-After` header, in either form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RetryAfter {
    /// A number of seconds.
    Seconds(u64),
    /// An HTTP date this many seconds in the future.
    Date(u64),
}

fn any() -> String {
    "*".to_owned()
}

fn one() -> u64 {
    1
}

impl Script {
    /// Gives matching tokens these replies, one after the other; later requests are not affected.
    pub(crate) fn on(mut self, tokens: &str, replies: impl Into<Vec<Reply>>) -> Self {
        self.rules.push(Rule {
            tokens: tokens.to_owned(),
            replies: replies.into(),
            repeat: false,
            after: 0,
            every: 1,
            times: None,
        });
        self
    }

    /// Gives matching tokens this reply each time.
    pub(crate) fn always(self, tokens: &str, reply: Reply) -> Self {
        let mut script = self.on(tokens, [reply]);
        if let Some(rule) = script.rules.last_mut() {
            rule.repeat = true;
        }
        script
    }

    /// Gives this reply to every n-th matching request.
    pub(crate) fn every(self, tokens: &str, every: u64, reply: Reply) -> Self {
        let mut script = self.always(tokens, reply);
        if let Some(rule) = script.rules.last_mut() {
            rule.after = every - 1;
            rule.every = every;
        }
        script
    }

    /// Gives this reply to so many requests in a row, from the `nth` matching one (from 1).
    pub(crate) fn burst(self, tokens: &str, nth: u64, times: u64, reply: Reply) -> Self {
        let mut script = self.nth(tokens, nth, reply);
        if let Some(rule) = script.rules.last_mut() {
            rule.times = Some(times);
        }
        script
    }

    /// Gives this reply only to the `nth` matching request (from 1).
    pub(crate) fn nth(self, tokens: &str, nth: u64, reply: Reply) -> Self {
        let mut script = self.always(tokens, reply);
        if let Some(rule) = script.rules.last_mut() {
            rule.after = nth - 1;
            rule.times = Some(1);
        }
        script
    }

    /// Reads a script file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

/// A running script: the rules with their counts.
#[derive(Debug, Default)]
pub(crate) struct Play {
    script: Script,
    counts: Vec<Count>,
}

#[derive(Debug, Default, Clone)]
struct Count {
    matched: u64,
    taken: u64,
    by_token: HashMap<String, usize>,
}

impl Play {
    pub(crate) fn of(script: Script) -> Self {
        let counts = vec![Count::default(); script.rules.len()];
        Self { script, counts }
    }

    /// Returns whether the script is empty: every message is accepted.
    pub(crate) fn is_empty(&self) -> bool {
        self.script.rules.is_empty()
    }

    /// Returns the reply to this request of `token`.
    pub(crate) fn next(&mut self, token: &str) -> Reply {
        for (rule, count) in self.script.rules.iter().zip(&mut self.counts) {
            if matches(&rule.tokens, token)
                && let Some(reply) = rule.take(count, token)
            {
                return reply;
            }
        }
        Reply::Accept
    }
}

impl Rule {
    fn take(&self, count: &mut Count, token: &str) -> Option<Reply> {
        count.matched += 1;
        let due = count.matched > self.after
            && (count.matched - self.after - 1).is_multiple_of(self.every.max(1));
        if !due || self.times.is_some_and(|times| count.taken >= times) {
            return None;
        }
        if self.repeat && self.replies.len() == 1 {
            count.taken += 1;
            return self.replies.first().cloned();
        }
        let place = count.by_token.entry(token.to_owned()).or_default();
        let reply = self
            .replies
            .get(*place)
            .or_else(|| self.replies.last().filter(|_| self.repeat))?;
        *place += 1;
        count.taken += 1;
        Some(reply.clone())
    }
}

/// Returns whether `pattern`, in which `*` stands for any text, matches all of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    text.strip_prefix(head).is_some_and(|rest| {
        if tail.is_empty() {
            return true;
        }
        (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| matches(tail, rest)))
    })
}
