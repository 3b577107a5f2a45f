//! The spans of a start, as OpenTelemetry's OTLP has them in JSON
//! (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>): the daemon's, the shim's and the runtime's, each
//! with a service of its own.

use gantry_container::start::RUNTIME_START;
use gantry_record::ready::Times;
use gantry_supervisor::traces::StartTrace;
use serde_json::{Value, json};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::Path;

/// `SPAN_KIND_INTERNAL` and `SPAN_KIND_SERVER`.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
/// `STATUS_CODE_ERROR`.
const ERROR: u8 = 2;

/// Who does things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Daemon,
    Shim,
    Runtime,
}

/// Something that took from one moment to another, in nanoseconds since 1970.
struct Span<'a> {
    service: Service,
    name: String,
    id: u64,
    parent: Option<u64>,
    began: u64,
    ended: u64,
    error: Option<&'a str>,
}

/// One request to a collector, with all spans of these starts.
pub(super) fn request(starts: &[StartTrace]) -> Value {
    let resources: Vec<Value> = starts.iter().flat_map(resources).collect();
    json!({ "resourceSpans": resources })
}

/// The spans of one start by the services that they are of.
fn resources(start: &StartTrace) -> Vec<Value> {
    let trace = format!("{:016x}{:016x}", random(), random());
    let spans = spans(start);
    let of = |service: Service| {
        let spans: Vec<Value> = spans
            .iter()
            .filter(|span| span.service == service)
            .map(|span| span.to_json(&trace, start))
            .collect();
        json!({
            "resource": { "attributes": [attribute("service.name", &name(service, start))] },
            "scopeSpans": [{ "scope": { "name": "gantry" }, "spans": spans }],
        })
    };
    let present = |service: &Service| spans.iter().any(|span| span.service == *service);
    [Service::Daemon, Service::Shim, Service::Runtime].into_iter().filter(present).map(of).collect()
}

fn spans(start: &StartTrace) -> Vec<Span<'_>> {
    let steps = &start.trace.steps;
    let ended = steps.last().map_or(start.asked, |(_, at)| *at);
    let root = Span {
        service: Service::Daemon,
        name: if start.process.is_init() { "start container" } else { "start process" }.to_owned(),
        id: random(),
        parent: None,
        began: start.asked,
        ended,
        error: start.error.as_deref(),
    };
    let (parent, mut began) = (root.id, start.asked);
    let mut spans = vec![root];
    for (name, ended) in steps {
        // An exec has no start of its own: that step is only the passing of its place.
        let is_runtimes = *name == RUNTIME_START;
        if !is_runtimes || start.process.is_init() {
            let service = if is_runtimes { Service::Runtime } else { Service::Daemon };
            let name = (*name).to_owned();
            spans.push(Span {
                service,
                name,
                id: random(),
                parent: Some(parent),
                began,
                ended: *ended,
                error: None,
            });
        }
        began = *ended;
    }
    spans.extend(start.trace.shim.iter().flat_map(|times| beside(times, start, parent)));
    spans
}

/// What the shim said of itself and of the runtime.
fn beside<'a>(times: &Times, start: &StartTrace, parent: u64) -> [Span<'a>; 2] {
    let operation = if start.process.is_init() { "create" } else { "exec" };
    let shim = Span {
        service: Service::Shim,
        name: "shim until ready".to_owned(),
        id: random(),
        parent: Some(parent),
        began: times.began,
        ended: times.ready,
        error: None,
    };
    let runtime = Span {
        service: Service::Runtime,
        name: format!("runtime {operation}"),
        id: random(),
        parent: Some(shim.id),
        began: times.runtime_began,
        ended: times.runtime_ended,
        error: None,
    };
    [shim, runtime]
}

