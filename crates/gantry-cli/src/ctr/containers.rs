//! `ctr containers`: what runs, and what can be done with it.

use gantry_api::types::{SignalRequest, StateRequest, UpdateContainerRequest, UpdateResource};

use super::calls::Daemon;
use super::command::{
    BLKIO_WEIGHT, CPU_PERIOD, CPU_QUOTA, CPU_REALTIME_PERIOD, CPU_REALTIME_RUNTIME, CPU_SHARES, CPUSET_CPUS,
    CPUSET_MEMS, KERNEL_LIMIT, KERNEL_TCP_LIMIT, MEMORY_LIMIT, MEMORY_RESERVATION, MEMORY_SWAP, PID,
    PIDS_LIMIT, SIGNAL,
};
use super::error::Error;
use super::flags::{Flag, Flags};
use super::line::Run;
use super::table::LIST;
use super::{go, print};
use crate::id::INIT;

pub(crate) const CONTAINER_ID: &str = "container id";

pub(crate) async fn list(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let mut api = daemon.connect().await?;
    let mut containers = api.state(StateRequest { id: run.arg(0) }).await?.into_inner().containers;
    containers.sort_by(|one, other| one.id.cmp(&other.id));
    let mut rows = vec![["ID", "PATH", "STATUS", "PROCESSES"].map(str::to_owned)];
    for container in containers {
        let processes: Vec<&str> = container.processes.iter().map(|process| process.pid.as_str()).collect();
        let processes = processes.join(",");
        rows.push([container.id, container.bundle_path, container.status, processes]);
    }
    print(&LIST.render(&rows))
}

pub(crate) async fn kill(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let id = run.required(0, CONTAINER_ID)?;
    let signal = number32(&run.flags, &SIGNAL)?;
    let mut api = daemon.connect().await?;
    api.signal(SignalRequest { id, pid: run.flags.text(&PID), signal }).await?;
    Ok(())
}

/// Pauses or resumes a container.
pub(crate) async fn set_status(daemon: &Daemon, run: &Run, status: &str) -> Result<(), Error> {
    let request = UpdateContainerRequest {
        id: run.required(0, CONTAINER_ID)?,
        pid: INIT.to_owned(),
        status: status.to_owned(),
        resources: None,
    };
    daemon.connect().await?.update_container(request).await?;
    Ok(())
}

pub(crate) async fn update(daemon: &Daemon, run: &Run) -> Result<(), Error> {
    let request = UpdateContainerRequest {
        id: run.arg(0),
        pid: INIT.to_owned(),
        status: String::new(),
        resources: Some(resources(&run.flags)?),
    };
    daemon.connect().await?.update_container(request).await?;
    Ok(())
}

fn resources(flags: &Flags) -> Result<UpdateResource, Error> {
    // What is not given is zero, and zero means unchanged.
    let unsigned = |flag: &Flag| match flags.text(flag).as_str() {
        "" => Ok(0),
        text => go::parse_unsigned(text),
    };
    let realtime_runtime = match flags.text(&CPU_REALTIME_RUNTIME).as_str() {
        "" => 0,
        text => go::parse_signed(text)?,
    };
    Ok(UpdateResource {
        blkio_weight: unsigned(&BLKIO_WEIGHT)?,
        cpu_shares: unsigned(&CPU_SHARES)?,
        cpu_period: unsigned(&CPU_PERIOD)?,
        cpu_quota: unsigned(&CPU_QUOTA)?,
        cpuset_cpus: flags.text(&CPUSET_CPUS),
        cpuset_mems: flags.text(&CPUSET_MEMS),
        memory_limit: unsigned(&MEMORY_LIMIT)?,
        memory_swap: unsigned(&MEMORY_SWAP)?,
        memory_reservation: unsigned(&MEMORY_RESERVATION)?,
        kernel_memory_limit: unsigned(&KERNEL_LIMIT)?,
        kernel_tcp_memory_limit: unsigned(&KERNEL_TCP_LIMIT)?,
        pids_limit: unsigned(&PIDS_LIMIT)?,
        cpu_realtime_period: unsigned(&CPU_REALTIME_PERIOD)?,
        cpu_realtime_runtime: realtime_runtime,
        ..UpdateResource::default()
    })
}

/// A number that the wire has 32 bits for.
pub(crate) fn number32(flags: &Flags, flag: &Flag) -> Result<u32, Error> {
    let value = flags.number(flag);
    u32::try_from(value).map_err(|_| Error::Range { flag: flag.names[0], value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctr::line::Line;

    fn flags(line: &str) -> Flags {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match Line::read(&words) {
            Ok(Line::Run(run)) => run.flags,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn limits_are_read_and_the_rest_is_left_unchanged() {
        let given = flags(
            "containers update web --memory-limit 0x10000000 -cpu-shares=512 --cpu-quota 0xffffffffffffffff \
             --cpuset-cpus 0-1 --pids-limit 64 --cpu-realtime-runtime -1 --cpu-realtime-period 010",
        );
        let expected = UpdateResource {
            memory_limit: 0x1000_0000,
            cpu_shares: 512,
            cpu_quota: u64::MAX,
            cpuset_cpus: "0-1".to_owned(),
            pids_limit: 64,
            cpu_realtime_runtime: -1,
            cpu_realtime_period: 8,
            ..UpdateResource::default()
        };
        assert_eq!(resources(&given).unwrap(), expected);
        let given = flags(
            "containers update --memory-reservation 1 --memory-swap 2 --cpu-period 3 --kernel-limit 4 \
             --kernel-tcp-limit 5 --blkio-weight 6 --cpuset-mems 0 web",
        );
        let expected = UpdateResource {
            memory_reservation: 1,
            memory_swap: 2,
            cpu_period: 3,
            kernel_memory_limit: 4,
            kernel_tcp_memory_limit: 5,
            blkio_weight: 6,
            cpuset_mems: "0".to_owned(),
            ..UpdateResource::default()
        };
        assert_eq!(resources(&given).unwrap(), expected);
        let error = resources(&flags("containers update web --memory-limit 64m")).unwrap_err().to_string();
        assert_eq!(error, "strconv.ParseUint: parsing \"64m\": invalid syntax");
    }

    #[test]
    fn numbers_are_not_cut_to_size() {
        assert_eq!(number32(&flags("containers kill web"), &SIGNAL).unwrap(), 15);
        let error = number32(&flags("containers kill web -s 4294967305"), &SIGNAL).unwrap_err().to_string();
        assert_eq!(error, "invalid value \"4294967305\" for flag -signal: value out of range");
        assert!(number32(&flags("containers kill web -s -9"), &SIGNAL).is_err());
    }
}
