//! Starting, steering and stopping one stand-in.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::field::text;
use super::fixture::Fixture;
use super::ownership::Author;
use super::request_log::{LoggedRequest, RequestLog};
use super::resource::ResourceTable;
use super::saboteur::{Sabotage, Saboteur};
use super::script::{Script, Scripts, Timings, WorkloadName};
use super::store::{Key, Store};
use super::world::{World, lock};
use super::write::{self, Mode};
use super::{controller, kubeconfig::kubeconfig, server};

/// How a stand-in starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Bearer token which every request must carry.
    pub token: Option<String>,
    /// How long controllers and kubelet take.
    pub timings: Timings,
    /// Between two bookmarks of a watch that asked for them.
    pub bookmark_every: Duration,
    /// How many writes are kept for watches that resume.
    pub kept_events: usize,
    /// The objects to start with.
    pub fixture: Fixture,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            token: None,
            timings: Timings::default(),
            bookmark_every: Duration::from_secs(1),
            kept_events: 10_000,
            fixture: Fixture::default(),
        }
    }
}

/// Why a stand-in did not start.
#[derive(Debug, Error)]
pub enum StandinError {
    /// The address cannot be listened on.
    #[error("cannot listen on {0}")]
    Listen(SocketAddr, #[source] io::Error),
    /// An object of the fixture has a kind that is not served.
    #[error("the fixture has an object of unknown kind {kind} in {api_version}")]
    UnknownKind {
        /// Its `kind`.
        kind: String,
        /// Its `apiVersion`.
        api_version: String,
    },
    /// An object of the fixture was refused as the API server would refuse it.
    #[error("object {name} of the fixture was refused: {why}")]
    Refused {
        /// Its name.
        name: String,
        /// The refusal's message.
        why: String,
    },
}

/// A running stand-in; it stops when dropped, or orderly with [`Self::stop`].
#[derive(Debug)]
pub struct Standin {
    /// Where it listens, such as `http://127.0.0.1:40123`.
    pub url: String,
    world: Arc<World>,
    tasks: Vec<JoinHandle<()>>,
}

impl Standin {
    /// Starts listening and runs the controller loop, on the current tokio runtime.
    ///
    /// # Errors
    /// [`StandinError`] when the address is taken or the fixture cannot be created.
    pub async fn start(config: Config) -> Result<Self, StandinError> {
        let listen = |error| StandinError::Listen(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let world = Arc::new(World {
            table: ResourceTable::with(&config.fixture.resources),
            timings: config.timings,
            bookmark_every: config.bookmark_every,
            token: config.token,
            stopping: watch::Sender::new(false),
            store: Mutex::new(Store::new(config.kept_events)),
            saboteur: Mutex::new(Saboteur::default()),
            scripts: Mutex::new(Scripts::default()),
            requests: Mutex::new(RequestLog::default()),
        });
        populate(&world, &config.fixture)?;
        let tasks = vec![
            tokio::spawn(server::serve(listener, Arc::clone(&world))),
            tokio::spawn(controller::run(Arc::clone(&world))),
        ];
        Ok(Self {
            url: format!("http://{address}"),
            world,
            tasks,
        })
    }

    /// Stops listening, cuts open connections and waits until both are done.
    pub async fn stop(mut self) {
        self.world.stopping.send_replace(true);
        for task in std::mem::take(&mut self.tasks) {
            if let Err(error) = task.await {
                tracing::warn!(%error, "a task of the stand-in failed");
            }
        }
    }

    /// A kubeconfig that reaches this stand-in, with `namespace` as the default.
    pub fn kubeconfig(&self, namespace: &str) -> String {
        kubeconfig(&self.url, self.world.token.as_deref(), namespace)
    }

    /// Carries out a saboteur's order.
    pub fn sabotage(&self, order: &Sabotage) {
        self.world.sabotage(order);
    }

    /// Makes the pods of a workload follow `script` from now on.
    pub fn set_script(&self, workload: WorkloadName, script: Script) {
        self.world.set_script(workload, script);
    }

    /// The requests seen so far, oldest first.
    pub fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.world.requests).entries()
    }

    /// The stored object of `kind` in `api_version`; `namespace` is empty for cluster-wide kinds.
    pub fn object(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Option<Value> {
        let resource = self.world.table.by_kind(api_version, kind)?;
        let key = Key::new(&resource.qualified(), namespace, name);
        lock(&self.world.store)
            .get(&key)
            .map(|object| Value::clone(&object))
    }
}

impl Drop for Standin {
    fn drop(&mut self) {
        self.world.stopping.send_replace(true);
    }
}

fn populate(world: &World, fixture: &Fixture) -> Result<(), StandinError> {
    let mut store = lock(&world.store);
    let author = Author::of("fixture");
    let namespaces = ["default", "kube-system"].map(str::to_owned).into_iter();
    let named = fixture
        .objects
        .iter()
        .map(|object| namespace_of(object).to_owned());
    for namespace in namespaces.chain(named) {
        let key = Key::new("namespaces", "", &namespace);
        if let Some(resource) = world.table.by_plural("", "v1", "namespaces")
            && store.get(&key).is_none()
        {
            let object = json!({"metadata": {"name": namespace}, "status": {"phase": "Active"}});
            let created = write::create(
                &mut store,
                resource,
                "",
                object,
                &author,
                (Mode::Real, true),
            );
            created.map_err(|error| refused(&namespace, &error))?;
        }
    }
    for object in &fixture.objects {
        let (api_version, kind) = (text(object, "/apiVersion"), text(object, "/kind"));
        let name = text(object, "/metadata/name");
        let resource =
            world
                .table
                .by_kind(api_version, kind)
                .ok_or_else(|| StandinError::UnknownKind {
                    kind: kind.to_owned(),
                    api_version: api_version.to_owned(),
                })?;
        let namespace = if resource.namespaced {
            namespace_of(object)
        } else {
            ""
        };
        if kind == "Namespace" && store.get(&Key::new("namespaces", "", name)).is_some() {
            continue;
        }
        let how = (Mode::Real, true);
        write::create(
            &mut store,
            resource,
            namespace,
            object.clone(),
            &author,
            how,
        )
        .map_err(|error| refused(name, &error))?;
    }
    let mut scripts = lock(&world.scripts);
    for (workload, script) in &fixture.scripts {
        scripts.set(workload.clone(), *script, None);
    }
    Ok(())
}

fn namespace_of(object: &Value) -> &str {
    match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    }
}

fn refused(name: &str, error: &super::refusal::Refusal) -> StandinError {
    StandinError::Refused {
        name: name.to_owned(),
        why: error.to_string(),
    }
}
