//! The ground that a site stands on: its address, and the network namespace that its programs run in.
//!
//! On loopback all sites share one address and get free ports; in a namespace of its own a site has its own
//! address and the usual ports. It decides nothing else, and never makes a namespace.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::process::Command;

use crate::port;
use crate::process;

/// Where `ip netns` keeps the names.
pub const NAMES: &str = "/run/netns";
const COMMAND: Duration = Duration::from_secs(10);

/// Where a program runs, as the network sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ground {
    address: Ipv4Addr,
    namespace: Option<String>,
}

impl Default for Ground {
    fn default() -> Self {
        Self::LOOPBACK
    }
}

impl Ground {
    /// This process's own namespace, on loopback.
    pub const LOOPBACK: Self = Self {
        address: Ipv4Addr::LOCALHOST,
        namespace: None,
    };

    /// A namespace that `ip netns` knows, with its address.
    pub const fn namespace(name: String, address: Ipv4Addr) -> Self {
        Self {
            address,
            namespace: Some(name),
        }
    }

    /// The address that its programs listen on and are reached at.
    pub const fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The name of its namespace, when it has one of its own.
    pub fn name(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// The port for a server: the usual one where the ground is the site's own, else a free one.
    ///
    /// # Errors
    /// When no port is free.
    pub fn port(&self, usual: u16) -> Result<u16> {
        match self.namespace {
            Some(_) => Ok(usual),
            None => port::reserve(),
        }
    }

    /// The same with the address.
    ///
    /// # Errors
    /// When no port is free.
    pub fn door(&self, usual: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::from((self.address, self.port(usual)?)))
    }

    /// A command that runs `program` here: in the namespace, by the caller's account.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        match &self.namespace {
            None => Command::new(program),
            Some(name) => {
                // It becomes the program, as it neither forks nor stays.
                let mut command = Command::new("nsenter");
                command.arg(format!("--net={NAMES}/{name}")).arg("--");
                command.arg(program);
                command
            }
        }
    }

    /// Does something here, such as opening a socket, which stays of here; in a thread of its own.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let entered = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.set_foot()?;
                    anyhow::Ok(work())
                })
                .join()
        });
        entered.map_err(|_panicked| anyhow!("what was done in a namespace panicked"))?
    }

    /// Moves this thread, and no other, into the namespace.
    ///
    /// # Errors
    /// When there is none of this name, or this process may not.
    pub fn set_foot(&self) -> Result<()> {
        let Some(name) = &self.namespace else {
            return Ok(());
        };
        let path = format!("{NAMES}/{name}");
        let entrance = File::open(&path).with_context(|| format!("opening {path}"))?;
        move_into_link_name_space(entrance.as_fd(), Some(LinkNameSpaceType::Network))
            .with_context(|| format!("entering {name}"))
    }

    /// Runs `words` here to their end, and gives what was printed.
    ///
    /// # Errors
    /// When there are no words, or the command fails.
    pub async fn run(&self, words: &[&str]) -> Result<String> {
        let (program, arguments) = words.split_first().context("a command without words")?;
        let mut command = self.command(program);
        command.args(arguments);
        process::run(command, COMMAND).await
    }
}
