//! What the lab stands on before any agent or coordinator: links, disks, databases, the route's hook.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;

use super::disk::SmallDisk;
use super::narrative::Narrative;
use super::wiring::{Door, Wiring};
use super::{CLUSTERED, SITES, slot};
use crate::postgres::{Installation, Postgres, Upstream};
use crate::relay::Links;
use crate::writer::RouteFile;

const START: Duration = Duration::from_mins(1);
/// Chooses the kind of network: `namespaces` or `loopback`; unset, the better one that is possible.
const NETWORK: &str = "POINTSMAN_LAB_NETWORK";

/// A namespace for each site where that is possible, else relays on loopback; and says which.
pub(super) async fn links(narrative: &Narrative) -> Result<Links> {
    let wanted = std::env::var(NETWORK).unwrap_or_default();
    let seed = u64::from(std::process::id());
    let made = match wanted.as_str() {
        "loopback" => Err(anyhow::anyhow!("{NETWORK}=loopback")),
        "" => Links::in_namespaces(&SITES, seed).await,
        "namespaces" => Ok(Links::in_namespaces(&SITES, seed).await?),
        other => bail!("{NETWORK}: found {other:?}; allowed: namespaces | loopback"),
    };
    Ok(match made {
        Ok(links) => {
            narrative.say(format!(
                "each site has a network namespace; what packets the links between them lose is decided by seed {seed}"
            ));
            links
        }
        Err(reason) => {
            narrative.say(format!(
                "the sites share loopback and have no network namespaces ({reason:#}): the deadman, one-way cuts and loss of packets cannot be shown"
            ));
            Links::between(&SITES)
        }
    })
}

/// Writes the hook's program and what it needs, and gives its argv.
pub(super) fn switch_route(
    home: &Path,
    wiring: &Wiring,
    route: &RouteFile,
) -> Result<Vec<PathBuf>> {
    let addresses = home.join("addresses");
    std::fs::create_dir_all(&addresses).context("making the addresses' directory")?;
    for site in CLUSTERED {
        let address = wiring.own(site, Door::Postgres)?;
        std::fs::write(addresses.join(site), address.to_string()).context("writing an address")?;
    }
    let script = home.join("switch-route");
    let text = "#!/bin/sh\n# Points the client's route at the site that becomes live, in one step for every reader.\n\
         set -eu\nroute=$1 addresses=$2\n\
         cp \"$addresses/$POINTSMAN_TO_SITE\" \"$route.next\"\nmv \"$route.next\" \"$route\"\n\
         echo \"route $POINTSMAN_ROUTE leads to $POINTSMAN_TO_SITE\"\n";
    std::fs::write(&script, text).context("writing the hook's program")?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))
        .context("making the hook's program executable")?;
    Ok(vec![script, route.path().to_owned(), addresses])
}

/// Mounts a small disk where each of some programs keeps its files.
pub(super) fn small_disks(home: &Path, programs: &[String]) -> Result<BTreeMap<String, SmallDisk>> {
    let mut disks = BTreeMap::new();
    for program in programs {
        let directory = match program.split_once('-') {
            Some(("database", site)) => home.join(format!("postgres-{site}")),
            Some(("agent", _)) => home.join(program).join("state"),
            Some(("nats", _)) => home.join(program).join("store"),
            _ => bail!("{program} has no files of its own"),
        };
        disks.insert(program.clone(), SmallDisk::mount(&directory)?);
    }
    Ok(disks)
}

/// A primary in the first site, standbys in the others, all of them started.
pub(super) async fn databases(
    home: &Path,
    links: &Links,
    wiring: &mut Wiring,
) -> Result<BTreeMap<String, Postgres>> {
    let installation = Installation::find()?;
    let [first, others @ ..] = SITES;
    let mut primary = Postgres::primary_on(
        &installation,
        &home.join(format!("postgres-{first}")),
        first,
        &links.ground(first),
    )
    .await?;
    primary.start(START).await?;
    wiring.place(first, Door::Postgres, primary.address());
    wiring.open(links, first, Door::Postgres).await?;
    let wiring_so_far = &*wiring;
    let standbys = others.map(|site| {
        let directory = home.join(format!("postgres-{site}"));
        let installation = &installation;
        async move {
            let upstream = Upstream {
                address: wiring_so_far.reach(site, first, Door::Postgres)?,
                slot: slot(site),
            };
            let place = (site, &links.ground(site));
            let mut standby =
                Postgres::standby_on(installation, &directory, place, &upstream).await?;
            standby.start(START).await?;
            anyhow::Ok((site.to_owned(), standby))
        }
    });
    let mut databases: BTreeMap<String, Postgres> =
        try_join_all(standbys).await?.into_iter().collect();
    for (site, standby) in &databases {
        wiring.place(site, Door::Postgres, standby.address());
    }
    for site in others {
        wiring.open(links, site, Door::Postgres).await?;
    }
    primary.wait_streaming(&others, START).await?;
    databases.insert(first.to_owned(), primary);
    Ok(databases)
}
