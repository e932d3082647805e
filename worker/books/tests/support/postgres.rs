//! A PostgreSQL server of one's own, in a folder of one's own, reached through a socket in it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Where Debian puts the binaries; elsewhere they are on the path.
const DEBIAN: &str = "/usr/lib/postgresql/15/bin";
/// Root may not run it.
const USER: &str = "postgres";

pub(crate) struct Server {
    folder: TempDir,
    process: Child,
    databases: u32,
}

impl Server {
    /// Starts one, or says why there is none.
    pub(crate) fn start() -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        if is_root() {
            run(Command::new("chown").arg(USER).arg(folder.path()))?;
        }
        let data = folder.path().join("data");
        run(as_user("initdb").args(["--auth=trust", "--username=ledger", "--no-sync", "-D"]).arg(&data))?;
        let process = as_user("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses=", "-c", "fsync=off"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut server = Self { folder, process, databases: 0 };
        server.wait()?;
        Ok(server)
    }

    /// The URL of a new, empty database.
    pub(crate) fn database(&mut self) -> String {
        self.databases += 1;
        let name = format!("ledger{}", self.databases);
        let mut client = postgres::Client::connect(&self.url("postgres"), postgres::NoTls).unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        let socket = self.folder.path().display().to_string().replace('/', "%2F");
        format!("postgres://ledger@{socket}/{database}")
    }

    fn wait(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match postgres::Client::connect(&self.url("postgres"), postgres::NoTls) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error.to_string()),
                Err(_) => std::thread::sleep(Duration::from_millis(20)), // it cannot be awaited: nothing is told
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
    }
}

/// A command of PostgreSQL, as somebody who is not root; the process itself becomes it.
fn as_user(program: &str) -> Command {
    let path: PathBuf = Path::new(DEBIAN).join(program);
    let program: &OsStr = if path.exists() { path.as_os_str() } else { program.as_ref() };
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--clear-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.starts_with(b"0\n"))
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
