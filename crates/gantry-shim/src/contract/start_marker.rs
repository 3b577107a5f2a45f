//! Knowing whether the daemon is still busy with the start of a process that has ended already.
//!
//! The runtime's `start` lets init go and then tidies up in its own state. If the container is deleted under its
//! hands because init was that quick, it fails, and the daemon would report a failed start of a process that ran.
//! The start marker ([`name::STARTING`]) is there for just that time, so its going away is waited for. A daemon
//! of 0.2 makes none.

use crate::event_loop::{EventLoop, Ready, Source};
use gantry_record::layout::name;
use rustix::event::epoll::EventFlags;
use rustix::fs::inotify::{self, WatchFlags};
use rustix::fs::{Access, access};
use std::os::fd::OwnedFd;

/// The marker in the working directory.
pub(crate) struct StartMarker {
    /// Only there if the marker is. To be dropped when nobody waits for the shim any more: the kernel takes
    /// milliseconds for it.
    removals: Option<OwnedFd>,
}

impl StartMarker {
    /// Looks for it and, if it is there, listens to its going away. What cannot be listened to is not waited for.
    pub(crate) fn look(events: &EventLoop) -> Self {
        Self { removals: exists().then(|| listen(events)).flatten() }
    }

    /// Whether the start may still be going on. To be asked again after each event.
    pub(crate) fn is_there(&self, ready: Ready) -> bool {
        let Some(removals) = &self.removals else { return false };
        if ready.has(Source::Marker) {
            let mut content = [0_u8; 1024];
            while rustix::io::read(removals, &mut content).is_ok_and(|count| count > 0) {}
        }
        exists()
    }

    /// Takes it out of the event loop.
    pub(crate) fn stop_listening(&self, events: &EventLoop) {
        if let Some(removals) = &self.removals {
            events.remove(removals);
        }
    }
}

fn exists() -> bool {
    access(name::STARTING, Access::EXISTS).is_ok()
}

fn listen(events: &EventLoop) -> Option<OwnedFd> {
    let removals = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    // The folder itself may go away or be moved too.
    let what = WatchFlags::DELETE | WatchFlags::DELETE_SELF | WatchFlags::MOVED_FROM | WatchFlags::ONLYDIR;
    inotify::add_watch(&removals, ".", what).ok()?;
    events.add(&removals, Source::Marker, EventFlags::IN).ok()?;
    Some(removals)
}
