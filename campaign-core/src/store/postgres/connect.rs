//! The URL, TLS and the pool.

use super::PostgresOptions;
use super::fault::Fault;
use crate::error::{Error, Kind, Result};
use deadpool_postgres::{Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod, Runtime};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where to connect, and what the URL says beyond that.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
}

/// Keys of the URL that are ours, and values of libpq that the client does not know by name.
struct Extras {
    root_certificate: Option<PathBuf>,
}

/// Reads a URL; what it says about the store goes into `options`.
pub(super) fn target(url: &str, options: &mut PostgresOptions) -> Result<Target> {
    let (rest, extras) = extras(url, options)?;
    // The parser's own message may repeat a part of the URL, and with it a password.
    let mut config = Config::from_str(&rest).map_err(|_| {
        invalid("the URL of PostgreSQL is not understood; it has the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?KEY=VALUE")
    })?;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(options.timeout.min(Duration::from_secs(10)));
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(options.timeout);
    }
    config.keepalives_idle(Duration::from_secs(15)).keepalives_interval(Duration::from_secs(5)).keepalives_retries(3);
    if config.get_application_name().is_none() {
        config.application_name("campaign");
    }
    let tls = tls(&config, extras.root_certificate)?;
    Ok(Target { config, tls })
}

/// Takes out of the URL what the client would refuse.
fn extras(url: &str, options: &mut PostgresOptions) -> Result<(String, Extras)> {
    let mut extras = Extras { root_certificate: None };
    let Some((base, query)) = url.split_once('?') else { return Ok((url.to_owned(), extras)) };
    let mut kept = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or((pair, "")) {
            ("schema", value) => options.schema = value.to_owned(),
            ("pool_size", value) => {
                options.pool_size = value.parse().map_err(|_| invalid("`pool_size` in the URL of PostgreSQL is not a whole number"))?;
            }
            ("sslrootcert", value) => extras.root_certificate = Some(PathBuf::from(decoded(value)?)),
            // Certificates are always checked, host name included, which is what these two ask for.
            ("sslmode", "verify-full" | "verify-ca") => kept.push("sslmode=require".to_owned()),
            _ => kept.push(pair.to_owned()),
        }
    }
    let rest = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((rest, extras))
}

/// Undoes percent-encoding.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            bytes.push(
                hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())
                    .ok_or_else(|| invalid("a `%` in the URL is not followed by two hex digits"))?,
            );
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).map_err(|_| invalid("a part of the URL is not UTF-8"))
}

fn invalid(message: &str) -> Error {
    Error::new(Kind::Invalid, message)
}

/// Trusts what the machine trusts, or only the given authority. A server without TLS needs neither.
fn tls(config: &Config, root_certificate: Option<PathBuf>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = root_certificate {
        let unreadable =
            || Error::new(Kind::Invalid, "the file of `sslrootcert` cannot be read as PEM certificates").with("file", path.display());
        for certificate in CertificateDer::pem_file_iter(&path).map_err(|_| unreadable())? {
            roots.add(certificate.map_err(|_| unreadable())?).map_err(|_| unreadable())?;
        }
    } else if config.get_ssl_mode() != SslMode::Disable {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    // Named here, because a program may link several TLS back ends and none is the default then.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(Kind::Internal, "TLS could not be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Connections, opened when they are needed.
pub(super) fn pool(target: &Target, options: &PostgresOptions) -> Result<Pool> {
    // Whatever is wrong with a connection shows when a transaction begins, see `tx.rs`; asking first would cost a round trip each time.
    let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(target.config.clone(), target.tls.clone(), manager))
        .max_size(options.pool_size.max(2))
        // The server's process of a connection is quick once it has seen the tables, so few of them do the work and the rest is for rushes.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(options.timeout))
        .create_timeout(Some(options.timeout))
        .recycle_timeout(Some(options.timeout))
        .build()
        .map_err(|_| Fault::from(Error::new(Kind::Internal, "the pool of connections could not be built")).into_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_more_than_the_client_knows() {
        let mut options = PostgresOptions::default();
        let url = "postgres://me:secret@one,two:6000/db?schema=other&target_session_attrs=read-write&sslmode=verify-full&pool_size=3";
        let target = target(url, &mut options).unwrap();
        assert_eq!((options.schema.as_str(), options.pool_size), ("other", 3));
        assert_eq!(target.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(target.config.get_hosts().len(), 2);
        assert_eq!(target.config.get_target_session_attrs(), tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    }

    #[test]
    fn a_bad_url_is_said_without_repeating_it() {
        for url in [
            "postgres://me:secret@host:port/db",
            "postgres://me:secret@h/db?pool_size=x",
            "postgres://me:secret@h/db?nonsense=1",
            "postgres://me:secret@h/db?sslrootcert=%zz",
            "postgres://me:secret@h/db?sslrootcert=/no/such/file",
        ] {
            let error = target(url, &mut PostgresOptions::default()).err().unwrap();
            assert_eq!(error.kind(), Kind::Invalid, "{url}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
        }
        assert_eq!(decoded("/a%20b/%C3%A4").unwrap(), "/a b/ä");
        assert!(decoded("%4").is_err());
    }
}
