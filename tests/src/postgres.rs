//! A private PostgreSQL: made for one process, gone with it, also when that process is killed.
//!
//! Each server is a shell that supervises it. The shell holds the reading end of a pipe; when the pipe closes, because the server is
//! dropped or because this process is no more, it stops the server at once and removes its folder.

#![expect(clippy::disallowed_methods, reason = "waits for other processes, which no virtual clock reaches")]

use campaign_core::{Error, Kind, Result};
use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a server may take to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a server that does not start, because somebody took its port, is tried again.
const TRIES: u32 = 5;
/// The superuser of every private server.
const USER: &str = "postgres";

/// Small, quick to start, and as durable as the defaults.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
wal_sender_timeout = 10s
log_min_messages = warning
";

/// Runs what its arguments say whenever it reads a line, and ends it when there is nothing more to read. What a crash leaves in
/// shared memory goes with the folder.
const SUPERVISOR: &str = r#"
folder=$1; end=$2; shift 2
server=
while read -r order; do
    "$@" >>"$folder/log" 2>&1 </dev/null &
    server=$!
done
if [ -n "$server" ]; then
    kill "-$end" "$server" 2>/dev/null
    wait "$server"
fi
segment=$(sed -n '7s/.* //p' "$folder/data/postmaster.pid" 2>/dev/null)
if [ -n "$segment" ]; then ipcrm -m "$segment" 2>/dev/null; fi
cd /
# A process of a server that crashed may still be writing.
for try in 1 2 3 4 5; do
    rm -rf "$folder" && break
    sleep 1
done
"#;

/// A running server of one's own on a free port of the loopback interface.
#[derive(Debug)]
pub struct Server {
    process: Supervised,
    programs: Programs,
    port: u16,
    password: String,
}

