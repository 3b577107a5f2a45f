//! `gantry update`: other limits for a running container.

use gantry_api::types::UpdateResource;

use super::limits::LimitArgs;
use crate::client::{Client, Settings};
use crate::error::Error;
use crate::quantity::{Bytes, Limit, PERIOD_US};

const HELP: &str = "\
What is not named stays as it is. The kernel has the last word: a limit below what is in use, or processors that are \
not there, are refused in its words.

Examples:
  gantry update web --memory 256m               more memory, or less
  gantry update web --cpus 0.5                  half a processor at most
  gantry update web --cpus -1 --memory -1       no limit
  gantry update web --cpuset-cpus 0-2,4         only these processors
  gantry update web --pids 100 --cpu-shares 512";

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    limits: LimitArgs,

    /// The most memory and swap together (-1 for no limit)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_swap: Option<Bytes>,

    /// The memory that it keeps when memory gets scarce (-1 for none)
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    memory_reservation: Option<Bytes>,

    /// Its share of processor time against others, when there is too little (2 to 262144)
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u64).range(2..=262_144))]
    cpu_shares: Option<u64>,

    /// Microseconds of processor time in each period (-1 for no limit); --cpus sets it, too
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true, conflicts_with = "cpus")]
    cpu_quota: Option<Limit>,

    /// The length of a period in microseconds (1000 to 1000000)
    #[arg(long, value_name = "MICROSECONDS", conflicts_with = "cpus",
          value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    cpu_period: Option<u64>,

    /// The processors that it may run on (0-2,4)
    #[arg(long, value_name = "LIST", value_parser = parse_list)]
    cpuset_cpus: Option<String>,

    /// The memory nodes that it may use
    #[arg(long, value_name = "LIST", value_parser = parse_list)]
    cpuset_mems: Option<String>,

    /// Its share of block I/O against others (10 to 1000)
    #[arg(long, value_name = "WEIGHT", value_parser = clap::value_parser!(u64).range(10..=1_000))]
    blkio_weight: Option<u64>,

    /// The container
    #[arg(value_name = "ID")]
    container: String,
}

/// As in cpuset(7); whether the machine has what it names is the kernel's to say.
fn parse_list(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_digit() || ",-:/".contains(c);
    if !text.is_empty() && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    Err("a list is numbers and ranges, such as 0-2,4".to_owned())
}

pub(crate) async fn execute(settings: &Settings, args: &Args) -> Result<u8, Error> {
    let resources = args.resources();
    if resources == UpdateResource::default() {
        return Err(Error::usage(
            "nothing to change",
            format!("name a limit, for instance `gantry update {} --memory 256m`", args.container),
        ));
    }
    let client = Client::connect(settings).await?;
    client.update(&args.container, resources).await?;
    Ok(0)
}

// === impl Args ===

impl Args {
    /// The wire's numbers are unsigned; -1 is sent as two's complement.
    fn resources(&self) -> UpdateResource {
        let size = |size: Option<Bytes>| size.map_or(0, |size| size.get().cast_unsigned());
        let limit = |limit: Option<Limit>| limit.map_or(0, |limit| limit.get().cast_unsigned());
        let LimitArgs { memory, cpus, pids } = self.limits;
        let (cpu_quota, cpu_period) = match cpus {
            // Only the quota can be without limit.
            Some(cpus) if cpus.quota_us() < 0 => (cpus.quota_us().cast_unsigned(), 0),
            Some(cpus) => (cpus.quota_us().cast_unsigned(), PERIOD_US),
            None => (limit(self.cpu_quota), self.cpu_period.unwrap_or(0)),
        };
        UpdateResource {
            memory_limit: size(memory),
            memory_swap: size(self.memory_swap),
            memory_reservation: size(self.memory_reservation),
            cpu_shares: self.cpu_shares.unwrap_or(0),
            cpu_quota,
            cpu_period,
            cpuset_cpus: self.cpuset_cpus.clone().unwrap_or_default(),
            cpuset_mems: self.cpuset_mems.clone().unwrap_or_default(),
            pids_limit: limit(pids),
            blkio_weight: self.blkio_weight.unwrap_or(0),
            ..UpdateResource::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use gantry_api::types::UpdateResource;

    fn resources(line: &str) -> Option<UpdateResource> {
        let Command::Update(args) = Cli::try_parse_from(line.split(' ')).ok()?.command else { return None };
        Some(args.resources())
    }

    #[test]
    fn what_is_not_named_stays() {
        let expected = UpdateResource {
            memory_limit: 64 << 20,
            memory_swap: u64::MAX,
            cpu_quota: 50_000,
            cpu_period: 100_000,
            ..UpdateResource::default()
        };
        let line = "gantry update web --memory 64m --memory-swap -1 --cpus 0.5";
        assert_eq!(resources(line), Some(expected));
        let expected = UpdateResource { cpu_quota: u64::MAX, ..UpdateResource::default() };
        assert_eq!(resources("gantry update web --cpus -1"), Some(expected));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "gantry update --memory 64m",
            "gantry update web --memory 0",
            "gantry update web --cpus 1 --cpu-quota 5000",
            "gantry update web --blkio-weight 5",
            "gantry update web --cpuset-cpus all",
        ] {
            assert_eq!(resources(line), None, "{line}");
        }
    }
}
