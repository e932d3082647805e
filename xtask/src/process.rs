//! Starting programs so that none outlives us.
//!
//! Every child has a process group of its own, so that Ctrl-C reaches us alone and we end the children in order. On Linux
//! a child also gets SIGTERM when we die without a chance to do so.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, OnceLock, atomic::AtomicBool, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};
use signal_hook::consts::{SIGINT, SIGTERM};

/// How long a child may take to end by itself once asked.
const GRACE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From here on SIGINT and SIGTERM no longer end this program: they set what [`interrupted`] reads.
pub(crate) fn catch_signals() -> Result<()> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(flag)).context("cannot listen for signals")?;
    }
    Ok(())
}

/// Whether we were asked to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// The error of work that was cut short by a signal.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A running child. Dropping it ends it with everything it started.
pub(crate) struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    log: Option<PathBuf>,
}

impl Process {
    /// Starts `command`. Call this from the main thread only: the kernel ties the child's life to the thread.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).process_group(0);
        die_with_us(command);
        let program = command.get_program().to_owned();
        let child = command.spawn().with_context(|| format!("cannot start {name} ({})", program.display()))?;
        Ok(Self { name: name.into(), child, status: None, log: None })
    }

    /// Starts `command` with its output going to a file.
    pub(crate) fn start_logged(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(file.try_clone()?).stderr(file);
        let mut process = Self::start(name, command)?;
        process.log = Some(log.into());
        Ok(process)
    }

    /// What the child writes, if it was started with a pipe.
    pub(crate) fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Whether it has ended. Does not reap it, so its group's number stays ours until [`stop`](Self::stop).
    fn has_ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(self.pid()), options)?.is_some())
    }

    /// An error with the end of its log if it has ended by itself.
    pub(crate) fn check(&mut self) -> Result<()> {
        if self.status.is_none() && !self.has_ended()? {
            return Ok(());
        }
        let status = self.reap()?;
        let log = self.log.as_deref().map(last_lines).unwrap_or_default();
        bail!("{} ended ({status}){log}", self.name);
    }

    /// Waits until it ends by itself; ends it early when we are interrupted.
    pub(crate) fn wait(mut self) -> Result<ExitStatus> {
        while !self.has_ended()? {
            if interrupted() {
                self.stop();
                return Err(Interrupted.into());
            }
            thread::sleep(POLL);
        }
        self.reap()
    }

    /// Sends it a signal, not its group.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        ensure!(self.status.is_none() && !self.has_ended()?, "{} has ended", self.name);
        Ok(kill_process(self.pid(), signal)?)
    }

    /// Asks it and its group to end, and after a grace makes them.
    pub(crate) fn stop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = kill_process_group(self.pid(), Signal::TERM);
        let deadline = Instant::now() + GRACE;
        while matches!(self.has_ended(), Ok(false)) && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        let _ = self.reap();
    }

    /// Ends whatever is left of its group, then takes its status. In this order, because a group whose leader has been
    /// reaped may give its number to a stranger.
    fn reap(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        let _ = kill_process_group(self.pid(), Signal::KILL);
        Ok(*self.status.insert(self.child.wait()?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "what runs between fork and exec; std offers no other way to set the signal")]
fn die_with_us(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};
    let us = getpid();
    let between_fork_and_exec = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // Had we died before that call, nobody would send the signal.
        if getppid() == Some(us) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
    };
    // SAFETY: only two system calls; nothing allocates and nothing takes a lock.
    unsafe { command.pre_exec(between_fork_and_exec) };
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command) {}

fn last_lines(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n  ");
    format!("; the end of {}:\n  {last}", log.display())
}

/// Shows and runs `command` to its end. All it says goes to our standard error: standard output is for answers.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    command.stdout(std::io::stderr());
    let status = Process::start(&shown, command)?.wait()?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Prints a command as one would type it, without its environment, which may hold secrets.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    let shown = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    eprintln!("$ {shown}");
    shown
}
