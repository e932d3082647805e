//! The keys file: the environment of an origin and its edges, as far as it is secret.
//!
//! ```text
//! SLOTKEEPER_KEYS=2:HEX,1:HEX
//! SLOTKEEPER_KEY_ROLES=2:minting:2026-11-22T06:00:00Z,1:former:2026-11-22T06:00:00Z
//! SLOTKEEPER_PSEUDONYM_KEY=HEX
//! ```
//!
//! `slotkeeper keys new` prints the first and last of these lines; a rotation keeps every line it does not know. A shell
//! can source it, and a container take it as its environment.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use slotkeeper_core::{
    keys::{KeyId, Keyring, KeyringError},
    time::UnixMillis,
};

use super::{Key, Keys, Role};

const KEYS: &str = "SLOTKEEPER_KEYS";
const ROLES: &str = "SLOTKEEPER_KEY_ROLES";
/// A keys file holds a handful of lines.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a keys file cannot be used. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("keys file {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No line gives the keyring.
    #[error("keys file {0}: no line begins with {KEYS}=; `slotkeeper keys new` prints one")]
    NoKeyring(PathBuf),
    /// The keyring cannot be read.
    #[error("keys file {path}: {KEYS}: {source}")]
    Keyring {
        /// Which.
        path: PathBuf,
        /// Why.
        source: KeyringError,
    },
    /// The roles do not fit the keyring.
    #[error(
        "keys file {path}: {ROLES} must say of each key of {KEYS}, in any order, ID:ROLE:SINCE, with a ROLE of minting \
         (the first key, and no other), next, former or retiring, and SINCE such as 2026-11-22T06:00:00Z"
    )]
    Roles {
        /// Which.
        path: PathBuf,
    },
    /// Another command works on it.
    #[error("keys file {0}: another command is changing it")]
    InUse(PathBuf),
}

/// A keys file that is held: no other command changes it while this value lives.
#[derive(Debug)]
pub struct KeysFile {
    path: PathBuf,
    lines: Vec<String>,
    /// What it says.
    pub keys: Keys,
    _lock: File,
}

impl KeysFile {
    /// Takes hold of a keys file and reads it.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let io = |source| FileError::Io { path: path.into(), source };
        fs::metadata(path).map_err(io)?; // before a lock is left beside a file that is not there
        // Not of the file itself, which every change replaces.
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(beside(path, "lock"));
        let lock = lock.map_err(io)?;
        lock.try_lock().map_err(|_| FileError::InUse(path.into()))?;
        let bytes = fs::metadata(path).map_err(io)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(io(io::Error::other(format!("{bytes} bytes are no keys file"))));
        }
        let text = fs::read_to_string(path).map_err(io)?;
        let keys = read(path, &text)?;
        Ok(Self { path: path.into(), lines: text.lines().map(Into::into).collect(), keys, _lock: lock })
    }

    /// Whether others than its owner may read it.
    pub fn is_exposed(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
    }

    /// Writes the keys as they are now: all of the new file or all of the old one, readable by its owner only.
    pub fn save(&self) -> Result<(), FileError> {
        let new = beside(&self.path, "new");
        let saved = || -> io::Result<()> {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {} // what a killed command has left is of no use
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all() // the new name survives a power cut too
        };
        saved().map_err(|source| FileError::Io { path: self.path.clone(), source })
    }

    fn text(&self) -> String {
        let others = self.lines.iter().filter(|line| !matches!(name_of(line), Some(KEYS | ROLES)));
        let mut text = format!("{KEYS}={}\n{ROLES}={}\n", self.keys.keyring(), roles(&self.keys));
        for line in others {
            text.push_str(line);
            text.push('\n');
        }
        text
    }
}

/// The path of what belongs to a keys file.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn name_of(line: &str) -> Option<&str> {
    let (name, _) = line.trim().trim_start_matches("export ").split_once('=')?;
    Some(name.trim())
}

fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| name_of(line) == Some(name))?;
    let (_, value) = line.split_once('=')?;
    Some(value.trim().trim_matches(['"', '\'']))
}

fn read(path: &Path, text: &str) -> Result<Keys, FileError> {
    let keyring = value_of(text, KEYS).ok_or_else(|| FileError::NoKeyring(path.into()))?;
    Keyring::parse(keyring).map_err(|source| FileError::Keyring { path: path.into(), source })?;
    let secrets: Vec<(KeyId, &str)> = keyring
        .split(',')
        .filter_map(|entry| entry.trim().split_once(':'))
        .filter_map(|(id, secret)| Some((id.parse().ok()?, secret)))
        .collect(); // all of them: parse() has read them
    with_roles(&secrets, value_of(text, ROLES)).ok_or_else(|| FileError::Roles { path: path.into() })
}

