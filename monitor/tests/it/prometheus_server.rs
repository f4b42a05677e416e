//! A real Prometheus on loopback, which scrapes what a test serves. It ends with the test.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::promtool::fetched;

/// A running one, with native histograms and exemplars.
pub(crate) struct Prometheus {
    address: SocketAddr,
    program: Child,
    files: PathBuf,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.program.kill());
        drop(self.program.wait());
        drop(fs::remove_dir_all(&self.files));
    }
}

impl Prometheus {
    /// One that scrapes each of these as a job, every second.
    pub(crate) async fn start(jobs: &[(&str, SocketAddr)]) -> Self {
        let files = env::temp_dir().join(format!("reset-monitor-prometheus-{}", std::process::id()));
        fs::create_dir_all(&files).unwrap();
        let job = |(name, address): &(&str, SocketAddr)| {
            format!("- {{job_name: {name}, static_configs: [{{targets: ['{address}']}}]}}")
        };
        let jobs = jobs.iter().map(job).collect::<Vec<_>>().join("\n");
        let (config, log) = (files.join("prometheus.yml"), files.join("log"));
        let global = "global: {scrape_interval: 1s, scrape_timeout: 1s}";
        fs::write(&config, format!("{global}\nscrape_configs:\n{jobs}")).unwrap();
        let program =
            [Some("prometheus".into()), fetched("prometheus")].into_iter().flatten().find_map(|program| {
                let mut command = Command::new(program);
                command.arg(format!("--config.file={}", config.display()));
                command.arg(format!("--storage.tsdb.path={}", files.join("data").display()));
                command.args(["--web.listen-address=127.0.0.1:0", "--log.format=json"]);
                command.arg("--enable-feature=native-histograms,exemplar-storage");
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
                command.spawn().ok()
            });
        let program = program.expect("prometheus is not here; `cargo xtask setup` fetches it");
        let mut prometheus = Self { address: SocketAddr::from(([127, 0, 0, 1], 0)), program, files };
        // Any free port, which it tells.
        while prometheus.address.port() == 0 {
            let said = fs::read_to_string(&log).unwrap();
            let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| line["msg"] == "Listening on") {
                prometheus.address = line["address"].as_str().unwrap().parse().unwrap();
            }
            assert_eq!(prometheus.program.try_wait().unwrap(), None, "it ended:\n{said}");
            tokio::task::yield_now().await;
        }
        prometheus
    }

    /// The samples of an expression, now.
    pub(crate) async fn query(&self, expression: &str) -> Vec<Value> {
        self.ask("/api/v1/query", expression).await["result"].as_array().unwrap().clone()
    }

    /// Exemplars of the last hour.
    pub(crate) async fn exemplars(&self, expression: &str) -> Vec<Value> {
        self.ask("/api/v1/query_exemplars", expression).await.as_array().unwrap().clone()
    }

    /// The only sample of an expression, as soon as it is as wanted.
    pub(crate) async fn until(&self, expression: &str, is_wanted: impl Fn(f64) -> bool) -> f64 {
        loop {
            if let [sample] = self.query(expression).await.as_slice() {
                let value = sample["value"][1].as_str().unwrap().parse().unwrap();
                if is_wanted(value) {
                    return value;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn ask(&self, path: &str, expression: &str) -> Value {
        loop {
            let answer = self.get(&format!("{path}?query={}", encoded(expression))).await;
            // Until it has read what is on its disk, it is not ready.
            if let Some(body) = answer.strip_prefix("HTTP/1.0 200 OK\r\n") {
                let json: Value = serde_json::from_str(body.split_once("\r\n\r\n").unwrap().1).unwrap();
                return json["data"].clone();
            }
            assert!(answer.starts_with("HTTP/1.0 503 "), "{expression}: {answer}");
        }
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat()
}
