//! An S3-compatible store for tests, and a proxy before it that makes a bad network of a good one.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
};

use crate::support::python::python;

/// moto, as Python's package index has it.
const PACKAGE: &str = "moto[server,s3]==5.2.5";

/// A running store. It ends with the test: its input does.
pub(crate) struct Store {
    process: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

impl Store {
    /// Starts one; `None`, and why on standard error, where there is none to be had. Where tests are what counts, that is a failure.
    pub(crate) fn start() -> Option<Self> {
        let python = match python("moto", "moto.server, boto3", PACKAGE) {
            Ok(python) => python,
            Err(reason) => {
                assert!(std::env::var_os("CI").is_none(), "no S3-compatible store to test with: {reason}");
                eprintln!("skipped: no S3-compatible store to test with: {reason}");
                return None;
            }
        };
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/s3.py");
        let mut command = Command::new(python);
        command.arg(driver).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let (asks, answers) = (process.stdin.take().unwrap(), BufReader::new(process.stdout.take().unwrap()));
        let mut store = Self { process, asks, answers, port: 0 };
        store.port = store.line().trim().parse().unwrap();
        Some(store)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line
    }

    fn ask(&mut self, ask: &str) -> serde_json::Value {
        writeln!(self.asks, "{ask}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Makes a bucket.
    pub(crate) fn make(&mut self, bucket: &str) {
        assert_eq!(self.ask(&format!("make {bucket}")), 200);
    }

    /// Every object of a bucket: its name, and its content in hexadecimal digits.
    pub(crate) fn objects(&mut self, bucket: &str) -> BTreeMap<String, String> {
        serde_json::from_value(self.ask(&format!("dump {bucket}"))).unwrap()
    }

    /// Takes an object away.
    pub(crate) fn delete(&mut self, bucket: &str, key: &str) {
        assert_eq!(self.ask(&format!("delete {bucket} {key}")), 204);
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended already
        let _ = self.process.wait();
    }
}

/// What befalls a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The store is told nothing, and the answer is 500.
    Refused,
    /// The connection is cut when half of the body has been read: an object that was not sent whole is none.
    CutWithin,
    /// The store does it, and the connection is cut before it answers.
    AnswerLost,
    /// Half of the answer comes.
    AnswerCut,
}

/// A proxy before a store. It ends with the test.
pub(crate) struct Network {
    pub(crate) port: u16,
    faults: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Network {
    /// One that lets `choose` say what befalls each request, by its number and its method.
    pub(crate) fn before(store: &Store, choose: impl Fn(u64, &str) -> Option<Fault> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = SocketAddr::from(([127, 0, 0, 1], store.port));
        let (faults, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, over, requests) = (Arc::clone(&faults), Arc::clone(&ended), Arc::new(AtomicU64::new(0)));
        let choose = Arc::new(choose);
        thread::spawn(move || {
            for client in listener.incoming().take_while(|_| !over.load(SeqCst)).flatten() {
                let (choose, counted, requests) = (Arc::clone(&choose), Arc::clone(&counted), Arc::clone(&requests));
                thread::spawn(move || {
                    let fault = |method: &str| {
                        let fault = choose(requests.fetch_add(1, SeqCst), method);
                        counted.fetch_add(u64::from(fault.is_some()), SeqCst);
                        fault
                    };
                    let _ = one_request(client, upstream, fault); // whoever is killed breaks off
                });
            }
        });
        Self { port, faults, ended }
    }

    /// How many requests something befell.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(SeqCst)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ended.store(true, SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port)); // so that it sees it
    }
}

fn one_request(
    client: TcpStream,
    upstream: SocketAddr,
    fault: impl FnOnce(&str) -> Option<Fault>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let is_end = line == "\r\n";
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            if name.eq_ignore_ascii_case("connection") {
                continue;
            }
        }
        head += if is_end { "connection: close\r\n\r\n" } else { &line };
        if is_end {
            break;
        }
    }
    let fault = fault(head.split(' ').next().unwrap_or_default());
    let mut body = vec![0; if fault == Some(Fault::CutWithin) { length / 2 } else { length }];
    reader.read_exact(&mut body)?;
    let mut client = client;
    match fault {
        Some(Fault::CutWithin) => return Ok(()),
        Some(Fault::Refused) => {
            return client
                .write_all(b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        _ => {}
    }
    let mut store = TcpStream::connect(upstream)?;
    store.write_all(head.as_bytes())?;
    store.write_all(&body)?;
    let mut answer = Vec::new();
    store.read_to_end(&mut answer)?;
    match fault {
        Some(Fault::AnswerLost) => Ok(()),
        Some(Fault::AnswerCut) => client.write_all(&answer[..answer.len() / 2]),
        _ => client.write_all(&answer),
    }
}
