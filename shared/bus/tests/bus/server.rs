//! Real nats-servers on free loopback ports, in directories of their own, stopped with the test.

use std::fmt::Write as _;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One server. Killed when dropped.
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) url: String,
    port: u16,
    child: Option<Child>,
    dir: TempDir,
}

impl Server {
    /// One server with JetStream.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// One server with JetStream and further lines of configuration.
    pub(crate) fn with(more: &str) -> Self {
        let mut server = Self::prepare("n1", free_port());
        server.configure(more);
        server.launch();
        server
    }

    /// Servers that form one cluster, named n1, n2 and so on.
    pub(crate) fn cluster(size: usize) -> Vec<Self> {
        let routes: Vec<u16> = (0..size).map(|_| free_port()).collect();
        let all = routes
            .iter()
            .map(|port| format!("nats-route://127.0.0.1:{port}"))
            .collect::<Vec<_>>()
            .join(",");
        routes
            .iter()
            .enumerate()
            .map(|(index, route)| {
                let mut server = Self::prepare(&format!("n{}", index + 1), free_port());
                server.configure(&format!(
                    "cluster {{ name: dr, listen: \"127.0.0.1:{route}\", no_advertise: true, routes: [{all}] }}\n"
                ));
                server.launch();
                server
            })
            .collect()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts again on the same port with the same store.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Sends a signal by name, such as STOP, CONT or USR2.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([&format!("-{name}"), &id])
                .status()
                .unwrap()
                .success()
        );
        // A signal is under way for a moment; a server that still answers in it is not frozen.
        let deadline = Instant::now() + Duration::from_secs(10);
        while name == "STOP" && !is_stopped(&id) {
            assert!(Instant::now() < deadline, "the server does not stop");
            std::thread::yield_now();
        }
    }

    fn prepare(name: &str, port: u16) -> Self {
        Self {
            name: name.to_owned(),
            url: format!("nats://127.0.0.1:{port}"),
            port,
            child: None,
            dir: TempDir::new().unwrap(),
        }
    }

    fn configure(&mut self, more: &str) {
        let mut text = String::new();
        writeln!(
            text,
            "server_name: {}\nlisten: \"127.0.0.1:{}\"",
            self.name, self.port
        )
        .unwrap();
        writeln!(
            text,
            "lame_duck_grace_period: \"3s\"\nlame_duck_duration: \"30s\""
        )
        .unwrap();
        writeln!(
            text,
            "jetstream {{ store_dir: \"{}\", sync_interval: always }}",
            self.dir.path().join("store").display()
        )
        .unwrap();
        text.push_str(more);
        std::fs::write(self.dir.path().join("server.conf"), text).unwrap();
    }

    fn launch(&mut self) {
        let log = std::fs::File::create(self.dir.path().join("server.log")).unwrap();
        let child = Command::new(binary())
            .arg("-c")
            .arg(self.dir.path().join("server.conf"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        let started = Instant::now();
        while !answers(self.port) {
            let log =
                std::fs::read_to_string(self.dir.path().join("server.log")).unwrap_or_default();
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "nats-server does not answer:\n{log}"
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let mut greeting = [0_u8; 5];
    stream.read_exact(&mut greeting).is_ok() && greeting == *b"INFO "
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("POINTSMAN_NATS_SERVER") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path)
        .map(|dir| dir.join("nats-server"))
        .find(|file| file.is_file())
    {
        return found;
    }
    let cache = std::env::var_os("POINTSMAN_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/pointsman"))
        })
        .unwrap_or_default();
    let file = cache.join("bin/nats-server");
    assert!(
        file.is_file(),
        "no nats-server: set POINTSMAN_NATS_SERVER, or have it in PATH or at {}",
        file.display()
    );
    file
}

/// True when every thread of a process is stopped.
fn is_stopped(id: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).unwrap();
    tasks.filter_map(Result::ok).all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}
