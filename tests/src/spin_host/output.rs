//! What guests write to their standard output and error.

use std::collections::VecDeque;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::lock;

/// Bytes kept; beyond it the oldest are forgotten.
const OUTPUT_BYTES_MAX: usize = 1 << 20;

/// One buffer for the output of all guests of a world, in the order it was written.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<Buffer>>);

#[derive(Default)]
struct Buffer {
    bytes: VecDeque<u8>,
    inherited: bool,
}

impl Output {
    /// From now on also writes everything to the standard error of this process.
    pub(super) fn inherit(&self) {
        lock(&self.0).inherited = true;
    }

    pub(super) fn text(&self) -> String {
        let bytes: Vec<u8> = lock(&self.0).bytes.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub(super) fn append(&self, bytes: &[u8]) {
        let mut buffer = lock(&self.0);
        buffer.bytes.extend(bytes);
        let excess = buffer.bytes.len().saturating_sub(OUTPUT_BYTES_MAX);
        buffer.bytes.drain(..excess);
        if buffer.inherited {
            // A closed standard error must not fail the guest.
            let _ = std::io::stderr().write_all(bytes);
        }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // Written through at once: the default goes through a task, and a trap would lose the guest's last words.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl OutputStream for Output {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(OUTPUT_BYTES_MAX)
    }
}

impl AsyncWrite for Output {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.append(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_output_is_kept() {
        let output = Output::default();
        output.append(&vec![b'a'; OUTPUT_BYTES_MAX]);
        output.append(b"panicked");
        let text = output.text();
        assert_eq!(text.len(), OUTPUT_BYTES_MAX);
        assert!(text.ends_with("apanicked"));
    }
}
