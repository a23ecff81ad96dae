//! A real control plane without nodes: etcd, kube-apiserver and three controllers, on loopback.
//!
//! It decides how they are started and stopped. It must never stand in for anything they decide: pods stay
//! as the controllers make them until [`crate::kubelet`] plays the node's part.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tests::account::Account;
use tests::ground::Ground;
use tests::port;
use tests::process::{Process, Program, run};
use tests::scratch::{Scratch, create_directory};

use crate::{LONG, NAMESPACE, eventually};

const ADMIN: &str = "admin-of-this-test";
const STOP: Duration = Duration::from_secs(10);
const KEY: Duration = Duration::from_secs(30);

/// The running programs. Dropping it kills them.
pub(crate) struct ControlPlane {
    // The API server goes before the store that it writes to.
    controllers: Process,
    server: Process,
    store: Process,
    url: String,
    authority: PathBuf,
    scratch: Scratch,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// The directory of the programs, or why there is none.
pub(crate) fn programs() -> std::result::Result<PathBuf, String> {
    let needed = ["etcd", "kube-apiserver", "kube-controller-manager"];
    let complete = |directory: &PathBuf| needed.iter().all(|name| directory.join(name).is_file());
    if let Some(named) = std::env::var_os("KUBEBUILDER_ASSETS").filter(|name| !name.is_empty()) {
        let named = PathBuf::from(named);
        return if complete(&named) {
            Ok(named)
        } else {
            Err(format!(
                "KUBEBUILDER_ASSETS lacks one of {}",
                needed.join(", ")
            ))
        };
    }
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_default());
    let cache = std::env::var_os("POINTSMAN_CACHE")
        .map_or_else(|| home.join(".cache/pointsman"), PathBuf::from);
    let mut versions: Vec<PathBuf> = std::fs::read_dir(cache.join("kubernetes"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(complete)
        .collect();
    versions.sort();
    versions
        .pop()
        .ok_or_else(|| "no real kube-apiserver here: tests/setup.sh gets one".to_owned())
}

impl ControlPlane {
    /// Starts everything and makes the namespace.
    pub(crate) async fn start(programs: &Path) -> Result<Self> {
        let scratch = Scratch::new()?;
        let home = scratch.path().to_owned();
        let (client, peer, secure) = (port::reserve()?, port::reserve()?, port::reserve()?);
        let store = Process::spawn(&program(
            programs,
            "etcd",
            &home,
            etcd(&home, client, peer),
        )?)?;
        let certificates = home.join("certificates");
        create_directory(&certificates, &Account::Caller, 0o700)?;
        let key = home.join("accounts.key");
        let mut openssl = tokio::process::Command::new("openssl");
        openssl.args(["genrsa", "-out"]).arg(&key).arg("2048");
        run(openssl, KEY)
            .await
            .context("making a key for service accounts")?;
        std::fs::write(
            home.join("tokens.csv"),
            format!("{ADMIN},admin,1,\"system:masters\"\n"),
        )?;
        let arguments = apiserver(&home, client, secure);
        let server = Process::spawn(&program(programs, "kube-apiserver", &home, arguments)?)?;
        let url = format!("https://127.0.0.1:{secure}");
        let authority = certificates.join("apiserver.crt");
        let kubeconfig = home.join("admin.kubeconfig");
        std::fs::write(&kubeconfig, kubeconfig_text(&url, &authority, ADMIN))?;
        let arguments = controller_arguments(&kubeconfig, &key);
        let manager = program(programs, "kube-controller-manager", &home, arguments)?;
        let healthy = url.clone();
        let mut plane = Self {
            // Started once the server answers: without it, it only ends.
            controllers: {
                wait_ready(&healthy, &authority, &server).await?;
                Process::spawn(&manager)?
            },
            server,
            store,
            url,
            authority,
            scratch,
        };
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        let made = plane.post("/api/v1/namespaces", &namespace).await?;
        ensure!(made.status == 201, "{made:?}: {}", plane.server.log_tail());
        plane.server.exited()?;
        Ok(plane)
    }

    /// A kubeconfig for a bearer token.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        kubeconfig_text(&self.url, &self.authority, token)
    }

    /// A client for a bearer token that fails instead of retrying.
    pub(crate) async fn client(&self, token: &str) -> Result<Client> {
        client(&self.kubeconfig(token)).await
    }

    /// A client that may do everything.
    pub(crate) async fn admin(&self) -> Result<Client> {
        self.client(ADMIN).await
    }

    /// Makes an object as the administrator.
    pub(crate) async fn post(&self, path: &str, object: &Value) -> Result<Answer> {
        let kind = "application/json";
        exchange(
            &self.admin().await?,
            Method::POST,
            path,
            kind,
            object.to_string(),
        )
        .await
    }

    /// Makes everything that a manifest has, in the test's namespace.
    pub(crate) async fn apply(&self, manifest: &str) -> Result<()> {
        let admin = self.admin().await?;
        for document in manifest.split("\n---\n") {
            let kind = document
                .lines()
                .find_map(|line| line.strip_prefix("kind: "));
            let path = match kind.context("a document without kind")? {
                "ServiceAccount" => "/api/v1/namespaces/ess/serviceaccounts",
                "Role" => "/apis/rbac.authorization.k8s.io/v1/namespaces/ess/roles",
                "RoleBinding" => "/apis/rbac.authorization.k8s.io/v1/namespaces/ess/rolebindings",
                other => anyhow::bail!("no path for a {other}"),
            };
            // The server reads YAML as kubectl sends it.
            let made = exchange(
                &admin,
                Method::POST,
                path,
                "application/yaml",
                document.to_owned(),
            )
            .await?;
            ensure!(made.status == 201, "{document}\n{made:?}");
        }
        Ok(())
    }

    /// A token of a service account of the test's namespace.
    pub(crate) async fn token_of(&self, account: &str) -> Result<String> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token");
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let answer = self.post(&path, &request).await?;
        let token = answer.body.pointer("/status/token").and_then(Value::as_str);
        Ok(token
            .with_context(|| format!("no token: {answer:?}"))?
            .to_owned())
    }

