//! Three databases at three sites.

use anyhow::{Context, Result};
use tests::postgres::{Installation, Postgres, Upstream};
use tests::relay::Links;
use tests::scratch::Scratch;

use crate::{LONG, SITES};

/// A primary and two standbys that replicate over the links.
pub(crate) struct Trio {
    pub(crate) primary: Postgres,
    pub(crate) second: Postgres,
    pub(crate) third: Postgres,
    pub(crate) links: Links,
    pub(crate) scratch: Scratch,
}

impl Trio {
    pub(crate) async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let links = Links::between(&SITES);
        let installation = Installation::find()?;
        let mut primary =
            Postgres::primary(&installation, &scratch.path().join("pg-dc1"), "dc1").await?;
        primary.start(LONG).await?;
        let mut standbys = Vec::new();
        for site in ["dc2", "dc3"] {
            let address = links.forward(site, "dc1", primary.address()).await?;
            let upstream = Upstream {
                address,
                slot: site.to_owned(),
            };
            let directory = scratch.path().join(format!("pg-{site}"));
            let mut standby = Postgres::standby(&installation, &directory, site, &upstream).await?;
            standby.start(LONG).await?;
            standbys.push(standby);
        }
        let third = standbys.pop().context("no third")?;
        let second = standbys.pop().context("no second")?;
        primary.wait_streaming(&["dc2", "dc3"], LONG).await?;
        Ok(Self {
            primary,
            second,
            third,
            links,
            scratch,
        })
    }
}
