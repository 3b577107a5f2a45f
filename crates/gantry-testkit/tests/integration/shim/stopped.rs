//! SIGSTOP, as a debugger or a freezer would: whoever is stopped delays its own reports and nothing else.

use super::{close_stdin, daemon, fifos, run_with};
use crate::support::{Api, SOON, exec_request, shim_of};
use gantry_testkit::{Leaks, Process};
use rustix::process::Signal;
use std::io::Write;

const SCRIPT: &str = "while read line; do echo got $line; done; exit 42";

#[test]
fn a_stopped_shim_delays_only_its_own_report() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let (bundle, other) = (daemon.bundle().shell(SCRIPT).build(), daemon.bundle().shell("exit 6").build());
    let stdio = fifos(&bundle, "init");
    let output = stdio.stdout.lines();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = run_with(&api, &bundle, &stdio);
    let shim = shim_of(&init);
    shim.signal(Signal::STOP);
    // Its streams do not need it, nor does anything else that is asked of the container.
    stdio.stdin.write("one\n");
    assert_eq!(output.next(SOON).as_deref(), Some("got one"));
    api.add_process(exec_request(bundle.id(), "e1", &["sh", "-c", "exit 5"])).unwrap();
    assert_eq!(events.exit_of(bundle.id(), "e1"), 5);
    close_stdin(&api, bundle.id(), "init");
    stdio.stdin.write("two\n");
    assert_eq!(output.next(SOON).as_deref(), Some("got two"));
    // Nobody is told of its end, since nobody could say how it ended.
    api.signal(bundle.id(), "init", 9).unwrap();
    assert!(init.ends_within(SOON));
    api.run_short(&other);
    assert_eq!(events.exit_of(other.id(), "init"), 6);
    assert!(api.find(bundle.id()).is_some());
    shim.signal(Signal::CONT);
    assert_eq!(events.exit_of(bundle.id(), "init"), 137);
    assert_eq!(output.next(SOON), None);
    leaks.assert_clean();
}

#[test]
fn a_terminal_waits_for_its_stopped_shim() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let script =
        "stty -opost; read go; i=0; while test $i -lt 20000; do echo line $i; i=$((i+1)); done; exit 7";
    let bundle = daemon.bundle().shell(script).terminal(true).build();
    let stdio = fifos(&bundle, "init");
    let output = stdio.stdout.lines();
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let init = run_with(&api, &bundle, &stdio);
    let shim = shim_of(&init);
    for _ in 0..3 {
        shim.signal(Signal::STOP);
        shim.signal(Signal::CONT);
    }
    stdio.stdin.write("go\n");
    // The echo of what was typed, then the lines.
    assert_eq!(output.next(SOON).as_deref(), Some("go"));
    for number in 0..20_000 {
        if number % 1000 == 0 {
            shim.signal(Signal::STOP);
            shim.signal(Signal::CONT);
        }
        assert_eq!(output.next(SOON), Some(format!("line {number}")));
    }
    assert_eq!(events.exit_of(bundle.id(), "init"), 7);
    leaks.assert_clean();
}

#[test]
fn a_stopped_daemon_delays_only_its_own_reports() {
    let daemon = daemon();
    let leaks = Leaks::snapshot(daemon.scratch());
    let bundles = [false, true].map(|terminal| daemon.bundle().shell(SCRIPT).terminal(terminal).build());
    let api = Api::connect(&daemon);
    let mut events = api.events();
    let running = bundles.each_ref().map(|bundle| {
        let stdio = fifos(bundle, "init");
        let output = stdio.stdout.lines();
        let init = run_with(&api, bundle, &stdio);
        (init.clone(), shim_of(&init), stdio, output)
    });
    let own = Process::of(i32::try_from(daemon.pid()).unwrap()).unwrap();
    // Before the shim lets go of its end: with no other the container would be at the end of its input.
    let clients = running.each_ref().map(|(_, _, stdio, _)| stdio.stdin.writer());
    close_stdin(&api, bundles[0].id(), "init");
    own.signal(Signal::STOP);
    for (number, ((init, shim, _, output), mut client)) in running.iter().zip(clients).enumerate() {
        let has_terminal = number == 1;
        for round in ["one", "two"] {
            writeln!(client, "{round}").unwrap();
            if has_terminal {
                // It echoes.
                assert_eq!(output.next(SOON).as_deref(), Some(round));
            }
            assert_eq!(output.next(SOON), Some(format!("got {round}")));
        }
        if has_terminal {
            // Ctrl-D.
            client.write_all(b"\x04").unwrap();
        }
        drop(client);
        // The container ends, its output too, and the shim does all that it has to do.
        assert!(init.ends_within(SOON) && shim.ends_within(SOON));
        assert_eq!(output.next(SOON), None);
    }
    own.signal(Signal::CONT);
    let mut exits = [events.next_exit(), events.next_exit()];
    exits.sort();
    let mut expected = bundles.each_ref().map(|bundle| (bundle.id().to_owned(), 42));
    expected.sort();
    assert_eq!(exits, expected);
    leaks.assert_clean();
}
