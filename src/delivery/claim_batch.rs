//! A batch on its way: who is held back is recorded, who remains is claimed group by group, and what was won is submitted.

use std::collections::HashSet;

use csv::StringRecord;

use super::eligibility::{EligibleBatch, Person, Sifted};
use super::feeder::{BATCH, Feeder, lock};
use super::recorder::SubmittedMessage;
use super::{AudienceReader, InDoubt};
use crate::error::Result;
use crate::fcm::{Composer, SendJob};
use crate::state::ledger::{
    Basis, Candidate, Claim, Claimed, Counted, Device, Dismissal, Ending, Guard, Limit, Standing,
    TokenHash, UserKey, Words,
};

/// Claims made by one durable commit at most.
const GROUP: usize = 1_000;

impl Feeder<'_> {
    /// Sends a batch; those who were not got to, if it was stopped.
    pub(super) async fn send_batch(
        &self,
        composer: &mut Composer,
        batch: Vec<Person>,
    ) -> Result<Vec<UserKey>> {
        let mut sifted = self.sift(composer, batch).await?;
        self.exclude(composer, &mut sifted).await?;
        self.dismiss(std::mem::take(&mut sifted.dismissed)).await?;
        let mut ready = std::mem::take(&mut sifted.ready);
        while !ready.is_empty() {
            let Some(group) = self.wait_for_room(ready.len().min(GROUP)).await? else {
                return Ok(ready.into_iter().map(|one| one.person.user).collect());
            };
            let rest = ready.split_off(group);
            let answers = self.claim(&ready, &sifted.guard).await?;
            let won = |one: &Claimed| matches!(one, Claimed::Won(_));
            self.claimed(answers.iter().filter(|one| won(one)).count());
            // At once: what is claimed and has not left is in doubt after a crash.
            self.submit(composer, (ready, answers), &sifted).await?;
            ready = rest;
        }
        Ok(Vec::new())
    }

    /// Those whom the history holds back. Where this push was begun before, what it holds against them may be this very
    /// push: the ledger is asked, under a guard that lets nobody through.
    pub(super) async fn exclude(
        &self,
        composer: &mut Composer,
        sifted: &mut Sifted<'_>,
    ) -> Result<()> {
        let excluded = std::mem::take(&mut sifted.excluded);
        if !self.again {
            sifted
                .dismissed
                .extend(excluded.into_iter().map(|(_, dismissal)| dismissal));
            return Ok(());
        }
        let nobody = Guard {
            limits: vec![Limit {
                layers: u32::MAX,
                since: self.store_now(),
                at_most: 0,
            }],
            basis: Basis::Here,
        };
        let candidates = excluded
            .iter()
            .map(|(person, _)| candidate(person, Counted::default()))
            .collect();
        let answers = self
            .store
            .claim(self.push, self.sender, candidates, &nobody)
            .await?;
        for ((person, dismissal), answer) in excluded.into_iter().zip(answers) {
            match answer {
                Claimed::Before(devices) => self.before(composer, &person, &devices).await?,
                _ => sifted.dismissed.push(dismissal),
            }
        }
        Ok(())
    }

    pub(super) fn store_now(&self) -> jiff::Timestamp {
        self.push.opened_at
    }

    async fn claim(&self, ready: &[EligibleBatch], guard: &Guard) -> Result<Vec<Claimed>> {
        let candidates = ready
            .iter()
            .map(|one| candidate(&one.person, one.counted))
            .collect();
        self.store
            .claim(self.push, self.sender, candidates, guard)
            .await
    }

    /// Submits what was won of a group, and records why the others were not.
    async fn submit(
        &self,
        composer: &mut Composer,
        (ready, answers): (Vec<EligibleBatch>, Vec<Claimed>),
        sifted: &Sifted<'_>,
    ) -> Result<()> {
        let asked = ready.len();
        let mut jobs = Vec::with_capacity(asked);
        let mut dismissed = Vec::new();
        let mut dismiss = |user: UserKey, code: &str| {
            let (ending, code) = (Ending::Skipped, code.to_owned());
            dismissed.push(Dismissal { user, ending, code });
        };
        for (mut one, answer) in ready.into_iter().zip(answers) {
            match answer {
                Claimed::Won(won) => {
                    for (place, device) in won.iter().enumerate() {
                        let token = &one.person.tokens[device.token];
                        let body = if device.token == 0 {
                            one.body.clone()
                        } else {
                            match composer.compose(token, &one.person.row) {
                                Ok(body) => body,
                                Err(_) => continue,
                            }
                        };
                        let words = one.words.take().filter(|_| place == 0);
                        let flight = flight(device.claim, &one.person, token, words, place == 0);
                        jobs.push(self.take_off(flight, body));
                    }
                }
                Claimed::Before(devices) => self.before(composer, &one.person, &devices).await?,
                Claimed::Repeated => self.progress.advance(1),
                Claimed::TokenTaken => dismiss(one.person.user, "token-taken"),
                Claimed::Over(limit) => {
                    let screen = sifted.screen.as_ref();
                    let key = screen.map_or("cadence", |screen| screen.exclusion(limit).key());
                    dismiss(one.person.user, key);
                }
            }
        }
        self.return_room(asked, jobs.len());
        self.client.submit_all(jobs).await;
        self.dismiss(dismissed).await
    }

    /// Somebody who was claimed before. If their message is in doubt, and that is to be tried again, it is.
    pub(super) async fn before(
        &self,
        composer: &mut Composer,
        person: &Person,
        devices: &[Device],
    ) -> Result<()> {
        self.progress.advance(1);
        if self.order.in_doubt == InDoubt::Keep {
            return Ok(());
        }
        let doubted: Vec<Device> = devices
            .iter()
            .filter(|device| device.standing == Standing::Ended(Ending::InDoubt))
            .cloned()
            .collect();
        if doubted.is_empty() {
            return Ok(());
        }
        let known = |device: &&Device| {
            person
                .tokens
                .iter()
                .any(|token| device.token == Some(TokenHash::of(token)))
        };
        let doubted: Vec<Device> = doubted.iter().filter(known).cloned().collect();
        let claims = self.store.retry(self.sender, &doubted).await?;
        let mut jobs = Vec::new();
        for (device, claim) in doubted.iter().filter_map(|device| {
            let claim = claims.iter().find(|claim| claim.id == device.claim.id)?;
            Some((device, *claim))
        }) {
            let token = person
                .tokens
                .iter()
                .find(|token| device.token == Some(TokenHash::of(token)));
            if let Some(token) = token
                && let Ok(body) = composer.compose(token, &person.row)
            {
                let words = self.own_words(composer);
                let flight = flight(claim, person, token, words, false);
                jobs.push(self.take_off(flight, body));
            }
        }
        self.return_room(0, jobs.len());
        self.client.submit_all(jobs).await;
        Ok(())
    }

    pub(super) fn take_off(&self, flight: SubmittedMessage, body: bytes::Bytes) -> SendJob {
        let id = flight.claim.id.cast_unsigned();
        lock(&self.state.flights).insert(id, flight);
        SendJob {
            id,
            body,
            platform: None,
        }
    }

    pub(super) fn land(&self, id: u64) -> Option<SubmittedMessage> {
        lock(&self.state.flights).remove(&id)
    }

    pub(super) async fn dismiss(&self, dismissed: Vec<Dismissal>) -> Result<()> {
        if dismissed.is_empty() {
            return Ok(());
        }
        let count = dismissed.len() as u64;
        self.store
            .dismiss(self.push, self.sender, dismissed)
            .await?;
        self.progress.advance(count);
        Ok(())
    }

    /// Of a cancelled run everybody who was not got to is recorded as such; of any other stop, nobody: it can go on.
    pub(super) async fn cancel(&self, users: Vec<UserKey>) -> Result<()> {
        if !self.is_cancelled() || users.is_empty() {
            return Ok(());
        }
        // They are recorded, but nothing was done for them: the progress stays where it is.
        let (ending, code) = (Ending::Cancelled, "cancelled");
        let dismissed = users.into_iter().map(|user| Dismissal {
            user,
            ending,
            code: code.to_owned(),
        });
        self.store
            .dismiss(self.push, self.sender, dismissed.collect())
            .await
    }

    pub(super) async fn cancel_rest(
        &self,
        reader: &mut AudienceReader,
        mut left: u64,
        seen: &mut HashSet<UserKey>,
    ) -> Result<()> {
        let mut row = StringRecord::new();
        while left > 0 && self.is_cancelled() {
            let mut users = Vec::with_capacity(BATCH);
            while users.len() < BATCH && left > 0 {
                reader.next_of(&mut row, left)?;
                left -= 1;
                let user = UserKey::of(reader.user(&row));
                if !self.is_repeated(&user, seen) {
                    users.push(user);
                }
            }
            self.cancel(users).await?;
        }
        Ok(())
    }
}

fn flight(
    claim: Claim,
    person: &Person,
    token: &str,
    words: Option<Words>,
    ends_row: bool,
) -> SubmittedMessage {
    SubmittedMessage {
        claim,
        user: person.user.clone(),
        token: token.to_owned(),
        words,
        ends_row,
    }
}

fn candidate(person: &Person, counted: Counted) -> Candidate {
    Candidate {
        user: person.user.clone(),
        tokens: person
            .tokens
            .iter()
            .map(|token| TokenHash::of(token))
            .collect(),
        counted,
    }
}
