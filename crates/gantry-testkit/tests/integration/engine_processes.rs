//! Everything that a client can ask of one process: how an exec is made, signals, terminals, input, and ends.

use crate::support::{
    Api, Events, KILLED, SIGKILL, SOON, create_request, each_runtime, exec_request, host_process,
};
use gantry_api::types::{AddProcessRequest, Rlimit, UpdateProcessRequest, User};
use gantry_testkit::{Bundle, BundleBuilder, Daemon, DaemonOptions, Leaks, Runtime, StdioFifos};
use std::io::Write;
use std::thread;
use tonic::Code;

each_runtime!(
    an_exec_is_what_was_asked_for,
    capabilities_and_privileges_of_an_exec,
    signals_reach_init_and_exec,
    a_terminal_has_a_size_that_changes,
    closed_input_ends_what_reads_it,
    execs_end_with_init_and_are_told_first,
    what_init_leaves_behind_is_killed_and_all_output_arrives,
    one_of_many_that_want_the_same_id,
    an_exec_where_none_can_be,
);

/// A daemon, a container, and what its tests need.
struct Scene {
    // In this order: the daemon goes before what it works on.
    daemon: Daemon,
    api: Api,
    events: Events,
    leaks: Leaks,
    bundle: Bundle,
}

impl Scene {
    fn new(runtime: Runtime, make: impl FnOnce(BundleBuilder) -> BundleBuilder) -> Self {
        let daemon = Daemon::start(DaemonOptions::new(runtime));
        let leaks = Leaks::snapshot(daemon.scratch());
        let bundle = make(daemon.bundle().args(["sleep", "1000"])).build();
        let api = Api::connect(&daemon);
        let events = api.events();
        Self { daemon, api, events, leaks, bundle }
    }

    fn running(runtime: Runtime) -> Self {
        let scene = Self::new(runtime, |bundle| bundle);
        scene.api.run(&scene.bundle);
        scene
    }

    fn fifos(&self, process: &str) -> StdioFifos {
        StdioFifos::create(&self.bundle.path().join("io"), process)
    }

    /// Runs an exec to its end; its output and exit status.
    fn output_of(&mut self, request: AddProcessRequest) -> (String, u32) {
        let id = request.pid.clone();
        let stdio = self.fifos(&id);
        let output = stdio.stdout.collect();
        self.api.add_process(AddProcessRequest { stdout: stdio.stdout.text(), ..request }).unwrap();
        let status = self.events.exit_of(self.bundle.id(), &id);
        (output.finish(SOON), status)
    }

    fn exec(&self, process: &str, script: &str) -> AddProcessRequest {
        exec_request(self.bundle.id(), process, &["sh", "-c", script])
    }

    fn end(mut self) {
        self.api.signal(self.bundle.id(), "init", SIGKILL).unwrap();
        assert_eq!(self.events.exit_of(self.bundle.id(), "init"), KILLED);
        self.leaks.assert_clean();
    }
}

