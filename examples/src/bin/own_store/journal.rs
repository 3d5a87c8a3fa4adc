//! The file: one line for each transaction, on the disk before its answer goes out.

use crate::state::{Change, State};
use campaign_core::{Error, Kind, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use uuid::Uuid;

pub(crate) struct Journal {
    file: File,
    /// Where the last whole line ends.
    end: u64,
    /// A failed write could not be taken back; nothing may follow it.
    broken: bool,
    /// Locked as long as the store is open, so that two processes never write to one journal.
    _lock: File,
}

impl Journal {
    /// Reads what is there, and goes on with a journal that holds only the records as they are now.
    pub(crate) fn open(folder: &Path) -> Result<(Self, State)> {
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|error| Error::new(Kind::Unavailable, "another process has the store open").with_source(error))?;
        let (path, fresh) = (folder.join("journal"), folder.join("journal.new"));
        let mut state = State::default();
        if path.exists() {
            read(&path, &mut state)?;
        } else {
            state.apply(Change::Store(Uuid::new_v4()));
        }
        // The rename puts the new journal in place of the old one whole; until then the old one is untouched.
        let line = line(&state.records())?;
        let written = File::create(&fresh).and_then(|mut file| file.write_all(&line).and_then(|()| file.sync_all()));
        written.and_then(|()| fs::rename(&fresh, &path)).and_then(|()| File::open(folder)?.sync_all()).map_err(failed)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok((Self { file, end: line.len() as u64, broken: false, _lock: lock }, state))
    }

    /// Makes one transaction durable.
    pub(crate) fn append(&mut self, changes: &[Change]) -> Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        if self.broken {
            return Err(Error::new(Kind::Unavailable, "the journal could not be written; open the store anew"));
        }
        let line = line(changes)?;
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // The next transaction must not follow half a line.
            self.broken = self.file.set_len(self.end).and_then(|()| self.file.sync_all()).is_err();
            return Err(failed(error));
        }
        self.end += line.len() as u64;
        Ok(())
    }
}

fn line(changes: &[Change]) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(changes).map_err(|error| Error::new(Kind::Internal, "a record has no JSON").with_source(error))?;
    line.push(b'\n');
    Ok(line)
}

fn read(path: &Path, state: &mut State) -> Result<()> {
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        file.read_until(b'\n', &mut line).map_err(failed)?;
        // The last line is cut short when the process died while writing it: nobody was told that it happened, so it has not.
        if line.last() != Some(&b'\n') {
            break;
        }
        let changes: Vec<Change> = serde_json::from_slice(&line).map_err(|error| {
            // The cause may quote the line, and with it a phone number; its place is enough.
            Error::new(Kind::Corrupt, "the journal is damaged").with("line", number).with("column", error.column())
        })?;
        for change in changes {
            state.apply(change);
        }
    }
    Ok(())
}

fn failed(error: io::Error) -> Error {
    let kind = if error.kind() == io::ErrorKind::StorageFull { Kind::Full } else { Kind::Unavailable };
    Error::new(kind, "the journal cannot be read or written").with_source(error)
}
