//! nginx: keep-alive timeouts, request limits, and what it resets itself.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Experiment;
use super::bench::{Bench, Truth};
use super::program::{Client, GET, Program};
use crate::daemon::Scratch;
use crate::ledger::Role;
use crate::oracle;
use crate::packets::Flags;
use crate::scripted::Scripted;
use crate::sockets::{Place, lose, send};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("nginx closes a kept connection by its timeout, and a late request loses the race", None, |api| {
        Bench::play(api, race)
    }),
    ("nginx closes a kept connection by its timeout, and a request crosses its FIN", None, |api| {
        Bench::play(api, crossing)
    }),
    ("nginx closes a kept TLS connection by its timeout, and a late request loses the race", None, |api| {
        Bench::play(api, race_over_tls)
    }),
    ("nginx closes after a number of requests, and one more is late data", None, |api| {
        Bench::play(api, one_too_many)
    }),
    (
        "nginx lingers after a number of requests, and one more is late data, however quiet it was",
        None,
        |api| Bench::play(api, pipelined),
    ),
    ("nginx resets a client that does not read, by SO_LINGER 0", None, |api| {
        Bench::play(api, reset_timedout)
    }),
];

/// Its settings beside those that keep it to its directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings<'a> {
    /// Beside the server.
    pub(super) http: &'a str,
    /// After the address in `listen`.
    pub(super) listen: &'a str,
    /// Of the server.
    pub(super) server: &'a str,
    /// It is a master with a worker.
    pub(super) with_worker: bool,
}

/// nginx with its files.
#[derive(Debug)]
pub(super) struct Nginx {
    pub(super) program: Program,
    /// Removed with it.
    _files: Scratch,
}

/// So many bytes are in the file `/large`.
pub(super) const LARGE: usize = 16 << 20;

impl Nginx {
    /// Starts it in the calling thread's namespace; it listens when this returns.
    pub(super) fn start(place: &Place, settings: Settings<'_>) -> Result<Self> {
        let files = Scratch::create()?;
        let (directory, file) = (files.file("")?, files.file("nginx.conf")?);
        let Settings { http, listen, server, with_worker } = settings;
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
            .concat();
        fs::File::create(files.file("large")?)?.set_len(LARGE.try_into()?)?;
        let master = if with_worker { "on" } else { "off" };
        let target = place.target();
        fs::write(
            &file,
            format!(
                "daemon off; master_process {master}; worker_processes 1; user root; pid {directory}/pid;\n\
                 error_log stderr notice;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off;\n{temporary}{http}\n\
                 server {{ listen {target} {listen}; root {directory};\n{server}\n\
                 location = / {{ return 200 \"response\"; }} }} }}\n"
            ),
        )?;
        let arguments = ["-e", "stderr", "-p", &directory, "-c", &file];
        let mut program = if with_worker {
            Program::start_family("nginx", &arguments)?
        } else {
            Program::start("nginx", &arguments)?
        };
        program.until_listening(place.port)?;
        Ok(Self { program, _files: files })
    }

    /// The same with TLS, by a certificate that it signed itself.
    pub(super) fn start_with_tls(place: &Place, server: &str) -> Result<Self> {
        let files = Scratch::create()?;
        let certificate = certificate(&files)?;
        let server = format!("{server} ssl_certificate {certificate}; ssl_certificate_key {certificate};");
        Self::start(place, Settings { listen: "ssl", server: &server, ..Settings::default() })
    }

    /// Its one worker.
    pub(super) fn worker(&self) -> Result<u32> {
        wait::until("a worker", || {
            Ok(self.program.children()?.first().copied().ok_or_else(|| self.program.said()))
        })
    }
}

fn race(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 2s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::served(&bench.place)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}

fn crossing(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 2s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::served(&bench.place)?;
    // On its way when the client asks.
    lose(&client.socket, Flags::FIN)?;
    client.until_closed_unheard()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}

fn race_over_tls(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start_with_tls(&bench.place, "keepalive_timeout 2s;")?;
    let mut client = client_of_tls(&bench.place)?;
    let port: u16 = client.ask("get")?.word(0)?.parse()?;
    client.ask("until_closed")?;
    oracle::until_closed(bench.place.port, port)?;
    oracle::until_acknowledged(bench.place.port, port)?;
    client.ask("late")?;
    bench.reset(port, Role::Server, "idle_reuse");
    Ok(())
}

fn one_too_many(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 75s; keepalive_requests 2;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::served(&bench.place)?;
    client.get()?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "late_data");
    Ok(())
}

fn pipelined(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 75s; keepalive_requests 2; lingering_timeout 1500ms;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::served(&bench.place)?;
    send(&client.socket, &[GET, GET].concat())?;
    ensure!(client.answer()? == 200, "the second request was not answered");
    // It has read the third, answers nothing, sends its FIN, and waits before it closes.
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "late_data");
    Ok(())
}

fn reset_timedout(bench: &mut Bench<'_>) -> Result<()> {
    let server = "send_timeout 1s; reset_timedout_connection on;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    client.socket.set_recv_buffer_size(4_096)?;
    send(&client.socket, b"GET /large HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    client.until_reset_at_a_closed_window()?;
    bench.state(aborted_at_a_closed_window(bench, client.port));
    let received = bench.truth(client.port, Role::Client, "reset_received", "linger_abort");
    bench.state([received.or_perhaps(&["peer_abort", "idle_abort"])]);
    Ok(())
}

/// What the server's end tells. Old kernels number the reset beyond a closed window, so its client asks back, and what answers that is
/// what it receives: on one host even before the first one is told of.
pub(super) fn aborted_at_a_closed_window(bench: &Bench<'_>, client: u16) -> [Truth; 2] {
    [
        bench.truth(client, Role::Server, "reset_sent", "linger_abort").repeatedly(),
        bench.truth(client, Role::Server, "stray_sent", "linger_abort").or_perhaps(&["other"]).at_most(1),
    ]
}

/// A client that notices the end of its connection no sooner than it is told to.
pub(super) fn client_of_tls(place: &Place) -> Result<Scripted> {
    let target = place.target();
    let arguments = [target.ip().to_string(), target.port().to_string(), place.source().to_string()];
    Scripted::start(include_str!("tls_client.py"), &arguments.each_ref().map(String::as_str))
}

/// A key and a certificate for it, in one file.
fn certificate(files: &Scratch) -> Result<String> {
    let (file, config) = (files.file("certificate.pem")?, files.file("openssl.cnf")?);
    // The system's own may not be there.
    fs::write(&config, "[req]\ndistinguished_name = name\n[name]\n")?;
    let output = Command::new("openssl")
        .args(["req", "-config", &config, "-x509", "-subj", "/CN=lab", "-days", "2", "-noenc"])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", &file, "-out", &file])
        .output()
        .context("cannot run openssl; `cargo xtask test` provides it")?;
    ensure!(output.status.success(), "`openssl` failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(file)
}