/// The keys with their roles. Only a single key may go without: it mints.
fn with_roles(secrets: &[(KeyId, &str)], roles: Option<&str>) -> Option<Keys> {
    let key = |(id, secret): &(KeyId, &str), role, since| Key { id: *id, secret: (*secret).into(), role, since };
    let Some(roles) = roles.filter(|roles| !roles.is_empty()) else {
        let [only] = secrets else { return None };
        return Some(Keys(vec![key(only, Role::Minting, None)]));
    };
    let roles: Vec<(KeyId, Role, UnixMillis)> = roles.split(',').map(role).collect::<Option<_>>()?;
    let keys = secrets.iter().enumerate().map(|(place, secret)| {
        let (_, role, since) = *roles.iter().find(|(id, _, _)| *id == secret.0)?;
        ((role == Role::Minting) == (place == 0)).then(|| key(secret, role, Some(since)))
    });
    let keys: Vec<Key> = keys.collect::<Option<_>>()?;
    (keys.len() == roles.len()).then_some(Keys(keys))
}

fn role(entry: &str) -> Option<(KeyId, Role, UnixMillis)> {
    let mut parts = entry.trim().splitn(3, ':');
    let id = parts.next()?.parse().ok()?;
    let role = parts.next().and_then(|name| Role::ALL.into_iter().find(|role| role.as_str() == name))?;
    let since: jiff::Timestamp = parts.next()?.parse().ok()?;
    Some((id, role, UnixMillis(u64::try_from(since.as_millisecond()).ok()?)))
}

fn roles(keys: &Keys) -> String {
    let role = |key: &Key| {
        let since = i64::try_from(key.since.unwrap_or_default().0).unwrap_or(i64::MAX);
        let since = jiff::Timestamp::from_millisecond(since).unwrap_or(jiff::Timestamp::MAX);
        format!("{}:{}:{since}", key.id, key.role.as_str())
    };
    keys.all().iter().map(role).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Step;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.env");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn secret(n: u8) -> String {
        format!("{n:02x}").repeat(32)
    }

    #[test]
    fn a_saved_file_reads_the_same_is_the_owners_only_and_keeps_what_it_does_not_know() {
        let text =
            format!("# ours\nexport SLOTKEEPER_KEYS=\"1:{}\"\nSLOTKEEPER_PSEUDONYM_KEY=ab\nOTHER=1\n", secret(1));
        let (folder, path) = written(&text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let mut file = KeysFile::open(&path).unwrap();
        assert!(file.is_exposed());
        file.keys.take(Step::Add, secret(2), NOW).unwrap();
        fs::write(folder.path().join("keys.env.new"), "left by a crash").unwrap();
        file.save().unwrap();
        assert!(!file.is_exposed());
        let mut expected = file.keys.clone();
        drop(file);
        expected.0[0].since = Some(UnixMillis(0)); // nobody had noted since when
        assert_eq!(KeysFile::open(&path).unwrap().keys, expected);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("# ours\n") && text.contains("SLOTKEEPER_PSEUDONYM_KEY=ab\nOTHER=1\n"), "{text}");
        assert_eq!(text.matches("SLOTKEEPER_KEYS=").count(), 1);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "the file and its lock: {names:?}");
    }

    #[test]
    fn two_commands_never_change_one_file_at_once() {
        let (_folder, path) = written(&format!("SLOTKEEPER_KEYS=1:{}\n", secret(1)));
        let held = KeysFile::open(&path).unwrap();
        assert!(matches!(KeysFile::open(&path), Err(FileError::InUse(_))));
        drop(held);
        assert!(KeysFile::open(&path).is_ok());
    }

    #[test]
    fn roles_that_do_not_fit_the_keyring_are_refused_without_showing_it() {
        let (one, two) = (secret(1), secret(2));
        let since = "2026-11-22T06:00:00Z";
        let cases = [
            String::new(),
            format!("SLOTKEEPER_KEY_ROLES=2:minting:{since}"),
            format!("SLOTKEEPER_KEY_ROLES=1:minting:{since},2:former:{since}"),
            format!("SLOTKEEPER_KEY_ROLES=2:minting:{since},1:minting:{since}"),
            format!("SLOTKEEPER_KEY_ROLES=2:minting:{since},1:old:{since}"),
            format!("SLOTKEEPER_KEY_ROLES=2:minting:{since},1:former:yesterday"),
            format!("SLOTKEEPER_KEY_ROLES=2:minting:{since},1:former:{since},3:next:{since}"),
        ];
        for roles in cases {
            let (_folder, path) = written(&format!("SLOTKEEPER_KEYS=2:{two},1:{one}\n{roles}\n"));
            let error = KeysFile::open(&path).unwrap_err();
            assert!(matches!(error, FileError::Roles { .. }), "{roles}: {error}");
            assert!(!error.to_string().contains(&one));
        }
        let (_folder, path) = written("SLOTKEEPER_KEYS=1:zz\n");
        assert!(matches!(KeysFile::open(&path), Err(FileError::Keyring { .. })));
        let (_folder, path) = written("nothing\n");
        assert!(matches!(KeysFile::open(&path), Err(FileError::NoKeyring(_))));
    }
}
