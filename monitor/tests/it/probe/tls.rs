//! TLS: a goodbye before the FIN is part of the end, and a certificate that is not believed is named.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{Certificate, CertificateParams, DnType, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{ANSWER, QUIET, Server, json, run};

/// A file that is gone with the test.
struct Authority(PathBuf);

impl Drop for Authority {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

impl Authority {
    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

/// A server that has this certificate, and asks its clients for none.
pub(crate) fn server_with(cert: &Certificate, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    Arc::new(config)
}

/// A server with a certificate of its own for these names, and the file to believe it by. It says goodbye or not.
fn server(names: &[&str], goodbye: bool) -> (Server, Authority) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut subject = CertificateParams::new(names.clone()).unwrap();
    // Not the issuer of another one.
    subject.distinguished_name.push(DnType::CommonName, names.concat());
    let cert = subject.self_signed(&key).unwrap();
    let config = server_with(&cert, &key);
    let server = Server::start(move |stream| {
        let mut tls = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
        let mut buffer = [0; 4_096];
        // Who does not believe the certificate goes away.
        tls.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
        tls.write_all(ANSWER).unwrap();
        tls.flush().unwrap();
        tls.sock.set_read_timeout(Some(QUIET)).unwrap();
        assert!(tls.read(&mut buffer).is_err());
        if goodbye {
            tls.conn.send_close_notify();
            tls.flush().unwrap();
        }
        None
    });
    let file = std::env::temp_dir().join(format!(
        "reset-monitor-probe-{}-{goodbye}-{}",
        std::process::id(),
        server.address.port()
    ));
    std::fs::write(&file, cert.pem()).unwrap();
    (server, Authority(file))
}

#[test]
fn the_goodbye_of_tls_is_the_end_and_so_is_a_fin_without_one() {
    for (goodbye, end) in [(true, "close_notify_fin"), (false, "fin")] {
        let (server, authority) = server(&["localhost", "127.0.0.1"], goodbye);
        let url = format!("https://{}/", server.address);
        let view = json(&[&url, "-n", "2", "--ca", authority.path()]);
        let connections = view["connections"].as_array().unwrap();
        assert!(connections.iter().all(|one| one["result"] == end), "{end}: {view}");
        // A request after that is sent all the same.
        let view = json(&[&url, "-n", "1", "--idle", "1.5s", "--insecure"]);
        let one = &view["connections"][0];
        assert_eq!((&one["result"], &one["ended_by"]), (&"reset".into(), &end.into()), "{view}");
    }
}

#[test]
fn tls_to_a_plain_target_is_asked_for() {
    let (server, authority) = server(&["localhost", "127.0.0.1"], true);
    let address = server.address.to_string();
    let view =
        json(&[&address, "--tls", "--ca", authority.path(), "--send", r"GET / HTTP/1.1\r\n\r\n", "-n", "1"]);
    assert_eq!(view["connections"][0]["result"], "close_notify_fin");
}

#[test]
fn a_certificate_that_is_not_believed_is_named_with_what_to_do() {
    let complaint = |words: &[&str]| {
        let (code, stdout, stderr) = run(words);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        stderr
    };
    let (server, authority) = server(&["other.example"], true);
    let url = format!("https://{}/", server.address);
    let line = complaint(&[&url, "--ca", authority.path()]);
    assert!(line.contains("its certificate is not for 127.0.0.1") && line.contains("--insecure"), "{line}");
    let (_, stranger) = self::server(&["127.0.0.1"], true);
    let line = complaint(&[&url, "--ca", stranger.path()]);
    assert!(line.contains("nobody known here has signed") && line.contains("--ca FILE"), "{line}");
    let plain = Server::start(|mut stream| {
        stream.read(&mut [0; 4_096]).ok().filter(|bytes| *bytes > 0)?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok()?;
        None
    });
    let line = complaint(&[&format!("https://{}/", plain.address), "--insecure"]);
    assert!(line.contains("no TLS"), "{line}");
}
