//! The wide-area network between namespaces: every packet from one site to another passes through here.
//!
//! A thread of its own holds the `wan` device of each site, so that nothing else that this process does
//! delays a packet. It must never carry a packet between a site and anything that is not a site.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result, anyhow};
use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio_tun::Tun;

use super::lane::{Conversations, Lane};
use super::line::Line;
use super::packet::destination;
use crate::ground::Ground;

/// The device by which a site reaches the others.
pub(super) const DEVICE: &str = "wan";
const MTU: usize = 1500;

type Pair = (String, String);

/// The running relay. Dropping it ends it; its devices go with it.
#[derive(Debug)]
pub(super) struct Wan {
    conversations: BTreeMap<Pair, Arc<Conversations>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Wan {
    /// Opens the device of every site and begins to carry.
    ///
    /// # Errors
    /// When a device cannot be made.
    pub(super) async fn start(
        grounds: &BTreeMap<String, Ground>,
        lines: &BTreeMap<Pair, Arc<Line>>,
        seed: u64,
    ) -> Result<Self> {
        let mut conversations: BTreeMap<Pair, Arc<Conversations>> = BTreeMap::new();
        for (from, to) in lines.keys() {
            conversations.entry(unordered(from, to)).or_default();
        }
        let course = Course {
            grounds: grounds.clone(),
            lines: lines.clone(),
            conversations: conversations.clone(),
            seed,
        };
        let (stop, stopped) = oneshot::channel();
        let (ready, opened) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("wan".to_owned())
            .spawn(move || work(course, ready, stopped))
            .context("starting the relay's thread")?;
        let wan = Self {
            conversations,
            stop: Some(stop),
            thread: Some(thread),
        };
        opened.await.context("the relay has ended")??;
        Ok(wan)
    }

    /// Ends every connection between two sites at its next segment.
    pub(super) fn end_connections(&self, one: &str, other: &str) {
        if let Some(conversations) = self.conversations.get(&unordered(one, other)) {
            conversations.end_all();
        }
    }
}

impl Drop for Wan {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends at once; if it panicked, that was said on standard error.
            drop(thread.join());
        }
    }
}

fn unordered(one: &str, other: &str) -> Pair {
    (one.min(other).to_owned(), one.max(other).to_owned())
}

struct Course {
    grounds: BTreeMap<String, Ground>,
    lines: BTreeMap<Pair, Arc<Line>>,
    conversations: BTreeMap<Pair, Arc<Conversations>>,
    seed: u64,
}

fn work(course: Course, ready: oneshot::Sender<Result<()>>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(ready.send(Err(anyhow!(error).context("the relay's runtime"))));
            return;
        }
    };
    runtime.block_on(async {
        match open_all(&course.grounds) {
            Ok(devices) => {
                drop(ready.send(Ok(())));
                tokio::select! {
                    () = carry_all(&course, &devices) => {}
                    _ = stopped => {}
                }
            }
            Err(error) => drop(ready.send(Err(error))),
        }
    });
}

/// Opens the devices; this thread goes from namespace to namespace for it and does nothing else there.
fn open_all(grounds: &BTreeMap<String, Ground>) -> Result<BTreeMap<String, Rc<Tun>>> {
    let mut devices = BTreeMap::new();
    for (site, ground) in grounds {
        ground.set_foot()?;
        let mut opened = Tun::builder().name(DEVICE).up().build().map_err(|error| {
            anyhow!("the TUN device of {site}: {error}; is /dev/net/tun there and allowed?")
        })?;
        let device = opened.pop().context("no TUN device")?;
        devices.insert(site.clone(), Rc::new(device));
    }
    Ok(devices)
}

async fn carry_all(course: &Course, devices: &BTreeMap<String, Rc<Tun>>) {
    let mut deliveries = Vec::new();
    let mut sites = Vec::new();
    for (from, here) in devices {
        let mut lanes: BTreeMap<Ipv4Addr, Lane> = BTreeMap::new();
        for (to, there) in devices.iter().filter(|(to, _)| *to != from) {
            let pair = (from.clone(), to.clone());
            let (Some(line), Some(ground)) = (course.lines.get(&pair), course.grounds.get(to))
            else {
                continue;
            };
            let conversations = course.conversations.get(&unordered(from, to));
            let seed = course
                .seed
                .wrapping_add(u64::try_from(deliveries.len()).unwrap_or(0));
            let ends = (Rc::clone(here), Rc::clone(there));
            let (lane, delivery) =
                Lane::new(line, conversations.cloned().unwrap_or_default(), seed, ends);
            lanes.insert(ground.address(), lane);
            deliveries.push(delivery);
        }
        sites.push(attend(Rc::clone(here), lanes));
    }
    tokio::join!(join_all(deliveries), join_all(sites));
}

/// Takes what a site sends for as long as its device is there.
async fn attend(here: Rc<Tun>, mut lanes: BTreeMap<Ipv4Addr, Lane>) {
    let mut buffer = vec![0; MTU + 64];
    while let Ok(length) = here.recv(&mut buffer).await {
        let packet = buffer.get(..length).unwrap_or_default();
        let lane = destination(packet).and_then(|to| lanes.get_mut(&to));
        if let Some(lane) = lane {
            lane.carry(packet);
        }
    }
}
