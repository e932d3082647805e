//! A `redis-server` of the test's own.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use redis::{Client, Connection, ConnectionLike as _};
use tempfile::TempDir;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// Runs the server for as long as somebody holds the other end of its standard input: whatever ends the test ends it too.
const KEEPER: &str = r#""$@" & cat > /dev/null; kill -KILL $!; wait"#;

/// A server on a port of its own, which keeps every command it has answered, even when it is killed. It ends when dropped
/// or when the test's process does.
pub struct RedisServer {
    folder: Folder,
    address: SocketAddr,
    keeper: Option<Child>,
}

/// Where a server keeps its file.
enum Folder {
    /// Goes with the server.
    Own(TempDir),
    /// Stays.
    Given(PathBuf),
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Own(folder) => folder.path(),
            Self::Given(path) => path,
        }
    }
}

impl RedisServer {
    /// Starts an empty server, and waits until it answers.
    pub fn start() -> Self {
        Self::start_in(Folder::Own(tempfile::tempdir().unwrap()))
    }

    /// Starts a server over what one kept in `folder`, if there was one, and waits until it answers.
    pub fn over(folder: &Path) -> Self {
        Self::start_in(Folder::Given(folder.to_owned()))
    }

    fn start_in(folder: Folder) -> Self {
        let mut server = Self { folder, address: free_address(), keeper: None };
        server.restart();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As clients are told of it.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// A connection of the test's own.
    pub fn connection(&self) -> Connection {
        Client::open(self.url()).unwrap().get_connection().unwrap()
    }

    /// Ends it as a power cut would, as far as a process can tell.
    pub fn kill_9(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            drop(keeper.stdin.take());
            keeper.wait().unwrap();
        }
    }

    /// Starts it again on the same port over what it kept, and waits until it answers.
    pub fn restart(&mut self) {
        self.kill_9();
        let log = self.folder.path().join("redis.log");
        let output = File::options().create(true).append(true).open(&log).unwrap();
        let keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh", xtask::redis::PROGRAM])
            .args(xtask::redis::arguments(self.address, self.folder.path()))
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("sh starts");
        self.keeper = Some(keeper);
        let deadline = Instant::now() + PATIENCE;
        let client = Client::open(self.url()).unwrap();
        while !client.get_connection().is_ok_and(|mut connection| connection.check_connection()) {
            if Instant::now() > deadline {
                let log = fs::read_to_string(&log).unwrap_or_default();
                panic!("no redis-server answers on {}; `cargo xtask setup` installs it\n{log}", self.address);
            }
            thread::sleep(POLL);
        }
    }
}

/// An address that nobody listens on, below the ports that the system hands out by itself: those may be a connection's
/// by the time the server, or the same server again, wants them.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let tried = (0..1_000).map(|_| first.wrapping_add(NEXT.fetch_add(1, Relaxed)) % 12_000);
    let mut ports = tried.filter_map(|offset| u16::try_from(20_000 + offset).ok());
    let free = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()?.local_addr().ok());
    free.expect("one of a thousand ports is free")
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill_9();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_server_keeps_what_it_answered() {
        let mut server = RedisServer::start();
        let _: () = redis::cmd("SET").arg("k").arg("v").query(&mut server.connection()).unwrap();
        let address = server.address();
        server.kill_9();
        assert!(std::net::TcpStream::connect(address).is_err());
        server.restart();
        assert_eq!(redis::cmd("GET").arg("k").query(&mut server.connection()), Ok("v".to_owned()));
    }
}
