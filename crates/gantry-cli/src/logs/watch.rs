//! Being told when files change, by inotify(7).

use std::io;
use std::path::Path;
use std::thread;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

use crate::error::Error;

/// Tells when a file in the folder has changed, has come or has got another name. A thread waits for that: it ends with
/// the client.
pub(crate) fn folder(path: &Path) -> Result<mpsc::Receiver<()>, Error> {
    let failed = |error: io::Error| Error::file("watch", path, error);
    let inotify = inotify::init(CreateFlags::CLOEXEC).map_err(|errno| failed(errno.into()))?;
    let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO;
    inotify::add_watch(&inotify, path, what).map_err(|errno| failed(errno.into()))?;
    // One message that waits says it all: what changed is read from the files.
    let (sender, changes) = mpsc::channel(1);
    let wait = move || {
        let mut buffer = [0_u8; 4096];
        while matches!(rustix::io::read(&inotify, &mut buffer), Ok(1..) | Err(Errno::INTR)) {
            if let Err(mpsc::error::TrySendError::Closed(())) = sender.try_send(()) {
                return;
            }
        }
    };
    let spawned = thread::Builder::new().name("inotify".to_owned()).spawn(wait);
    spawned.map_err(|error| Error::system("start a thread", error))?;
    Ok(changes)
}