    /// Stops all of it, the API server before its store; whatever is left is killed.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.controllers.terminate(STOP).await?;
        self.server.terminate(STOP).await?;
        self.store.terminate(STOP).await?;
        drop(self.scratch);
        Ok(())
    }
}

/// Sends one request and gives the answer, whatever its status.
pub(crate) async fn exchange(
    client: &Client,
    method: Method,
    path: &str,
    content: &str,
    body: String,
) -> Result<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("accept", "application/json");
    if !body.is_empty() {
        request = request.header("content-type", content);
    }
    let request = request.body(Body::from(body.into_bytes()))?;
    let sent = tokio::time::timeout(STOP, Box::pin(client.send(request)));
    let answer = sent.await.context("no answer in time")??;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Answer { status, body })
}

/// A client that fails instead of retrying.
pub(crate) async fn client(kubeconfig: &str) -> Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::from_yaml(kubeconfig)?;
    let options = kube::config::KubeConfigOptions::default();
    let mut config = Box::pin(kube::Config::from_custom_kubeconfig(kubeconfig, &options)).await?;
    config.default_retry = false;
    config.read_timeout = Some(STOP);
    Ok(Client::try_from(config)?)
}

async fn wait_ready(url: &str, authority: &Path, server: &Process) -> Result<()> {
    eventually("the API server is ready", async || {
        let Ok(client) = client(&kubeconfig_text(url, authority, ADMIN)).await else {
            return false;
        };
        let ready = exchange(&client, Method::GET, "/readyz", "", String::new()).await;
        // The roles that every cluster has are made after the server is ready.
        let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:basic-user";
        let roles = exchange(&client, Method::GET, roles, "", String::new()).await;
        ready.is_ok_and(|answer| answer.status == 200)
            && roles.is_ok_and(|answer| answer.status == 200)
    })
    .await
    .with_context(|| server.log_tail())
}

fn program(programs: &Path, name: &str, home: &Path, arguments: Vec<String>) -> Result<Program> {
    let directory = home.join(name);
    create_directory(&directory, &Account::Caller, 0o700)?;
    Ok(Program {
        name: name.to_owned(),
        executable: programs.join(name),
        arguments: arguments.into_iter().map(OsString::from).collect(),
        environment: Vec::new(),
        log: directory.join("program.log"),
        directory,
        account: Account::Caller,
        ground: Ground::LOOPBACK,
    })
}

fn etcd(home: &Path, client: u16, peer: u16) -> Vec<String> {
    let (client, peer) = (
        format!("http://127.0.0.1:{client}"),
        format!("http://127.0.0.1:{peer}"),
    );
    vec![
        format!("--data-dir={}", home.join("etcd-data").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync=true".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn apiserver(home: &Path, store: u16, secure: u16) -> Vec<String> {
    let key = home.join("accounts.key").display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{store}"),
        format!("--cert-dir={}", home.join("certificates").display()),
        format!("--secure-port={secure}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--service-cluster-ip-range=10.99.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.invalid".to_owned(),
        format!("--service-account-key-file={key}"),
        format!("--service-account-signing-key-file={key}"),
        format!("--token-auth-file={}", home.join("tokens.csv").display()),
        "--authorization-mode=RBAC".to_owned(),
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
    ]
}

fn controller_arguments(kubeconfig: &Path, key: &Path) -> Vec<String> {
    let kubeconfig = kubeconfig.display();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--controllers=deployment-controller,replicaset-controller,statefulset-controller"
            .to_owned(),
        format!("--service-account-private-key-file={}", key.display()),
    ]
}

/// As JSON, which is YAML as well.
fn kubeconfig_text(url: &str, authority: &Path, token: &str) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "real", "cluster": {"server": url, "certificate-authority": authority}}],
        "users": [{"name": "real", "user": {"token": token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real", "namespace": NAMESPACE}}],
        "current-context": "real",
    });
    format!("{config:#}\n")
}

/// Waits until `check` holds for an object as the administrator sees it.
pub(crate) async fn until(
    client: &Client,
    path: &str,
    check: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let deadline = tokio::time::Instant::now() + LONG;
    loop {
        let answer = exchange(client, Method::GET, path, "", String::new()).await?;
        if answer.status == 200 && check(&answer.body) {
            return Ok(answer.body);
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "{path} did not get there: {:#}",
            answer.body
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
