//! The figures themselves. Names follow Prometheus: a unit at the end, `_total` for what only grows.

use super::{About, processes};
use gantry_supervisor::metrics::Histogram;
use gantry_supervisor::{Overview, Status, Supervisor};
use std::time::Duration;

/// How long shims may be looked at for one answer.
const SHIMS_LIMIT: Duration = Duration::from_millis(200);

/// Figures of one name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Family {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub samples: Vec<Sample>,
}

/// What a figure does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// One figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// What follows the family's name.
    pub suffix: &'static str,
    /// `name="value"`, or nothing.
    pub labels: String,
    pub value: f64,
}

/// Reads everything.
pub(super) fn gather(supervisor: &Supervisor, about: &About, tasks: usize) -> Vec<Family> {
    let overview = supervisor.overview();
    let mut families = Families::default();
    containers(&mut families, &overview);
    operations(&mut families, supervisor, &overview);
    events(&mut families, &overview);
    shims(&mut families, &overview, about);
    daemon(&mut families, about, tasks);
    families.0
}

fn containers(families: &mut Families, overview: &Overview) {
    let by_status = [Status::Running, Status::Paused, Status::Stopped]
        .map(|status| (format!("status=\"{}\"", status.as_str()), number(overview.count(status))));
    families.add("gantry_containers", "Containers by what they are doing.", Kind::Gauge, &by_status);
    let processes = overview.containers.iter().map(|row| row.processes.len()).sum();
    families.gauge("gantry_processes", "Processes of containers that have a shim.", number(processes));
    families.gauge(
        "gantry_restored",
        "Whether the containers of the state dir are known.",
        number(overview.restored.into()),
    );
}

fn operations(families: &mut Families, supervisor: &Supervisor, overview: &Overview) {
    let metrics = supervisor.metrics();
    let histograms = [
        ("gantry_start_seconds", "From a request for a container until its init ran.", &metrics.start),
        ("gantry_exec_seconds", "From a request for another process until it ran.", &metrics.exec),
        (
            "gantry_stop_seconds",
            "From the first SIGTERM or SIGKILL to an init until its exit was told.",
            &metrics.stop,
        ),
        ("gantry_exit_seconds", "From the end of an init's shim until its exit was told.", &metrics.exit),
    ];
    for (name, help, histogram) in histograms {
        families.histogram(name, help, histogram);
    }
    let started = metrics.start.get().count();
    families.counter("gantry_starts_total", "Containers that were started.", count(started));
    let failures = count(metrics.start_failures.get());
    families.counter("gantry_start_failures_total", "Containers that could not be started.", failures);
    let failures = count(metrics.exec_failures.get());
    families.counter("gantry_exec_failures_total", "Other processes that could not be started.", failures);
    families.counter("gantry_exits_total", "Processes whose exit was told.", count(metrics.exits.get()));
    families.counter(
        "gantry_oom_kills_total",
        "Kills for want of memory in containers.",
        count(metrics.oom_kills.get()),
    );
    let commands = overview.containers.iter().map(|row| row.queued_commands).sum();
    let depths = [
        ("commands", number(commands)),
        ("starts", count(metrics.waiting.get())),
        ("events", number(overview.queued_events)),
    ];
    let depths = depths.map(|(queue, depth)| (format!("queue=\"{queue}\""), depth));
    families.add("gantry_queue_length", "What waits, by queue.", Kind::Gauge, &depths);
    families.gauge("gantry_starting", "Starts that are under way.", count(metrics.starting.get()));
    let free = number(overview.free_start_workers);
    families.gauge("gantry_start_workers_free", "Starts that may begin beside them.", free);
}

fn events(families: &mut Families, overview: &Overview) {
    let appended = count(overview.appended_events);
    families.counter("gantry_events_total", "Events since the daemon was started.", appended);
    let stored = number(overview.stored_events);
    families.gauge("gantry_events_stored", "Events that can be asked for again.", stored);
    families.gauge("gantry_event_log_bytes", "Size of the event log.", count(overview.log_bytes));
    let subscribers = number(overview.subscribers);
    families.gauge("gantry_event_subscribers", "Clients that are told of events.", subscribers);
    families.counter(
        "gantry_event_subscribers_cut_off_total",
        "Subscribers whose stream was ended because they read too slowly.",
        count(overview.cut_off_subscribers),
    );
}