impl Server {
    /// Makes and starts one, with PostgreSQL's default durability. About a second.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when PostgreSQL is not installed (the message says how to) or does not start (its log is in the message).
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`Server::start`], with lines for `postgresql.conf`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(settings: &str) -> Result<Self> {
        Self::make(settings, &[])
    }

    /// As [`Server::start`], and it takes no connection without TLS. Both are PEM.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with_tls(certificate: &str, key: &str) -> Result<Self> {
        // The rules of the cluster itself lie in its folder, and replace those `initdb` made.
        let settings = "ssl = on\nssl_cert_file = '../server.crt'\nssl_key_file = '../server.key'\n";
        let rules = "hostssl all all 127.0.0.1/32 scram-sha-256\n";
        Self::make(settings, &[("server.crt", certificate), ("server.key", key), ("data/pg_hba.conf", rules)])
    }

    fn make(settings: &str, files: &[(&str, &str)]) -> Result<Self> {
        let programs = Programs::find()?;
        let process = Supervised::new("QUIT", |folder| programs.server_in(folder))?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let folder = process.folder.clone();
        process.write("password", &password)?;
        let made = programs
            .run_as(&process.user, "initdb")
            .args(["--username", USER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", "--no-instructions", "-D"])
            .arg(folder.join("data"))
            .arg("--pwfile")
            .arg(folder.join("password"))
            .output();
        succeeded("initdb", made)?;
        for (name, text) in files {
            process.write(name, text)?;
        }
        let mut server = Self { process, programs, port: 0, password };
        server.configure(&format!("{SETTINGS}{settings}"))?;
        server.start_on_a_free_port()?;
        Ok(server)
    }

    /// One server for all tests of this process that keep to a schema of their own; see [`Server::schema`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Server> = OnceLock::new();
        // Never dropped: its supervisor ends it with this process.
        SHARED.get_or_init(|| Server::start().unwrap_or_else(|error| panic!("{error}")))
    }

    /// A schema name that nobody has used yet on a shared server.
    pub fn schema() -> String {
        format!("test_{}", uuid::Uuid::new_v4().simple())
    }

    /// Its port on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.url_by(self.port)
    }

    /// Its URL by another port: that of a proxy or a pooler.
    pub fn url_by(&self, port: u16) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{port}/postgres", self.password)
    }

    /// A URL of several servers with the same password, of which the one that can be written to is meant.
    pub fn url_of_writable(&self, ports: &[u16]) -> String {
        let hosts: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("postgres://{USER}:{}@{}/postgres?target_session_attrs=read-write", self.password, hosts.join(","))
    }

    /// A connection of the superuser.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.expect("the private server answers");
        // Ends with the client.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        client
    }

    /// A hot standby under an application name, made with `pg_basebackup`. It streams from this server by the given port: its own, or that
    /// of a proxy that may fail.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it cannot be made or does not start.
    pub fn standby(&self, name: &str, by: u16) -> Result<Self> {
        let programs = self.programs.clone();
        let process = Supervised::new("QUIT", |folder| programs.server_in(folder))?;
        let data = process.folder.join("data");
        let copied = programs
            .run_as(&process.user, "pg_basebackup")
            .env("PGPASSWORD", &self.password)
            .args(["-h", "127.0.0.1", "-U", USER, "-X", "stream", "-c", "fast", "--no-sync", "-p", &self.port.to_string(), "-D"])
            .arg(&data)
            .output();
        succeeded("pg_basebackup", copied)?;
        let mut standby = Self { process, programs, port: 0, password: self.password.clone() };
        standby.configure(&format!(
            "primary_conninfo = 'host=127.0.0.1 port={by} user={USER} password={} application_name={name}'\n",
            self.password
        ))?;
        standby.process.write("data/standby.signal", "")?;
        standby.start_on_a_free_port()?;
        Ok(standby)
    }

    /// Makes a standby the primary, and returns when it is.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not become one.
    pub fn promote(&self) -> Result<()> {
        let promote = self
            .programs
            .run_as(&self.process.user, "pg_ctl")
            .args(["promote", "--wait", "--silent", "-D"])
            .arg(self.process.folder.join("data"))
            .output();
        succeeded("pg_ctl promote", promote)
    }

    /// Ends the server and all its processes with SIGKILL, as a crash does, and returns when they are gone.
    pub fn crash(&self) {
        let Some(postmaster) = self.status().map(|(pid, _)| pid) else { return };
        // Children that are asked after their parent died have another one; so they are asked for first.
        let children = children(postmaster);
        for pid in std::iter::once(postmaster).chain(children) {
            signal(pid, rustix::process::Signal::KILL);
        }
        let deadline = Instant::now() + PATIENCE;
        while TcpListener::bind(("127.0.0.1", self.port)).is_err() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts a server again that has crashed, on the same port and the same data.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when it does not start.
    pub fn restart(&mut self) -> Result<()> {
        let before = self.status().map(|(pid, _)| pid);
        self.process.order()?;
        self.wait_ready(before)
    }

    fn configure(&self, lines: &str) -> Result<()> {
        let path = self.process.folder.join("data/postgresql.conf");
        let mut file = fs::File::options().append(true).open(&path).map_err(|error| unavailable(path.display(), &error))?;
        file.write_all(lines.as_bytes()).map_err(|error| unavailable(path.display(), &error))
    }

    fn start_on_a_free_port(&mut self) -> Result<()> {
        let mut result = Ok(());
        for _ in 0..TRIES {
            self.port = free_port()?;
            self.configure(&format!("port = {}\n", self.port))?;
            self.process.order()?;
            result = self.wait_ready(None);
            if result.is_ok() {
                return result;
            }
        }
        result
    }

    fn wait_ready(&self, before: Option<i32>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.status() {
                Some((pid, ready)) if Some(pid) != before && ready => return Ok(()),
                _ if Instant::now() >= deadline => break,
                // The server takes its file away when it ends; a log says why.
                None if self.process.log().contains("FATAL") => break,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(Error::new(Kind::Unavailable, format!("the private PostgreSQL does not start; its log says:\n{}", self.process.log())))
    }

    /// The process id, and whether connections are served, by the server's own file.
    fn status(&self) -> Option<(i32, bool)> {
        let file = fs::read_to_string(self.process.folder.join("data/postmaster.pid")).ok()?;
        let mut lines = file.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        Some((pid, lines.nth(6).is_some_and(|status| status.trim() == "ready")))
    }
}

/// A pgbouncer of one's own in front of a server, pooling by transaction.
#[derive(Debug)]
pub struct Pooler {
    _process: Supervised,
    port: u16,
}

impl Pooler {
    /// Starts one in front of this server with so many connections to it.
    ///
    /// # Errors
    /// [`Kind::Unavailable`] when pgbouncer is not installed (the message says how to) or does not start.
    pub fn start(server: &Server, connections: u32) -> Result<Self> {
        let program = in_path("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|path| path.exists()));
        let program = program
            .ok_or_else(|| Error::new(Kind::Unavailable, "pgbouncer was not found; install it (on Debian: apt-get install pgbouncer)"))?;
        let process = Supervised::new("KILL", |folder| vec![program.into(), folder.join("pgbouncer.ini").into()])?;
        let port = free_port()?;
        process.write("users.txt", &format!("\"{USER}\" \"{}\"\n", server.password))?;
        let folder = process.folder.display();
        process.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
                 auth_type = scram-sha-256\nauth_file = {folder}/users.txt\npool_mode = transaction\nmax_client_conn = 500\n\
                 default_pool_size = {connections}\nignore_startup_parameters = extra_float_digits\n",
                server.port
            ),
        )?;
        let mut pooler = Self { _process: process, port };
        pooler._process.order()?;
        let deadline = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() >= deadline {
                let log = pooler._process.log();
                return Err(Error::new(Kind::Unavailable, format!("pgbouncer does not start; its log says:\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(pooler)
    }

    /// Its port on the loopback interface; see [`Server::url_by`].
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Where PostgreSQL's programs are.
#[derive(Debug, Clone)]
struct Programs(PathBuf);

impl Programs {
    fn find() -> Result<Self> {
        // The programs of one version lie together; a link in the path leads there.
        let linked = in_path("initdb").and_then(|path| path.canonicalize().ok()).and_then(|path| path.parent().map(Path::to_path_buf));
        let mut folders: Vec<PathBuf> = ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"]
            .iter()
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
            .map(|entry| entry.path().join("bin"))
            .collect();
        // Newest last by name, first by reversal; versions have had two digits since 2017.
        folders.sort();
        folders.reverse();
        let complete =
            |folder: &PathBuf| ["initdb", "postgres", "pg_basebackup", "pg_ctl"].iter().all(|program| folder.join(program).exists());
        linked.into_iter().chain(folders).find(complete).map(Self).ok_or_else(|| {
            Error::new(
                Kind::Unavailable,
                "PostgreSQL's programs (initdb, postgres, pg_basebackup, pg_ctl) are neither in the PATH nor in /usr/lib/postgresql/*/bin; \
                 install PostgreSQL 13 or newer (on Debian: apt-get install postgresql) and try again",
            )
        })
    }

    fn server_in(&self, folder: &Path) -> Vec<OsString> {
        vec![self.0.join("postgres").into(), "-D".into(), folder.join("data").into()]
    }

    fn run_as(&self, user: &User, program: &str) -> Command {
        let mut command = Command::new(self.0.join(program));
        user.apply(&mut command);
        command
    }
}

/// Who runs the server: PostgreSQL refuses to be root.
#[derive(Debug, Clone, Copy)]
struct User(Option<(u32, u32)>);

impl User {
    fn find() -> Result<Self> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self(None));
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = ["postgres", "nobody"].iter().find_map(|name| {
            let fields: Vec<&str> = passwd.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').collect();
            Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
        });
        match found {
            Some(ids) => Ok(Self(Some(ids))),
            None => {
                Err(Error::new(Kind::Unavailable, "PostgreSQL does not run as root, and neither postgres nor nobody is an account here"))
            }
        }
    }

    /// Under this account, with an environment that holds nothing of ours.
    fn apply(self, command: &mut Command) {
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C").current_dir("/");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
    }
}

/// A folder and a server in it, both gone when the supervisor finds its pipe closed.
#[derive(Debug)]
struct Supervised {
    shell: Child,
    folder: PathBuf,
    user: User,
}

impl Supervised {
    /// `end` is the signal that ends the server at once.
    fn new(end: &str, command: impl FnOnce(&Path) -> Vec<OsString>) -> Result<Self> {
        let user = User::find()?;
        let folder =
            tempfile::Builder::new().prefix("campaign-pg-").tempdir().map_err(|error| unavailable("a temporary folder", &error))?;
        if let Some((uid, gid)) = user.0 {
            chown(folder.path(), Some(uid), Some(gid)).map_err(|error| unavailable(folder.path().display(), &error))?;
        }
        let mut shell = Command::new("/bin/sh");
        user.apply(&mut shell);
        let shell = shell
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(folder.path())
            .arg(end)
            .args(command(folder.path()))
            // A group of its own: what ends this process from a terminal must not end the supervisor before it has tidied up.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| unavailable("/bin/sh", &error))?;
        Ok(Self { shell, folder: folder.keep(), user })
    }

    /// Starts what is supervised.
    fn order(&mut self) -> Result<()> {
        let pipe = self.shell.stdin.as_mut();
        let written = pipe.map_or(Ok(()), |pipe| pipe.write_all(b"start\n"));
        written.map_err(|error| unavailable("the supervising shell", &error))
    }

    /// Writes a file that only the server's account reads.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        // Passwords and keys are among them.
        let only_owner = fs::Permissions::from_mode(0o600);
        fs::write(&path, text)
            .and_then(|()| fs::set_permissions(&path, only_owner))
            .map_err(|error| unavailable(path.display(), &error))?;
        if let Some((uid, gid)) = self.user.0 {
            chown(&path, Some(uid), Some(gid)).map_err(|error| unavailable(path.display(), &error))?;
        }
        Ok(())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A port of the loopback interface that is free at this moment.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(|error| unavailable("a port of 127.0.0.1", &error))?;
    listener.local_addr().map(|address| address.port()).map_err(|error| unavailable("a port of 127.0.0.1", &error))
}

fn in_path(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The processes a process has started, by the fourth field of `/proc/*/stat`; the second one may hold anything but ends with a bracket.
fn children(parent: i32) -> Vec<i32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    pids.filter(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after = stat.rsplit(')').next().unwrap_or_default();
        after.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
    })
    .collect()
}

fn signal(pid: i32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn succeeded(program: &str, output: std::io::Result<Output>) -> Result<()> {
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            Err(Error::new(Kind::Unavailable, format!("{program} failed: {}", said.trim())))
        }
        Err(error) => Err(unavailable(program, &error)),
    }
}

fn unavailable(what: impl std::fmt::Display, error: &std::io::Error) -> Error {
    Error::new(Kind::Unavailable, format!("{what} cannot be used: {error}"))
}
