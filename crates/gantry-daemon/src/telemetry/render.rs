//! Figures as text: for Prometheus, as JSON, for Graphite, and in one line.

use super::figures::{Family, Kind, Sample};
use std::fmt::Write;

/// The media type of [`prometheus`].
pub(super) const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Prometheus' text format, version 0.0.4.
pub(super) fn prometheus(families: &[Family]) -> String {
    let mut text = String::new();
    for Family { name, help, kind, samples } in families {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for sample in samples {
            let _ = writeln!(text, "{} {}", full_name(name, sample), sample.value);
        }
    }
    text
}

fn full_name(name: &str, Sample { suffix, labels, .. }: &Sample) -> String {
    match labels.as_str() {
        "" => format!("{name}{suffix}"),
        labels => format!("{name}{suffix}{{{labels}}}"),
    }
}

/// The members of a JSON object: the names as Prometheus has them, and their values. Buckets are left out.
pub(super) fn json_members(families: &[Family]) -> String {
    let members = plain(families).map(|(family, sample)| {
        format!("\"{}\":{}", full_name(family.name, sample).replace('"', "\\\""), sample.value)
    });
    members.collect::<Vec<_>>().join(",")
}

/// Graphite's plain text: `path value time`, one a line.
pub(super) fn graphite(families: &[Family], unix_seconds: u64) -> String {
    plain(families).fold(String::new(), |mut text, (family, sample)| {
        let label = sample.labels.split('"').nth(1).unwrap_or_default();
        // A dot would begin a new folder.
        let label = if label.is_empty() { String::new() } else { format!(".{}", label.replace('.', "_")) };
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "metrics.{}{}{label} {} {unix_seconds}", family.name, sample.suffix, sample.value);
        text
    })
}

/// `name=value` for each, in one line.
pub(super) fn line(families: &[Family]) -> String {
    let pairs = plain(families)
        .map(|(family, sample)| format!("{}={}", full_name(family.name, sample), sample.value));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Everything but the buckets of histograms.
fn plain(families: &[Family]) -> impl Iterator<Item = (&Family, &Sample)> {
    let of_family = |family| move |sample| (family, sample);
    families
        .iter()
        .flat_map(move |family| family.samples.iter().map(of_family(family)))
        .filter(|(_, sample)| sample.suffix != "_bucket")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let sample = |suffix, labels: &str, value| Sample { suffix, labels: labels.to_owned(), value };
        let family = |name, kind, samples| Family { name, help: "H.", kind, samples };
        vec![
            family("c", Kind::Gauge, vec![sample("", "status=\"running\"", 3.0)]),
            family(
                "h_seconds",
                Kind::Histogram,
                vec![
                    sample("_bucket", "le=\"0.001\"", 1.0),
                    sample("_sum", "", 0.25),
                    sample("_count", "", 2.0),
                ],
            ),
        ]
    }

    #[test]
    fn for_each_reader_its_own() {
        assert_eq!(
            prometheus(&families()),
            "# HELP c H.\n# TYPE c gauge\nc{status=\"running\"} 3\n# HELP h_seconds H.\n# TYPE h_seconds histogram\n\
             h_seconds_bucket{le=\"0.001\"} 1\nh_seconds_sum 0.25\nh_seconds_count 2\n"
        );
        assert_eq!(
            json_members(&families()),
            "\"c{status=\\\"running\\\"}\":3,\"h_seconds_sum\":0.25,\"h_seconds_count\":2"
        );
        assert_eq!(
            graphite(&families(), 7),
            "metrics.c.running 3 7\nmetrics.h_seconds_sum 0.25 7\nmetrics.h_seconds_count 2 7\n"
        );
        assert_eq!(line(&families()), "c{status=\"running\"}=3 h_seconds_sum=0.25 h_seconds_count=2");
    }
}