fn shims(families: &mut Families, overview: &Overview, about: &About) {
    let pids = overview.containers.iter().flat_map(|row| row.processes.iter().map(|(_, pid)| *pid));
    let shims = processes::shims(pids, &about.shim, SHIMS_LIMIT);
    families.gauge(
        "gantry_shim_memory_bytes",
        "Proportional set size of the shims that were looked at, all together.",
        count(shims.bytes),
    );
    families.gauge(
        "gantry_shims_measured",
        "Shims that were looked at; with very many, not all of them are.",
        number(shims.measured),
    );
}

fn daemon(families: &mut Families, about: &About, tasks: usize) {
    let own = processes::own();
    let version = [(format!("version=\"{}\"", about.version), 1.0)];
    families.add("gantry_build_info", "The daemon's version.", Kind::Gauge, &version);
    let uptime = about.started.elapsed().as_secs_f64();
    families.gauge("gantry_uptime_seconds", "Time since the daemon was started.", uptime);
    families.gauge(
        "gantry_daemon_memory_bytes",
        "Proportional set size of the daemon.",
        count(own.pss_bytes),
    );
    families.gauge("gantry_tasks", "Tasks of the daemon's event loop.", number(tasks));
    let resident = count(own.resident_bytes);
    families.gauge("process_resident_memory_bytes", "Resident memory of the daemon.", resident);
    families.gauge("process_open_fds", "Descriptors that the daemon has open.", number(own.open_fds));
    families.gauge("process_max_fds", "Descriptors that it may have open.", count(own.max_fds));
    families.gauge("process_threads", "Threads of the daemon.", count(own.threads));
    families.counter("process_cpu_seconds_total", "Processor time of the daemon.", own.cpu_seconds);
}

/// Figures that are exact up to 2^53 are exact enough.
#[allow(clippy::cast_precision_loss, reason = "see above")]
fn count(number: u64) -> f64 {
    number as f64
}

fn number(number: usize) -> f64 {
    count(number.try_into().unwrap_or(u64::MAX))
}

#[derive(Default)]
struct Families(Vec<Family>);

impl Families {
    fn add(&mut self, name: &'static str, help: &'static str, kind: Kind, samples: &[(String, f64)]) {
        let samples = samples.iter().map(|(labels, value)| Sample {
            suffix: "",
            labels: labels.clone(),
            value: *value,
        });
        self.0.push(Family { name, help, kind, samples: samples.collect() });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, Kind::Gauge, &[(String::new(), value)]);
    }

    fn counter(&mut self, name: &'static str, help: &'static str, value: f64) {
        self.add(name, help, Kind::Counter, &[(String::new(), value)]);
    }

    fn histogram(&mut self, name: &'static str, help: &'static str, histogram: &Histogram) {
        let seen = histogram.get();
        let bounds = Histogram::BOUNDS.iter().map(|micros| Duration::from_micros(*micros).as_secs_f64());
        let bounds = bounds.map(|bound| bound.to_string()).chain(std::iter::once("+Inf".to_owned()));
        let buckets = bounds.zip(seen.cumulative).map(|(bound, within)| Sample {
            suffix: "_bucket",
            labels: format!("le=\"{bound}\""),
            value: count(within),
        });
        let sum = Sample { suffix: "_sum", labels: String::new(), value: seen.sum.as_secs_f64() };
        let total = Sample { suffix: "_count", labels: String::new(), value: count(seen.count()) };
        let samples = buckets.chain([sum, total]).collect();
        self.0.push(Family { name, help, kind: Kind::Histogram, samples });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_buckets_a_sum_and_a_count() {
        let histogram = Histogram::default();
        histogram.observe(Duration::from_millis(4));
        let mut families = Families::default();
        families.histogram("x_seconds", "X.", &histogram);
        let samples = &families.0[0].samples;
        let of = |labels: &str| samples.iter().find(|sample| sample.labels == labels).unwrap().value;
        assert_eq!((of("le=\"0.003\""), of("le=\"0.005\""), of("le=\"+Inf\"")), (0.0, 1.0, 1.0));
        assert_eq!(samples[samples.len() - 2].value, 0.004);
    }
}
