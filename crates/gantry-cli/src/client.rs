//! The daemon as the commands see it: one connection, and the calls that several commands make.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_api::client::{Address, connect};
use gantry_api::gantry::containers_client::ContainersClient;
use gantry_api::gantry::{InspectRequest, ListRequest, RemoveRequest, UpgradeShimsRequest, UpgradedShim};
use gantry_api::types::api_client::ApiClient;
use gantry_api::types::{Container, SignalRequest, StateRequest, UpdateContainerRequest, UpdateResource};
use tonic::transport::Channel;
use tonic::{Code, Request};

use crate::ended::Ended;
use crate::error::{Error, is_not_found};
use crate::id::INIT;
use crate::signal::Signal;

/// How long a call may take that starts nothing.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long all shims of a container may take to hand over.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// The largest answer taken: the state of some ten thousand containers.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Where bundles are kept when the daemon has no Unix socket beside which they could be.
const DEFAULT_BUNDLES: &str = "/run/gantry/bundles";

/// Which daemon to talk to, and where this client keeps what it makes.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) address: String,
    pub(crate) bundles: PathBuf,
}

/// A connection to the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    api: ApiClient<Channel>,
    containers: ContainersClient<Channel>,
    address: String,
}

/// What the daemon remembers of a container that has ended.
#[derive(Debug)]
pub(crate) enum Recorded {
    Ended(Box<Ended>),
    Nothing,
    /// It keeps no records: containerd 0.2 does not.
    Unsupported,
}

// === impl Settings ===

impl Settings {
    /// Bundles are beside the socket unless the user wants them elsewhere.
    pub(crate) fn new(address: String, bundles: Option<PathBuf>) -> Result<Self, Error> {
        let parsed: Address = address.parse()?;
        let bundles = bundles.unwrap_or_else(|| match parsed.socket_path().and_then(Path::parent) {
            Some(dir) => dir.join("bundles"),
            None => PathBuf::from(DEFAULT_BUNDLES),
        });
        // The paths of FIFOs are sent to the daemon, whose working directory is another.
        let bundles = std::path::absolute(&bundles).map_err(|error| Error::file("find", &bundles, error))?;
        Ok(Self { address, bundles })
    }
}

// === impl Client ===

impl Client {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, Error> {
        let channel = connect(&settings.address).await?;
        let api = ApiClient::new(channel.clone()).max_decoding_message_size(MAX_ANSWER_BYTES);
        let containers = ContainersClient::new(channel);
        Ok(Self { api, containers, address: settings.address.clone() })
    }

    /// A handle for calls; all handles share the connection.
    pub(crate) fn api(&self) -> ApiClient<Channel> {
        self.api.clone()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) async fn containers(&self) -> Result<Vec<Container>, Error> {
        let answer = self.api().state(timed(StateRequest::default(), CALL_TIMEOUT)).await;
        let mut containers =
            answer.map_err(|status| Error::refused("list containers", status))?.into_inner().containers;
        containers.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(containers)
    }

    /// The container, if the daemon has it.
    pub(crate) async fn container(&self, id: &str) -> Result<Option<Container>, Error> {
        match self.api().state(timed(StateRequest { id: id.to_owned() }, CALL_TIMEOUT)).await {
            Ok(answer) => Ok(answer.into_inner().containers.into_iter().find(|container| container.id == id)),
            Err(status) if is_not_found(&status) => Ok(None),
            Err(status) => Err(Error::refused(format!("read the state of {id}"), status)),
        }
    }

    /// How a container ended, as the daemon remembers it.
    pub(crate) async fn ended(&self, id: &str) -> Result<Recorded, Error> {
        let request = timed(InspectRequest { id: id.to_owned() }, CALL_TIMEOUT);
        match self.containers.clone().inspect(request).await {
            Ok(answer) => {
                let ended = answer.into_inner().ended.map(Ended::from).map(Box::new);
                Ok(ended.map_or(Recorded::Nothing, Recorded::Ended))
            }
            Err(status) if status.code() == Code::Unimplemented => Ok(Recorded::Unsupported),
            Err(status) if is_not_found(&status) => Ok(Recorded::Nothing),
            Err(status) => Err(Error::refused(format!("read how {id} ended"), status)),
        }
    }