fn an_exec_is_what_was_asked_for(runtime: Runtime) {
    let mut scene = Scene::running(runtime);
    let script = "id -u; id -g; id -G; ulimit -Sn; ulimit -Hn; pwd; echo $COLOUR; exit 6";
    let rlimits = vec![Rlimit { r#type: "RLIMIT_NOFILE".to_owned(), soft: 77, hard: 99 }];
    let request = AddProcessRequest {
        user: Some(User { uid: 1000, gid: 1001, additional_gids: vec![2000, 2001] }),
        env: vec!["PATH=/bin".to_owned(), "COLOUR=light blue".to_owned()],
        cwd: "/tmp".to_owned(),
        rlimits,
        ..scene.exec("e1", script)
    };
    let (output, status) = scene.output_of(request);
    assert_eq!((&*output, status), ("1000\n1001\n1001 2000 2001\n77\n99\n/tmp\nlight blue\n", 6));

    // Without a PATH it gets the container's, both to be found by and to find others with.
    let request = AddProcessRequest { env: Vec::new(), ..scene.exec("e2", "echo $PATH; env | grep -c =") };
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let (output, status) = scene.output_of(request);
    assert_eq!(output.lines().next(), Some(path));
    assert_eq!(status, 0);

    // What the client asked for is what State shows.
    let user = User { uid: 7, gid: 8, additional_gids: vec![9] };
    let request = AddProcessRequest {
        user: Some(user.clone()),
        ..exec_request(scene.bundle.id(), "e3", &["sleep", "1000"])
    };
    let pid = scene.api.add_process(request).unwrap();
    let container = scene.api.state(scene.bundle.id()).unwrap().remove(0);
    let shown = container.processes.iter().find(|process| process.pid == "e3").unwrap();
    assert_eq!((shown.system_pid, shown.user.as_ref(), &*shown.cwd), (pid, Some(&user), "/"));
    assert_eq!(shown.args, ["sleep", "1000"]);
    scene.end();
}

fn capabilities_and_privileges_of_an_exec(runtime: Runtime) {
    let mut scene = Scene::running(runtime);
    let script = "grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status | cut -f 2";
    // Numbers 0 and 5 of capability.h.
    let capabilities = vec!["CAP_CHOWN".to_owned(), "CAP_KILL".to_owned()];
    let request = AddProcessRequest { capabilities, no_new_privileges: true, ..scene.exec("e1", script) };
    let (output, _) = scene.output_of(request);
    let fields: Vec<&str> = output.lines().collect();
    assert_eq!(fields, ["0000000000000021", "0000000000000021", "1"]);
    // No list means none, and not the container's.
    let request = scene.exec("e2", script);
    let (output, _) = scene.output_of(request);
    assert_eq!(output, "0000000000000000\n0000000000000000\n0\n");
    scene.end();
}

fn signals_reach_init_and_exec(runtime: Runtime) {
    let ready = "echo ready; while :; do sleep 0.02; done";
    // 37 and 64 are real-time signals, 64 the highest of all.
    let mut scene = Scene::new(runtime, |bundle| {
        bundle.shell(&format!("trap 'exit 44' 64; trap 'echo usr1' USR1; {ready}"))
    });
    let id = scene.bundle.id().to_owned();
    let (stdio, exec_stdio) = (scene.fifos("init"), scene.fifos("e1"));
    let (output, exec_output) = (stdio.stdout.lines(), exec_stdio.stdout.lines());
    scene.api.create_with(&scene.bundle, &stdio).unwrap();
    let request = scene.exec("e1", &format!("trap 'exit 33' 37; {ready}"));
    scene.api.add_process(AddProcessRequest { stdout: exec_stdio.stdout.text(), ..request }).unwrap();
    for lines in [&output, &exec_output] {
        assert_eq!(lines.next(SOON).as_deref(), Some("ready"));
    }
    for nonsense in [65, 1000, u32::MAX] {
        let error = scene.api.signal(&id, "init", nonsense).unwrap_err();
        assert!(error.message().contains("invalid argument"), "{error:?}");
    }
    scene.api.signal(&id, "init", 0).unwrap();
    scene.api.signal(&id, "init", 10).unwrap();
    assert_eq!(output.next(SOON).as_deref(), Some("usr1"));
    scene.api.signal(&id, "e1", 37).unwrap();
    assert_eq!(scene.events.exit_of(&id, "e1"), 33);
    let error = scene.api.signal(&id, "e1", 0).unwrap_err();
    assert!(error.message().contains("process not found"), "{error:?}");
    scene.api.signal(&id, "init", 64).unwrap();
    assert_eq!(scene.events.exit_of(&id, "init"), 44);
    scene.leaks.assert_clean();
}

fn a_terminal_has_a_size_that_changes(runtime: Runtime) {
    let script =
        "trap 'stty size' WINCH; test -t 0 && test -t 2 && echo terminal; while :; do sleep 0.02; done";
    let mut scene = Scene::new(runtime, |bundle| bundle.shell(script).terminal(true));
    let id = scene.bundle.id().to_owned();
    let (stdio, exec_stdio) = (scene.fifos("init"), scene.fifos("e1"));
    let (output, exec_output) = (stdio.stdout.lines(), exec_stdio.stdout.lines());
    scene.api.create_with(&scene.bundle, &stdio).unwrap();
    let request = AddProcessRequest {
        terminal: true,
        stdin: exec_stdio.stdin.text(),
        stdout: exec_stdio.stdout.text(),
        ..scene.exec("e1", script)
    };
    scene.api.add_process(request).unwrap();
    for (process, lines, width) in [("init", &output, 111), ("e1", &exec_output, 99)] {
        assert_eq!(lines.next(SOON).as_deref(), Some("terminal"));
        let resize = |width, height| {
            let (id, pid) = (id.clone(), process.to_owned());
            scene
                .api
                .update_process(UpdateProcessRequest { id, pid, close_stdin: false, width, height })
                .unwrap();
        };
        resize(width, 44);
        assert_eq!(lines.next(SOON), Some(format!("44 {width}")));
        resize(width + 1, 45);
        assert_eq!(lines.next(SOON), Some(format!("45 {}", width + 1)));
    }
    // What a person types goes through the terminal: Ctrl-C is a signal.
    exec_stdio.stdin.write("\u{3}");
    assert_eq!(scene.events.exit_of(&id, "e1"), 128 + 2);
    scene.end();
}

fn closed_input_ends_what_reads_it(runtime: Runtime) {
    let mut scene = Scene::new(runtime, |bundle| bundle.args(["cat"]));
    let id = scene.bundle.id().to_owned();
    let (stdio, exec_stdio) = (scene.fifos("init"), scene.fifos("e1"));
    let (output, exec_output) = (stdio.stdout.lines(), exec_stdio.stdout.lines());
    scene.api.create_with(&scene.bundle, &stdio).unwrap();
    let request = AddProcessRequest {
        stdin: exec_stdio.stdin.text(),
        stdout: exec_stdio.stdout.text(),
        ..exec_request(&id, "e1", &["cat"])
    };
    scene.api.add_process(request).unwrap();
    for (process, fifos, lines) in [("e1", &exec_stdio, &exec_output), ("init", &stdio, &output)] {
        // A client that goes away is no end of the input: it may come again.
        for line in ["one", "two"] {
            writeln!(fifos.stdin.writer(), "{line}").unwrap();
            assert_eq!(lines.next(SOON).as_deref(), Some(line));
        }
        let (id, pid) = (id.clone(), process.to_owned());
        let close = UpdateProcessRequest { id, pid, close_stdin: true, width: 0, height: 0 };
        scene.api.update_process(close).unwrap();
        assert_eq!(scene.events.exit_of(scene.bundle.id(), process), 0);
        assert_eq!(lines.next(SOON), None);
    }
    scene.leaks.assert_clean();
}

fn execs_end_with_init_and_are_told_first(runtime: Runtime) {
    // Without a pid namespace the kernel ends nobody with init.
    for own_pids in [true, false] {
        let mut scene =
            Scene::new(runtime, |bundle| if own_pids { bundle } else { bundle.without_namespace("pid") });
        let id = scene.bundle.id().to_owned();
        scene.api.run(&scene.bundle);
        let execs = ["e1", "e2", "e3"].map(|exec| {
            let request = scene.exec(exec, "trap '' TERM HUP INT; while :; do sleep 0.05; done");
            host_process(scene.api.add_process(request).unwrap())
        });
        scene.api.signal(&id, "init", SIGKILL).unwrap();
        let told = scene.events.up_to_exit_of(&id, "init");
        let mut exits: Vec<_> = told.into_iter().filter(|key| key.0 == "exit").collect();
        assert!(exits.iter().all(|key| key.3 == KILLED), "{exits:?}");
        let last = exits.pop().map(|key| key.2);
        exits.sort();
        let ids: Vec<&str> = exits.iter().map(|key| &*key.2).collect();
        assert_eq!((ids, last.as_deref()), (vec!["e1", "e2", "e3"], Some("init")));
        assert!(execs.iter().all(|exec| !exec.is_alive()));
        scene.leaks.assert_clean();
    }
}

fn what_init_leaves_behind_is_killed_and_all_output_arrives(runtime: Runtime) {
    let stubborn = "(trap '' TERM HUP; while :; do sleep 0.05; done) & sleep 1000 &";
    for own_pids in [true, false] {
        let mut scene = Scene::new(runtime, |bundle| {
            let bundle = bundle.shell(&format!("{stubborn} seq 1 50000; echo last >&2; exit 3"));
            if own_pids { bundle } else { bundle.without_namespace("pid") }
        });
        let stdio = scene.fifos("init");
        let (output, errors) = (stdio.stdout.collect(), stdio.stderr.collect());
        scene.api.create_with(&scene.bundle, &stdio).unwrap();
        assert_eq!(scene.events.exit_of(scene.bundle.id(), "init"), 3);
        let output = output.finish(SOON);
        assert_eq!((output.lines().count(), output.lines().last()), (50_000, Some("50000")));
        assert_eq!(errors.finish(SOON), "last\n");
        scene.leaks.assert_clean();

        // A client that comes only after the end finds what fitted into the FIFO.
        let bundle = scene.daemon.bundle().shell(&format!("{stubborn} seq 1 5000; exit 4"));
        let late = if own_pids { bundle } else { bundle.without_namespace("pid") }.build();
        let stdio = StdioFifos::create(&late.path().join("io"), "init");
        scene.api.create_with(&late, &stdio).unwrap();
        assert_eq!(scene.events.exit_of(late.id(), "init"), 4);
        assert_eq!(scene.api.find(late.id()), None);
        assert_eq!(stdio.stdout.collect().finish(SOON).lines().last(), Some("5000"));
        scene.leaks.assert_clean();
    }
}

fn one_of_many_that_want_the_same_id(runtime: Runtime) {
    const CLIENTS: usize = 6;
    let scene = Scene::running(runtime);
    let answers: Vec<_> = thread::scope(|scope| {
        let apis: Vec<Api> = (0..CLIENTS).map(|_| Api::connect(&scene.daemon)).collect();
        let add = |api: Api| {
            let request = exec_request(scene.bundle.id(), "e1", &["sleep", "1000"]);
            scope.spawn(move || api.add_process(request))
        };
        let threads: Vec<_> = apis.into_iter().map(add).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (made, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (1, CLIENTS - 1));
    for error in refused {
        assert_eq!(error.unwrap_err().code(), Code::AlreadyExists);
    }
    let winner = host_process(*made[0].as_ref().unwrap());
    assert!(winner.is_alive());
    let container = scene.api.state(scene.bundle.id()).unwrap().remove(0);
    assert_eq!(container.processes.len(), 2);
    scene.end();
}

fn an_exec_where_none_can_be(runtime: Runtime) {
    let mut scene = Scene::running(runtime);
    let id = scene.bundle.id().to_owned();
    let leaks = Leaks::snapshot(scene.daemon.scratch());
    scene.api.set_paused(&id, true).unwrap();
    let error = scene.api.add_process(exec_request(&id, "e1", &["true"])).unwrap_err();
    assert!(error.message().to_lowercase().contains("paused"), "{error:?}");
    leaks.assert_clean();
    scene.api.set_paused(&id, false).unwrap();
    scene.api.add_process(exec_request(&id, "e1", &["true"])).unwrap();
    assert_eq!(scene.events.exit_of(&id, "e1"), 0);

    scene.api.signal(&id, "init", SIGKILL).unwrap();
    // Whether it still runs, is ending or is gone: an answer comes, and at the end nothing is left.
    match scene.api.add_process(exec_request(&id, "e2", &["sleep", "1000"])) {
        Ok(_) => assert_eq!(scene.events.exit_of(&id, "e2"), KILLED),
        Err(error) => assert!(!error.message().is_empty(), "{error:?}"),
    }
    assert_eq!(scene.events.exit_of(&id, "init"), KILLED);
    let error = scene.api.add_process(exec_request(&id, "e3", &["true"])).unwrap_err();
    assert!(error.message().contains("containerd: container not found"), "{error:?}");
    scene.leaks.assert_clean();
    scene.api.create(create_request(&scene.bundle)).unwrap();
    scene.end();
}