impl Span<'_> {
    fn to_json(&self, trace: &str, start: &StartTrace) -> Value {
        let mut json = json!({
            "traceId": trace,
            "spanId": format!("{:016x}", self.id),
            "name": self.name,
            "kind": if self.parent.is_none() { SERVER } else { INTERNAL },
            // 64-bit numbers are texts in this encoding.
            "startTimeUnixNano": self.began.to_string(),
            "endTimeUnixNano": self.ended.to_string(),
            "attributes": [
                attribute("container.id", start.container.as_str()),
                attribute("gantry.process", start.process.as_str()),
                attribute("container.runtime.name", &runtime_name(start)),
            ],
        });
        if let Some(parent) = self.parent {
            json["parentSpanId"] = json!(format!("{parent:016x}"));
        }
        if let Some(error) = self.error {
            json["status"] = json!({ "code": ERROR, "message": error });
        }
        json
    }
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn name(service: Service, start: &StartTrace) -> String {
    match service {
        Service::Daemon => "gantryd".to_owned(),
        Service::Shim => "gantry-shim".to_owned(),
        Service::Runtime => runtime_name(start),
    }
}

fn runtime_name(start: &StartTrace) -> String {
    let program = Path::new(&start.runtime);
    program.file_name().map_or_else(|| start.runtime.clone(), |name| name.to_string_lossy().into_owned())
}

/// A number that no other span has; zero would mean none. The standard library's hashers are seeded by the kernel.
fn random() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_container::Trace;
    use gantry_record::{ContainerId, ProcessId};

    fn start(process: &str, error: Option<&str>) -> StartTrace {
        StartTrace {
            container: ContainerId::new("c1").unwrap(),
            process: ProcessId::new(process).unwrap(),
            runtime: "/usr/bin/crun".to_owned(),
            asked: 10,
            trace: Trace {
                steps: vec![
                    ("spawn the shim", 20),
                    ("wait for the shim", 50),
                    (RUNTIME_START, 60),
                    ("answer", 70),
                ],
                shim: Some(Times { began: 22, runtime_began: 25, runtime_ended: 45, ready: 48 }),
            },
            error: error.map(str::to_owned),
        }
    }

    fn names(request: &Value) -> Vec<(String, String, String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let mut names = Vec::new();
        for resource in request["resourceSpans"].as_array().unwrap() {
            let service = text(&resource["resource"]["attributes"][0]["value"]["stringValue"]);
            for span in resource["scopeSpans"][0]["spans"].as_array().unwrap() {
                let (from, to) = (text(&span["startTimeUnixNano"]), text(&span["endTimeUnixNano"]));
                names.push((service.clone(), text(&span["name"]), from, to));
            }
        }
        names
    }

    #[test]
    fn each_step_is_a_span_of_who_took_it() {
        let found = names(&request(&[start("init", None)]));
        let expected = [
            ("gantryd", "start container", "10", "70"),
            ("gantryd", "spawn the shim", "10", "20"),
            ("gantryd", "wait for the shim", "20", "50"),
            ("gantryd", "answer", "60", "70"),
            ("gantry-shim", "shim until ready", "22", "48"),
            ("crun", "runtime start", "50", "60"),
            ("crun", "runtime create", "25", "45"),
        ];
        let expected = expected.map(|(a, b, c, d)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn an_exec_that_fails_says_why_on_its_first_span() {
        let request = request(&[start("e1", Some("no such command"))]);
        let root = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!((root["name"].as_str(), root["kind"].as_u64()), (Some("start process"), Some(2)));
        assert_eq!(root["status"], json!({ "code": 2, "message": "no such command" }));
        assert!(root.get("parentSpanId").is_none());
        assert!(names(&request).iter().all(|(_, name, ..)| name != RUNTIME_START));
        let shim = &request["resourceSpans"][1]["scopeSpans"][0]["spans"][0];
        assert_eq!((&shim["parentSpanId"], &shim["traceId"]), (&root["spanId"], &root["traceId"]));
        assert_eq!(root["traceId"].as_str().map(str::len), Some(32));
    }
}
