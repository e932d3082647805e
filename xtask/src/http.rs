//! The little HTTP a chore needs: is it up yet?

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::process::{Interrupted, interrupted};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
const POLL: Duration = Duration::from_millis(100);

/// A loopback address.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// `port` if nothing listens there; any free one for 0.
pub(crate) fn claim_port(port: u16, option: &str) -> Result<u16> {
    let listener = TcpListener::bind(loopback(port)).with_context(|| {
        format!(
            "port {port} cannot be had; end what listens there, or choose another with {option} (0 takes a free one)"
        )
    })?;
    Ok(listener.local_addr()?.port())
}

/// The status and the rest of the answer, headers included.
fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, CALL_TIMEOUT)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    stream.set_write_timeout(Some(CALL_TIMEOUT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    let answer = String::from_utf8_lossy(&bytes).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).context("not an HTTP answer")?;
    Ok((status, answer))
}

/// Waits until somebody listens. `alive` may end the wait early, with the reason why it is in vain.
pub(crate) fn wait_for_listener(
    address: SocketAddr,
    patience: Duration,
    mut alive: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    while let Err(error) = TcpStream::connect_timeout(&address, CALL_TIMEOUT) {
        alive()?;
        if interrupted() {
            return Err(Interrupted.into());
        }
        if Instant::now() > deadline {
            return Err(error).with_context(|| format!("nobody listens on {address} after {} s", patience.as_secs()));
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Asks `path` until `good` says so of a 200's text. `alive` may end the wait early, with the reason why it is in vain.
pub(crate) fn wait_for(
    address: SocketAddr,
    path: &str,
    patience: Duration,
    good: impl Fn(&str) -> bool,
    mut alive: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        alive()?;
        let last = match get(address, path) {
            Ok((200, answer)) if good(&answer) => return Ok(()),
            Ok((status, answer)) => {
                format!("it answered {status}: {}", answer.split("\r\n\r\n").nth(1).unwrap_or_default().trim())
            }
            Err(error) => error.to_string(),
        };
        if interrupted() {
            return Err(Interrupted.into());
        }
        if Instant::now() > deadline {
            bail!("http://{address}{path} is not well after {} s: {last}", patience.as_secs());
        }
        thread::sleep(POLL);
    }
}
