//! Damage to what the daemon keeps for all containers: the event log, the log of ends, the lock, and the folders for what
//! is set aside and what is buried.

use super::Damage::{self, Cut, Empty, Fifo, Flip, Folder, Link, Missing, Newer, Says, Socket};
use super::table::Table;
use super::yard::{TRUE_STATUS, Yard, exits};
use crate::support::{Api, Random, SOON};
use gantry_testkit::wait_until;
use std::fs;

const FILES: [&str; 5] = ["events.log", "ended.log", "gantryd.lock", "@set-aside", "@ended"];
const EACH: [Damage; 8] =
    [Empty, Missing, Folder, Link, Fifo, Socket, Newer, Says("\u{0}\u{0}\u{0}\n{}\n[]\nnull\n")];

#[test]
fn the_daemon_starts_whatever_has_become_of_its_own_files() {
    let mut yard = Yard::open();
    let mut random = Random::new(11);
    let mut victims = yard.start(&[("events.log", Newer); 3]);
    // So that there is something to lose: one that has ended.
    let ended = victims.pop().unwrap();
    let api = Api::connect(&yard.daemon);
    let mut events = api.events();
    api.signal(&ended.id, "init", 15).unwrap();
    assert_eq!(events.exit_of(&ended.id, "init"), TRUE_STATUS);
    drop((events, api));

    let mut damages: Vec<_> = FILES.iter().flat_map(|file| EACH.map(|damage| (*file, damage))).collect();
    for file in ["events.log", "ended.log"] {
        damages.extend((0..8).map(|_| (file, Cut(random.below(150)))));
        damages.extend((0..8).map(|_| (file, Flip(random.below(150)))));
    }
    let mut table = Table::default();
    for (number, (file, damage)) in damages.into_iter().enumerate() {
        let is_folder = file.starts_with('@');
        if is_folder && matches!(damage, Cut(_) | Flip(_) | Newer | Link) {
            continue;
        }
        yard.daemon.kill_hard();
        let (path, kept) =
            (yard.daemon.state_dir().join(file), yard.daemon.scratch().path().join(format!("kept-{number}")));
        // The one before is put right, so that each damage is alone.
        if !yard.daemon.scratch().path().join("ended.log").exists() {
            for name in ["events.log", "ended.log"] {
                fs::copy(yard.daemon.state_dir().join(name), yard.daemon.scratch().path().join(name))
                    .unwrap();
            }
        }
        for name in ["events.log", "ended.log"] {
            fs::copy(yard.daemon.scratch().path().join(name), yard.daemon.state_dir().join(name)).unwrap();
        }
        let before = yard.daemon.log().len();
        if is_folder && path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        }
        damage.to(&path, &kept);
        let precious = fs::read(&kept).ok();
        yard.daemon.restart();
        let api = Api::connect(&yard.daemon);
        for victim in &victims {
            assert!(victim.init.is_alive(), "{file} {damage:?}");
            assert_eq!(api.find(&victim.id).unwrap().0, "running", "{file} {damage:?}");
        }
        let stored = api.stored_events(None);
        assert!(exits(&stored, &ended.id, "init").len() <= 1, "{file} {damage:?}: an exit was told twice");
        assert!(
            victims.iter().all(|victim| exits(&stored, &victim.id, "init").is_empty()),
            "{file} {damage:?}"
        );
        assert_eq!(fs::read(&kept).ok(), precious, "{file} {damage:?}: written to through a link");
        let log = yard.daemon.log()[before..].to_owned();
        let said =
            log.lines().any(|line| line.contains("set aside") && line.contains(&*path.to_string_lossy()));
        let is_stranger = matches!(damage, Folder | Link | Fifo | Socket) && !is_folder;
        assert_eq!(said, is_stranger, "{file} {damage:?}\n{log}");
        table.count(file, damage.name(), if said { "set aside" } else { "goes on" });
        // A place for what is set aside that is none is in nobody's way for longer than this.
        if is_folder {
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
    println!("{table}");
    let api = Api::connect(&yard.daemon);
    wait_until("the log is served", SOON, || !api.stored_events(None).is_empty());
    victims.iter().for_each(|victim| yard.works(&api, victim));
}
