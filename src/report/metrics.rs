//! Metrics in Prometheus' text format, for the textfile collector of its node exporter.

use std::fmt::Write as _;

/// A gauge with its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    labels: Vec<(&'static str, String)>,
    value: f64,
}

impl Metric {
    /// Returns a gauge without samples. Nothing here is a counter: old runs leave the state store.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            help,
            samples: Vec::new(),
        }
    }

    /// Adds a sample. No two of one metric have the same labels.
    pub fn add(&mut self, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter();
        let labels = labels.map(|(name, value)| (*name, (*value).to_owned()));
        self.samples.push(Sample {
            labels: labels.collect(),
            value,
        });
    }
}

/// Returns the text of metrics; those without samples are left out.
pub fn exposition(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for metric in metrics.iter().filter(|metric| !metric.samples.is_empty()) {
        let name = metric.name;
        let _ = writeln!(text, "# HELP {name} {}", escaped(metric.help));
        let _ = writeln!(text, "# TYPE {name} gauge");
        for sample in &metric.samples {
            let labels: Vec<String> = (sample.labels.iter())
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value).replace('"', "\\\"")))
                .collect();
            let labels = match labels.as_slice() {
                [] => String::new(),
                labels => format!("{{{}}}", labels.join(",")),
            };
            let _ = writeln!(text, "{name}{labels} {}", sample.value);
        }
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_metrics_without_samples_are_left_out() {
        let mut metric = Metric::gauge("pushctl_runs", "Runs, by \\status");
        metric.add(&[("automation", "a\"b\\c\nd")], 2.5);
        let empty = Metric::gauge("pushctl_empty", "Nothing");
        assert_eq!(
            exposition(&[metric, empty]),
            "# HELP pushctl_runs Runs, by \\\\status\n# TYPE pushctl_runs gauge\npushctl_runs{automation=\"a\\\"b\\\\c\\nd\"} 2.5\n"
        );
    }
}
