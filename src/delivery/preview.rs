//! Samples of a push: the shortest message, the longest, and a few in between, drawn evenly from the whole file.

use std::collections::BTreeMap;

use csv::StringRecord;
use serde::Serialize;

use super::groups::VariantSplit;
use super::phone::{Phone, phones};
use super::plan::skip_code;
use super::{AudienceReader, Input};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{Composer, Delivery};
use crate::state::ledger::UserKey;
use crate::template::message_options::MessageOptions;
use crate::template::push::{Problem, PushTemplate};

/// A rendered row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// `shortest`, `longest` or `sample`.
    pub kind: &'static str,
    /// The line of the file that the row begins in; the header is line 1.
    pub line: u64,
    /// The offset of the row in bytes.
    #[serde(skip)]
    pub offset: u64,
    /// The recipient's id.
    pub user_id: String,
    /// The recipient's variant, if the push has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    pub title: String,
    pub body: String,
    pub deep_link: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Size of the payload, of which 4096 are allowed.
    pub bytes: usize,
    /// The message on each platform.
    pub phones: Vec<Phone>,
}

/// The messages of a file, in samples.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Rows of the file.
    pub rows: u64,
    /// Samples, the shortest and the longest first.
    pub samples: Vec<Sample>,
    /// What each message says beside its texts.
    pub options: MessageOptions,
    /// Rows without a message, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Always empty, as such brackets are an error; there for readers of the document.
    pub lookalikes: Vec<String>,
}

/// Renders every row of a file.
pub fn render(
    input: &Input,
    push: &PushTemplate,
    split: &VariantSplit,
    samples: usize,
) -> Result<Preview> {
    let mut reader = AudienceReader::open(input)?;
    let bound = push.bind(reader.columns()).map_err(|found| {
        Problem::error(&found)
            .context(format!("the texts do not fit {}", input.name()))
            .hint(format!("its columns are {}", reader.columns().join(", ")))
    })?;
    let mut composer = Composer::new(bound, Delivery::Live, None);
    let mut preview = Preview {
        options: push.options().clone(),
        ..Preview::default()
    };
    let (mut shortest, mut longest): (Option<Sample>, Option<Sample>) = (None, None);
    let mut others: Vec<Sample> = Vec::with_capacity(samples);
    let mut random = fastrand::Rng::with_seed(1);
    let mut row = StringRecord::new();
    while reader.next(&mut row)? {
        preview.rows += 1;
        let user = UserKey::of(reader.user(&row));
        let bytes = match composer.compose("", &row, split.place(&user)) {
            Ok(_) => composer.payload(),
            Err(skip) => {
                *preview.skipped.entry(skip_code(&skip)).or_default() += 1;
                continue;
            }
        };
        let sample = |kind| Sample {
            variant: split.name(&user).map(str::to_owned),
            ..sample(kind, &reader, &row, &composer, bytes)
        };
        if shortest.as_ref().is_none_or(|known| bytes < known.bytes) {
            shortest = Some(sample("shortest"));
        }
        if longest.as_ref().is_none_or(|known| bytes > known.bytes) {
            longest = Some(sample("longest"));
        }
        // Each row has the same chance, however many there are.
        if others.len() < samples {
            others.push(sample("sample"));
        } else {
            let place = random.u64(..preview.rows);
            if let Some(known) = usize::try_from(place)
                .ok()
                .and_then(|at| others.get_mut(at))
            {
                *known = sample("sample");
            }
        }
    }
    if preview.rows == 0 {
        return Err(Error::new(
            ErrorKind::Nothing,
            format!("{} has no rows", input.name()),
        ));
    }
    let ends = [shortest, longest].into_iter().flatten();
    preview.samples = ends.chain(others).collect();
    let mut seen = std::collections::HashSet::new();
    preview.samples.retain(|sample| seen.insert(sample.offset));
    let offsets: Vec<u64> = preview.samples.iter().map(|one| one.offset).collect();
    for (sample, line) in preview.samples.iter_mut().zip(reader.lines(&offsets)?) {
        sample.line = line;
        sample.phones = phones(&sample.title, &sample.body);
    }
    Ok(preview)
}

fn sample(
    kind: &'static str,
    reader: &AudienceReader,
    row: &StringRecord,
    composer: &Composer,
    bytes: usize,
) -> Sample {
    let rendered = composer.rendered();
    Sample {
        kind,
        line: 0,
        offset: AudienceReader::offset(row),
        user_id: reader.user(row).to_owned(),
        variant: None,
        title: rendered.title.clone(),
        body: rendered.body.clone(),
        deep_link: (!rendered.deep_link.is_empty()).then(|| rendered.deep_link.clone()),
        image: (!rendered.image.is_empty()).then(|| rendered.image.clone()),
        bytes,
        phones: Vec::new(),
    }
}
