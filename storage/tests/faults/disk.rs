//! A disk that fails when it is told to, and that knows what a power cut would leave of it.
//!
//! What is durable is worked out from the operations alone: a file's content up to its last sync,
//! a directory's entries up to its last sync. What was not synced may be there, partly there, or not.
//! After a failed sync the kernel counts the pages as clean: what was to be written is there or not,
//! and no later sync changes that. The catalog is `SQLite`'s: a power cut leaves it and its write-ahead
//! log as they are at that moment, which is what its own syncs promise of committed transactions.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headrope_storage::disk::{self, Fate, Faults, Op};
use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The operation fails.
    Error,
    /// This operation and the next two fail.
    Burst,
    /// The operation takes effect and fails.
    Late,
    /// A write is cut short.
    Short,
    /// The process is gone before the operation.
    Kill,
    /// The power is gone during the operation.
    PowerCut,
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(at, bytes) => {
                let at = *at as usize;
                content.resize(content.len().max(at + bytes.len()), 0);
                content[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Self::SetLen(len) => content.resize(*len as usize, 0),
        }
    }

    /// Applies what may have reached the disk: all, nothing, or for a write some sectors.
    fn apply_perhaps(&self, content: &mut Vec<u8>, dice: &mut ChaCha8Rng) {
        match (self, dice.random_range(0..3)) {
            (_, 0) => {}
            (Self::Write(at, bytes), 1) => {
                for (sector, part) in bytes.chunks(512).enumerate() {
                    if dice.random() {
                        let part = Self::Write(at + 512 * sector as u64, part.to_vec());
                        part.apply(content);
                    }
                }
            }
            _ => self.apply(content),
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

type Names = BTreeMap<PathBuf, usize>;

#[derive(Debug, Clone)]
enum Entry {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Entry {
    fn dir(&self) -> &Path {
        let (Self::Link(path, _) | Self::Unlink(path) | Self::Rename(path, _)) = self;
        path.parent().unwrap()
    }

    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    dice: ChaCha8Rng,
    /// After so many more operations, this.
    armed: Option<(usize, Fault)>,
    /// Operations of a burst that failed.
    burst: usize,
    /// No operation succeeds any more.
    dead: bool,
    /// Nothing more can be written.
    full: bool,
    /// What the file system says is free.
    free: Option<u64>,
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<Entry>,
    /// Where a power cut leaves what is left.
    image: PathBuf,
    /// What went wrong, for reports.
    fired: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct FaultDisk(Mutex<Inner>);

impl FaultDisk {
    /// Puts itself under a directory; the files in it count as durable.
    pub(crate) fn under(root: &Path, image: PathBuf, seed: u64) -> Arc<Self> {
        let mut inner = Inner {
            root: root.to_owned(),
            dice: ChaCha8Rng::seed_from_u64(seed),
            armed: None,
            burst: 0,
            dead: false,
            full: false,
            free: None,
            inodes: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            pending_names: Vec::new(),
            image,
            fired: Vec::new(),
        };
        for dir in ["log", "segments"] {
            let Ok(files) = std::fs::read_dir(root.join(dir)) else { continue };
            for file in files {
                let path = file.unwrap().path();
                let durable = std::fs::read(&path).unwrap();
                inner.names.insert(path, inner.inodes.len());
                inner.inodes.push(Inode { durable, pending: Vec::new() });
            }
        }
        inner.durable_names = inner.names.clone();
        let disk = Arc::new(Self(Mutex::new(inner)));
        disk::inject(root, &(Arc::clone(&disk) as Arc<dyn Faults>));
        disk
    }

    /// After `skip` more operations, this goes wrong.
    pub(crate) fn arm(&self, skip: usize, fault: Fault) {
        let mut inner = self.0.lock();
        inner.armed = Some((skip, fault));
        inner.burst = 0;
    }

    /// Nothing goes wrong any more, unless it did already.
    pub(crate) fn disarm(&self) {
        self.0.lock().armed = None;
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    pub(crate) fn set_free(&self, free: u64) {
        self.0.lock().free = Some(free);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    pub(crate) fn revive(&self) {
        self.0.lock().dead = false;
    }

    pub(crate) fn fired(&self) -> Vec<String> {
        self.0.lock().fired.clone()
    }

    /// The power goes now; what is left is in the image.
    pub(crate) fn cut_power(&self) {
        self.0.lock().cut_power();
    }
}

impl Inner {
    fn inode(&mut self, path: &Path) -> Option<&mut Inode> {
        let at = *self.names.get(path)?;
        self.inodes.get_mut(at)
    }

    fn enter(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.pending_names.push(entry);
    }

    fn note(&mut self, op: &Op<'_>) {
        match op {
            Op::Create(path) => match self.inode(path) {
                Some(inode) => inode.pending.push(Change::SetLen(0)),
                None => {
                    self.inodes.push(Inode::default());
                    self.enter(Entry::Link((*path).to_owned(), self.inodes.len() - 1));
                }
            },
            Op::Write(path, at, bytes) => {
                if let Some(inode) = self.inode(path) {
                    inode.pending.push(Change::Write(*at, bytes.to_vec()));
                }
            }
            Op::SetLen(path, len) => {
                if let Some(inode) = self.inode(path) {
                    inode.pending.push(Change::SetLen(*len));
                }
            }
            Op::Sync(path) => {
                if let Some(inode) = self.inode(path) {
                    for change in std::mem::take(&mut inode.pending) {
                        change.apply(&mut inode.durable);
                    }
                }
            }
            Op::Rename(from, to) => self.enter(Entry::Rename((*from).to_owned(), (*to).to_owned())),
            Op::Remove(path) => self.enter(Entry::Unlink((*path).to_owned())),
            Op::SyncDir(dir) => {
                let entries = std::mem::take(&mut self.pending_names);
                for entry in entries {
                    if entry.dir() == *dir {
                        entry.apply(&mut self.durable_names);
                    } else {
                        self.pending_names.push(entry);
                    }
                }
            }
            Op::Read(_) => {}
        }
    }

    /// A sync failed: what was to be written is there or not, for good.
    fn drop_pages(&mut self, path: &Path) {
        let mut dice = self.dice.clone();
        if let Some(inode) = self.inode(path) {
            for change in std::mem::take(&mut inode.pending) {
                change.apply_perhaps(&mut inode.durable, &mut dice);
            }
        }
        self.dice = dice;
    }

    fn cut_power(&mut self) {
        self.dead = true;
        std::fs::create_dir_all(self.image.join("log")).unwrap();
        std::fs::create_dir_all(self.image.join("segments")).unwrap();
        for name in ["catalog.sqlite", "catalog.sqlite-wal"] {
            let from = self.root.join(name);
            if from.exists() {
                std::fs::copy(from, self.image.join(name)).unwrap();
            }
        }
        let mut names = self.durable_names.clone();
        // A journal keeps the order; without one, any change of a directory may be lost.
        let in_order = self.dice.random_range(0..=self.pending_names.len());
        let ordered: bool = self.dice.random();
        for (at, entry) in self.pending_names.iter().enumerate() {
            if if ordered { at < in_order } else { self.dice.random() } {
                entry.apply(&mut names);
            }
        }
        for (path, inode) in names {
            let inode = &self.inodes[inode];
            let mut content = inode.durable.clone();
            for change in &inode.pending {
                change.apply_perhaps(&mut content, &mut self.dice);
            }
            let path = self.image.join(path.strip_prefix(&self.root).unwrap());
            std::fs::write(path, content).unwrap();
        }
    }
}

const EIO: i32 = 5;

impl Faults for FaultDisk {
    fn fate(&self, op: &Op<'_>) -> Fate {
        let mut inner = self.0.lock();
        if inner.dead {
            return Fate::Failed(Error::other("the machine is gone"));
        }
        let writes = matches!(op, Op::Create(_) | Op::Write(..));
        if inner.full && writes {
            let part = inner.dice.random_range(0..40);
            return Fate::Short(part, ErrorKind::StorageFull.into());
        }
        let Some((skip, fault)) = inner.armed else { return Fate::Done };
        if skip > 0 {
            inner.armed = Some((skip - 1, fault));
            return Fate::Done;
        }
        inner.armed = None;
        inner.fired.push(format!("{fault:?} at {}", short(op)));
        match fault {
            Fault::Error | Fault::Burst => {
                if let Op::Sync(path) = op {
                    inner.drop_pages(path);
                }
                if fault == Fault::Burst && inner.burst < 2 {
                    inner.burst += 1;
                    inner.armed = Some((0, fault));
                }
                Fate::Failed(Error::from_raw_os_error(EIO))
            }
            Fault::Late => Fate::Late(Error::from_raw_os_error(EIO)),
            Fault::Short => {
                let len = if let Op::Write(_, _, bytes) = op { bytes.len() } else { 0 };
                let part = inner.dice.random_range(0..=len);
                Fate::Short(part, ErrorKind::StorageFull.into())
            }
            Fault::Kill => {
                inner.dead = true;
                Fate::Failed(Error::other("the process is gone"))
            }
            Fault::PowerCut => {
                if !matches!(op, Op::Sync(_) | Op::SyncDir(_)) {
                    inner.note(op);
                }
                inner.cut_power();
                Fate::Failed(Error::other("the power is gone"))
            }
        }
    }

    fn took_effect(&self, op: &Op<'_>) {
        self.0.lock().note(op);
    }

    fn free_bytes(&self) -> Option<u64> {
        self.0.lock().free
    }
}

fn short(op: &Op<'_>) -> String {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    match op {
        Op::Create(path) => format!("create {}", name(path)),
        Op::Write(path, at, bytes) => format!("write {} {at}+{}", name(path), bytes.len()),
        Op::SetLen(path, len) => format!("cut {} {len}", name(path)),
        Op::Sync(path) => format!("sync {}", name(path)),
        Op::Rename(_, to) => format!("rename {}", name(to)),
        Op::Remove(path) => format!("remove {}", name(path)),
        Op::SyncDir(dir) => format!("sync dir {}", name(dir)),
        Op::Read(path) => format!("read {}", name(path)),
    }
}