    /// Everything that the daemon remembers of containers that ended, by id; nothing of one that keeps no records.
    pub(crate) async fn all_ended(&self) -> Result<HashMap<String, Ended>, Error> {
        let refused = |status| Error::refused("list what has ended", status);
        let mut stream = match self.containers.clone().list(timed(ListRequest {}, CALL_TIMEOUT)).await {
            Ok(answer) => answer.into_inner(),
            Err(status) if status.code() == Code::Unimplemented => return Ok(HashMap::new()),
            Err(status) => return Err(refused(status)),
        };
        let mut all = HashMap::new();
        while let Some(ended) = stream.message().await.map_err(refused)? {
            all.insert(ended.id.clone(), ended.into());
        }
        Ok(all)
    }

    /// Makes the daemon forget how a container ended; that it keeps no record is fine.
    pub(crate) async fn forget(&self, id: &str) -> Result<(), Error> {
        let request = timed(RemoveRequest { id: id.to_owned() }, CALL_TIMEOUT);
        match self.containers.clone().remove(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::Unimplemented || is_not_found(&status) => Ok(()),
            Err(status) => Err(Error::refused(format!("remove the record of {id}"), status)),
        }
    }

    /// Has the daemon replace the shims of a container; what has become of each.
    pub(crate) async fn upgrade_shims(&self, id: &str) -> Result<Vec<UpgradedShim>, Error> {
        // Each may wait for its terminal's client.
        let request = timed(UpgradeShimsRequest { id: id.to_owned() }, UPGRADE_TIMEOUT);
        match self.containers.clone().upgrade_shims(request).await {
            Ok(answer) => Ok(answer.into_inner().shims),
            Err(status) => Err(Error::refused(format!("upgrade the shims of {id}"), status)),
        }
    }

    pub(crate) async fn signal(&self, id: &str, process: &str, signal: Signal) -> Result<(), Error> {
        let request = SignalRequest { id: id.to_owned(), pid: process.to_owned(), signal: signal.number() };
        match self.api().signal(timed(request, CALL_TIMEOUT)).await {
            Ok(_) => Ok(()),
            Err(status) => {
                let whom = if process == INIT { id.to_owned() } else { format!("{process} in {id}") };
                Err(Error::refused(format!("send {signal} to {whom}"), status))
            }
        }
    }

    /// Pauses or resumes a container.
    pub(crate) async fn set_paused(&self, id: &str, paused: bool) -> Result<(), Error> {
        let (step, status) = if paused { ("pause", "paused") } else { ("resume", "running") };
        let request = UpdateContainerRequest {
            id: id.to_owned(),
            pid: INIT.to_owned(),
            status: status.to_owned(),
            resources: None,
        };
        match self.api().update_container(timed(request, CALL_TIMEOUT)).await {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::refused(format!("{step} {id}"), status)),
        }
    }

    /// Changes what a running container may use.
    pub(crate) async fn update(&self, id: &str, resources: UpdateResource) -> Result<(), Error> {
        let request = UpdateContainerRequest {
            id: id.to_owned(),
            pid: INIT.to_owned(),
            status: String::new(),
            resources: Some(resources),
        };
        match self.api().update_container(timed(request, CALL_TIMEOUT)).await {
            Ok(_) => Ok(()),
            Err(status) => Err(Error::refused(format!("update {id}"), status)),
        }
    }
}

/// A request that fails when the answer takes too long.
pub(crate) fn timed<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// The first process of a container as the daemon describes it.
pub(crate) fn init_of(container: &Container) -> Option<&gantry_api::types::Process> {
    container.processes.iter().find(|process| process.pid == INIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_are_beside_the_socket() {
        let bundles = |address: &str, bundles: Option<&str>| {
            Settings::new(address.to_owned(), bundles.map(PathBuf::from)).unwrap().bundles
        };
        assert_eq!(bundles("unix:///tmp/x/g.sock", None), Path::new("/tmp/x/bundles"));
        assert_eq!(bundles("/g.sock", None), Path::new("/bundles"));
        assert_eq!(bundles("tcp://localhost:1", None), Path::new(DEFAULT_BUNDLES));
        assert_eq!(bundles("unix:///tmp/x/g.sock", Some("/var/b")), Path::new("/var/b"));
        assert!(Settings::new("nonsense".to_owned(), None).is_err());
    }
}
