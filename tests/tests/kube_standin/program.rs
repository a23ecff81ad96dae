//! The program, driven by `kubectl`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tests::kubernetes::kubeconfig;

use super::NAMESPACE;

/// The program; killed when a test ends early.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

const STATE: &str = "
[[object]]
kind = \"Deployment\"
namespace = \"ess\"
name = \"web\"
replicas = 0
[[object]]
kind = \"StatefulSet\"
namespace = \"ess\"
name = \"syn\"
replicas = 1
";

/// Starts the program on a free port and leaves a kubeconfig for it in `directory`.
fn run_in(directory: &Path) -> Running {
    let state = directory.join("state.toml");
    std::fs::write(&state, STATE).expect("a writable directory");
    let mut program = Running(
        Command::new(env!("CARGO_BIN_EXE_kube-standin"))
            .arg("--state")
            .arg(&state)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was built"),
    );
    let mut line = String::new();
    let out = program.0.stdout.take().expect("stdout is piped");
    BufReader::new(out).read_line(&mut line).expect("a line");
    let url = line
        .trim()
        .strip_prefix("listening on ")
        .expect("its address");
    std::fs::write(
        directory.join("kubeconfig"),
        kubeconfig(url, None, NAMESPACE),
    )
    .expect("a writable directory");
    program
}

/// Runs `kubectl`, which must succeed, and returns what it printed.
fn kubectl(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("kubectl")
        .env("KUBECONFIG", directory.join("kubeconfig"))
        .env("HOME", directory)
        .arg("--request-timeout=20s")
        .args(arguments)
        .output()
        .expect("kubectl runs");
    let [said, complaint] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(
        output.status.success(),
        "kubectl {arguments:?}: {said}{complaint}"
    );
    said
}

#[test]
fn kubectl_scales_waits_annotates_and_deletes() {
    if Command::new("kubectl").arg("help").output().is_err() {
        println!("SKIPPED kubectl_scales_waits_annotates_and_deletes: no kubectl on PATH");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let _program = run_in(directory.path());
    let kubectl = |arguments: &[&str]| kubectl(directory.path(), arguments);
    kubectl(&[
        "scale",
        "deploy/web",
        "--replicas=2",
        "--current-replicas=0",
    ]);
    kubectl(&[
        "scale",
        "sts",
        "-l",
        "app.kubernetes.io/instance=syn",
        "--replicas=2",
    ]);
    let web = ["rollout", "status", "deploy/web", "--timeout=20s"];
    let syn = ["rollout", "status", "sts/syn", "--timeout=20s"];
    kubectl(&web);
    kubectl(&syn);
    let pods = kubectl(&["get", "pods", "-o", "name"]);
    assert_eq!(pods.lines().count(), 4, "{pods}");
    kubectl(&["annotate", "deploy/web", "note=one"]);
    let path = "jsonpath={.metadata.generation} {.metadata.annotations.note}";
    assert_eq!(kubectl(&["get", "deploy", "web", "-o", path]), "2 one");
    kubectl(&["rollout", "restart", "sts/syn"]);
    kubectl(&syn);
    kubectl(&["delete", "deploy/web", "--wait=true", "--timeout=20s"]);
}

#[test]
fn the_program_stops_on_sigterm() {
    let directory = tempfile::tempdir().unwrap();
    let mut program = run_in(directory.path());
    let process = i32::try_from(program.0.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    rustix::process::kill_process(process.unwrap(), rustix::process::Signal::TERM).unwrap();
    assert!(program.0.wait().unwrap().success());
}
