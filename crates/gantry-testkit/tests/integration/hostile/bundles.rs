//! Bundles that change while they are read, and `config.json` that is a bomb.

use super::assert_small;
use crate::support::{Api, SOON, create_request};
use gantry_testkit::{Bundle, Daemon, DaemonOptions, Fifo, Leaks, Runtime, finish};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Larger than anything that is read.
const HUGE: u64 = 100 << 20;

fn clear(path: &Path) {
    // Whichever it is.
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir_all(path);
}

/// A name, and how it is put there.
type Place = (&'static str, fn(&Path));

/// What may stand in the place of `config.json`.
fn places() -> [Place; 6] {
    [
        ("a FIFO", |path| drop(Fifo::create(path))),
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a link to nowhere", |path| symlink("nowhere", path).unwrap()),
        ("a device without an end", |path| symlink("/dev/zero", path).unwrap()),
        ("a huge file", |path| fs::File::create(path).unwrap().set_len(HUGE).unwrap()),
        ("half of it", |path| fs::write(path, "{\"ociVersion\": \"1.0.2\", \"pro").unwrap()),
    ]
}

#[test]
fn whatever_stands_in_the_place_of_the_configuration() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    for (what, put) in places() {
        let bundle = daemon.bundle().build();
        let config = bundle.path().join("config.json");
        clear(&config);
        put(&config);
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert!(error.message().contains(bundle.path().to_str().unwrap()), "{what}: {error:?}");
        // The runtime reads it anew, and must not wait for it or take all memory either.
        let mut create = Runtime::BuiltIn.command(daemon.scratch()).subcommand("create");
        create.arg("--bundle").arg(bundle.path()).arg("hostile");
        let done = finish(&mut create, SOON);
        assert_ne!(done.code(), 0, "{what}: {done}");
        assert!(done.stderr.contains("config.json"), "{what}: {done}");
    }
    leaks.assert_clean();
    assert_small(&daemon);
}

#[test]
fn a_configuration_that_changes_all_the_time() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let (bundle, other) = (daemon.bundle().args(["true"]).build(), daemon.bundle().args(["true"]).build());
    let leaks = Leaks::snapshot(daemon.scratch());
    let config = bundle.path().join("config.json");
    let good = fs::read(&config).unwrap();
    let stop = AtomicBool::new(false);
    let (mut started, mut refused) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for (_, put) in places() {
                    clear(&config);
                    put(&config);
                    clear(&config);
                    fs::write(&config, &good).unwrap();
                    thread::yield_now();
                }
            }
        });
        let mut events = api.events();
        for _ in 0..40 {
            match api.create(create_request(&bundle)) {
                Ok(_) => {
                    started += 1;
                    assert_eq!(events.exit_of(bundle.id(), "init"), 0);
                }
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    println!("{started} started, {refused} refused");
    let mut events = api.events();
    api.create(create_request(&other)).unwrap();
    assert_eq!(events.exit_of(other.id(), "init"), 0);
    leaks.assert_clean();
    assert_small(&daemon);
}

#[test]
fn configurations_that_are_bombs() {
    let daemon = Daemon::start(DaemonOptions::new(Runtime::BuiltIn));
    let api = Api::connect(&daemon);
    let leaks = Leaks::snapshot(daemon.scratch());
    let around = |inner: &str| format!("{{\"root\":{{\"path\":\"rootfs\"}},\"process\":{{\"x\":{inner}}}}}");
    let deep = "[".repeat(1 << 20);
    let wide = |element: &str, bytes: usize| format!("[{}0]", element.repeat(bytes / element.len()));
    let bombs = [
        ("deep", around(&deep)),
        ("deep, all of it", format!("{deep}{}", "]".repeat(1 << 20))),
        ("50 MB of zeros", around(&wide("0,", 50 << 20))),
        ("4 MB of zeros", around(&wide("0,", 4 << 20))),
        ("50 MB of empty lists", around(&wide("[],", 50 << 20))),
        ("the same key twice", "{\"root\":{\"path\":\"rootfs\"},\"root\":{\"path\":\"/\"}}".to_owned()),
        ("a number that none can hold", around("1e999999999")),
        ("a long number", around(&"9".repeat(1 << 20))),
    ];
    for (what, bomb) in bombs {
        let bundle: Bundle = daemon.bundle().build();
        fs::write(bundle.path().join("config.json"), bomb).unwrap();
        let error = api.create(create_request(&bundle)).unwrap_err();
        assert!(error.message().contains("config.json") || error.message().len() > 10, "{what}: {error:?}");
        assert!(error.message().len() < 2000, "{what}: an error of {} bytes", error.message().len());
    }
    for (place, numbers) in [("memory", "limit"), ("pids", "limit"), ("cpu", "shares")] {
        for number in ["18446744073709551615", "-9223372036854775808", "1e308", "99999999999999999999999"] {
            let bundle = daemon.bundle().args(["true"]).build();
            let config = fs::read_to_string(bundle.path().join("config.json")).unwrap();
            let limits = format!("\"resources\": {{ \"{place}\": {{ \"{numbers}\": {number} }},");
            let config = config.replacen("\"resources\": {", &limits, 1);
            assert!(config.contains(number));
            fs::write(bundle.path().join("config.json"), config).unwrap();
            // Some of these are old ways to say "no limit"; none harms the daemon.
            let _ = api.create(create_request(&bundle));
        }
    }
    gantry_testkit::wait_until("all have ended", SOON, || api.state("").unwrap().is_empty());
    leaks.assert_clean();
    assert_small(&daemon);
}
