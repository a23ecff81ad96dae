//! The steps of a scenario; how each is written stands in `sentence`.

use std::time::Duration;

use crate::lab::log_watch::Allowance;
use crate::lab::loss::Loss;
use crate::relay::Flow;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Something is done to the lab.
    Do(Deed),
    /// `kill leader after steps N N …`: after each of these steps the leading coordinator is killed, and
    /// started again once another one leads.
    KillLeaderAfter(Vec<u32>),
    /// `await event KIND within SPAN`: after the last event that was awaited so.
    AwaitEvent(String, Duration),
    /// `await step started|done N within SPAN`
    AwaitStep(String, u32, Duration),
    /// `await finding CODE naming TEXT within SPAN`; the text may be left out with `naming`.
    AwaitFinding(String, String, Duration),
    /// `await phase WORD within SPAN`
    AwaitPhase(String, Duration),
    /// `await proposal NAME STATE within SPAN`: the state of a remembered one, as the store has it.
    AwaitProposal(String, String, Duration),
    /// `await protected within SPAN`
    AwaitProtected(Duration),
    /// `await log PROGRAM TEXT within SPAN`
    AwaitLog(Allowance, Duration),
    /// `await stopped SITE within SPAN`: no process of the site's database is left.
    AwaitStopped(String, Duration),
    /// `await closed SITE within SPAN`: the site's database acknowledges nothing any more.
    AwaitClosed(String, Duration),
    /// `await rows in SITE within SPAN`: the site has acknowledged a row of the client.
    AwaitRows(String, Duration),
    /// `break glass at NODE vouching SITE within SPAN [saying TEXT]`: as an operator on the node's host, as soon as nothing
    /// speaks against it, with the code that the node before has printed.
    BreakGlass {
        /// The agent.
        node: String,
        /// The site that is vouched to be off.
        off: String,
        /// Until nothing speaks against it.
        within: Duration,
        /// What it must say.
        text: String,
    },
    /// `break glass at NODE vouching SITE refused RULE`
    RefuseGlass {
        /// The agent.
        node: String,
        /// The site that is vouched to be off.
        off: String,
        /// The rule that must refuse it.
        rule: String,
    },
    /// `wait SPAN`: only where nothing can be waited for, such as time itself.
    Wait(Duration),
    /// `no event KIND for SPAN`
    NoEvent(String, Duration),
    /// `remember proposal NAME`: the latest one.
    Remember(String),
    /// `approve NAME`, with `digest of NAME` for another one's digest, and `refused RULE` when it must be.
    Approve {
        /// Which proposal.
        proposal: String,
        /// Whose digest.
        digest_of: String,
        /// The rule that must refuse it.
        refused: Option<String>,
    },
    /// `approve NAME twice at once`: by two operators; one wins, and the other is told.
    ApproveTwice(String),
    /// `operator WORD… exits N [saying TEXT]`: a command of `pointsman`; `$NAME` is a proposal's id.
    Operator(Vec<String>, i32, String),
    /// `expect whole`: the latest run was a whole failover.
    ExpectWhole,
    /// `expect unmoved`: the first site is live in its first epoch and the client goes on there.
    ExpectUnmoved,
    /// `expect no overlap`: no two sites were writable at once.
    ExpectNoOverlap,
    /// `expect loss of NAME within bound`: what was lost is at most what the proposal displayed.
    ExpectLossWithin(String),
    /// `expect nothing lost`: dc2 has every row that the client was acknowledged.
    ExpectNothingLost,
    /// `expect loss shown in NAME`: the proposal displays a loss of more than zero bytes.
    ExpectLossShown(String),
    /// `expect halted saying TEXT`: the latest run has halted, for this reason.
    ExpectHalted(String),
    /// `expect copies`: commands were delivered twice, and each workload was scaled once.
    ExpectCopies,
    /// `expect log N times PROGRAM TEXT`: in each program's log, since the scenario began.
    ExpectLog(usize, Allowance),
    /// `expect silence of SITE`: its database acknowledges nothing.
    ExpectClosed(String),
}

/// What is done to the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// `lose SITE by kill|freeze`
    Lose(String, Loss),
    /// `thaw SITE`: a frozen site comes back.
    Thaw(String),
    /// `return SITE`: a lost site comes back; killed processes are started as an init system would.
    Return(String),
    /// `freeze host SITE`: every process of a site stops; its links stay.
    FreezeHost(String),
    /// Something happens to the links.
    Link(LinkStep),
    /// `kill TARGET`
    Kill(Target),
    /// `start TARGET`
    Start(Target),
    /// `freeze TARGET`
    Freeze(Target),
    /// `thaw TARGET`
    ThawOne(Target),
    /// `block SITE from SITE|clients`: the site's packet filter drops what comes to its database from there.
    Block(String, String),
    /// `unblock SITE`
    Unblock(String),
    /// `sabotage SITE JSON`: an order to the site's Kubernetes stand-in.
    Sabotage(String, String),
    /// `stores copied`, `stores restored`, `store made anew`: what a careless administrator does.
    Store(StoreStep),
    /// `fill disk KIND NAME`, of a disk that was made small.
    Fill(String),
    /// `empty disk KIND NAME`
    Empty(String),
    /// `clock of PROGRAM NAME OFFSET`: in seconds, of a program with a clock of its own.
    Clock(String, String),
    /// `loop backend SITE`: a session that goes on committing by itself.
    LoopBackend(String),
    /// `duplicate commands`
    DuplicateCommands,
    /// `record commands`: every command from now on is kept.
    RecordCommands,
    /// `replay commands`: every command that was kept is sent once more; none may be obeyed.
    ReplayCommands,
    /// `apply policy KEY VALUE`: an operator puts the stack in force with one rule another.
    ApplyPolicy(String, String),
    /// `publish garbage`
    PublishGarbage,
}

/// What happens to links.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkStep {
    /// `cut SITE SITE`: silence between two sites.
    Cut(String, String),
    /// `heal SITE SITE`
    Heal(String, String),
    /// `isolate SITE`: silence around a site that runs on.
    Isolate(String),
    /// `rejoin SITE`
    Rejoin(String),
    /// `drop SITE to SITE`, `drop SITE to all`, `drop all to SITE`: silence in one direction.
    Drop(String, String),
    /// `slow all delay SPAN jitter SPAN loss N`: every link, both ways, N packets of a thousand lost.
    SlowAll(Flow),
    /// `heal all`
    HealAll,
}

/// What a careless administrator does to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreStep {
    /// All servers are stopped, their stores copied, and started again.
    Copied,
    /// All servers are stopped, the copies put back, and started again.
    Restored,
    /// The bucket is deleted and made anew.
    MadeAnew,
}

/// One program of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `agent NODE`
    Agent(String),
    /// `coordinator SITE`
    Coordinator(String),
    /// `nats SITE`
    Nats(String),
    /// `database SITE`
    Database(String),
    /// `cluster SITE`
    Cluster(String),
    /// `receiver SITE`: the process of a standby that receives WAL.
    Receiver(String),
    /// `postmaster SITE`: the first process of a database, without its others.
    Postmaster(String),
    /// `leader`: the coordinator that leads, or led when it was last named so.
    Leader,
    /// `store leader`: the NATS server that leads the stack's bucket, or led it when it was last named so.
    StoreLeader,
}
