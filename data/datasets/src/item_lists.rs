//! The form in which papers publish their splits: a line for each user, `user item item …`, plain or gzipped.

use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Read as _, Seek as _},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use crate::DatasetError;

/// Ids are rows of matrices: a single enormous one would ask for as much memory.
pub const MAX_ID: u32 = (1 << 26) - 1;
/// A longer line is no list of items.
const MAX_LINE_BYTES: u64 = 64 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What one file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ItemLists {
    /// By user; items in the order of the file, none of them twice.
    pub of_users: BTreeMap<u32, Vec<u32>>,
    /// Items that a user's list named again, and that were left out.
    pub n_repeated: usize,
}

/// How a line begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemListsForm {
    /// `user item item …`: lines of the same user are joined.
    Named,
    /// `n item item …`: `n` items of the user whose number is that of the line, from 0.
    Counted,
}

impl ItemLists {
    /// Reads a file of [named](ItemListsForm::Named) lists. Empty lines are passed over, and a user without items is kept.
    ///
    /// # Errors
    /// [`DatasetError::Line`] names the first line that is not a list of ids up to [`MAX_ID`], [`DatasetError::NoPairs`] says
    /// that there is nothing in the file; or it cannot be read.
    pub fn read(path: &Path) -> Result<Self, DatasetError> {
        Self::read_as(ItemListsForm::Named, path)
    }

    /// [`read`](Self::read), of a form.
    ///
    /// # Errors
    /// As [`read`](Self::read); where lists are counted, for a line that is empty or holds more or fewer items than it says,
    /// too.
    pub fn read_as(form: ItemListsForm, path: &Path) -> Result<Self, DatasetError> {
        let mut lines = open(path)?;
        let mut lists = Self::default();
        // Of the last user only: of all it would be more than the lists.
        let (mut seen, mut seen_of) = (HashSet::new(), None);
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let n_read = (&mut lines).take(MAX_LINE_BYTES + 1).read_until(b'\n', &mut line);
            if n_read.map_err(DatasetError::io(path))? == 0 {
                break;
            }
            let broken = |detail: String| DatasetError::Line { path: path.to_owned(), number, detail };
            if line.len() as u64 > MAX_LINE_BYTES {
                return Err(broken(format!("it is longer than {MAX_LINE_BYTES} bytes")));
            }
            let text = std::str::from_utf8(&line).map_err(|_| broken("it is not text".to_owned()))?;
            let mut ids = text.split_ascii_whitespace().map(|token| id(token).map_err(broken));
            let first = ids.next().transpose()?;
            let Some(user) = user_of(form, number, first, text).map_err(broken)? else { continue };
            let items = lists.of_users.entry(user).or_default();
            if seen_of.replace(user) != Some(user) {
                seen.clear();
                seen.extend(items.iter().copied());
            }
            for item in ids {
                let item = item?;
                if seen.insert(item) {
                    items.push(item);
                } else {
                    lists.n_repeated += 1;
                }
            }
        }
        lists.of_users.values_mut().for_each(Vec::shrink_to_fit);
        if lists.n_pairs() == 0 {
            return Err(DatasetError::NoPairs { path: path.to_owned() });
        }
        Ok(lists)
    }

    pub fn n_pairs(&self) -> usize {
        self.of_users.values().map(Vec::len).sum()
    }

    /// One more than the greatest user.
    pub fn n_users(&self) -> usize {
        self.of_users.last_key_value().map_or(0, |(&user, _)| user as usize + 1)
    }

    /// One more than the greatest item.
    pub fn n_items(&self) -> usize {
        self.of_users.values().flatten().max().map_or(0, |&item| item as usize + 1)
    }
}

/// Unpacked if it begins as gzip does, whatever it is called.
fn open(path: &Path) -> Result<Box<dyn BufRead>, DatasetError> {
    let mut file = File::open(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => DatasetError::Missing { path: path.to_owned() },
        _ => DatasetError::io(path)(e),
    })?;
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start).map_err(DatasetError::io(path))?;
    file.rewind().map_err(DatasetError::io(path))?;
    Ok(if start == GZIP {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    })
}

/// Whose line it is; `None` for one to be passed over.
fn user_of(form: ItemListsForm, number: u64, first: Option<u32>, line: &str) -> Result<Option<u32>, String> {
    match (form, first) {
        (ItemListsForm::Named, user) => Ok(user),
        (ItemListsForm::Counted, None) => Err("it is empty".to_owned()),
        (ItemListsForm::Counted, Some(n)) => {
            let n_there = line.split_ascii_whitespace().count() - 1;
            if n as usize != n_there {
                return Err(format!("it says {n} items and holds {n_there}"));
            }
            let user = u32::try_from(number - 1).ok().filter(|user| *user <= MAX_ID);
            user.map(Some).ok_or_else(|| format!("there are no users after {MAX_ID}"))
        }
    }
}

fn id(token: &str) -> Result<u32, String> {
    let id: u32 = token.parse().map_err(|_| {
        let shown: String = token.chars().take(40).collect();
        format!("\"{shown}\" is not an id, which is a whole number from 0 to {MAX_ID}")
    })?;
    if id > MAX_ID { Err(format!("{id} is greater than {MAX_ID}, the greatest id")) } else { Ok(id) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read(content: &[u8]) -> Result<ItemLists, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lists.txt");
        std::fs::write(&path, content).unwrap();
        ItemLists::read(&path).map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn plain_and_gzipped_files_say_the_same() {
        let text = b"0 3 1\n\n2\r\n0 7 3\n5\t1";
        let lists = read(text).unwrap();
        assert_eq!(lists.of_users, BTreeMap::from([(0, vec![3, 1, 7]), (2, vec![]), (5, vec![1])]));
        assert_eq!((lists.n_repeated, lists.n_pairs(), lists.n_users(), lists.n_items()), (1, 4, 6, 8));
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        assert_eq!(read(&packed.finish().unwrap()).unwrap(), lists);
    }

    #[test]
    fn counted_lists_are_of_the_users_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.dat");
        let read = |content: &[u8]| {
            std::fs::write(&path, content).unwrap();
            ItemLists::read_as(ItemListsForm::Counted, &path).map_err(|e| e.to_string())
        };
        let lists = read(b"2 7 3\n0\n1 0\n").unwrap();
        assert_eq!(lists.of_users, BTreeMap::from([(0, vec![7, 3]), (1, vec![]), (2, vec![0])]));
        assert!(read(b"1 3\n2 7\n").unwrap_err().ends_with("line 2: it says 2 items and holds 1"));
        assert!(read(b"1 3\n\n1 7\n").unwrap_err().ends_with("line 2: it is empty"));
    }

    #[test]
    fn what_is_not_a_list_is_refused_by_line() {
        for (content, expected) in [
            (
                &b"0 1\n1 x"[..],
                "FILE, line 2: \"x\" is not an id, which is a whole number from 0 to 67108863",
            ),
            (b"-1 2", "FILE, line 1: \"-1\" is not an id, which is a whole number from 0 to 67108863"),
            (b"0 1.5", "FILE, line 1: \"1.5\" is not an id, which is a whole number from 0 to 67108863"),
            (b"0 67108864", "FILE, line 1: 67108864 is greater than 67108863, the greatest id"),
            (b"0 \xff", "FILE, line 1: it is not text"),
            (b"", "FILE holds no pair of a user and an item"),
            (b"3\n4\n", "FILE holds no pair of a user and an item"),
        ] {
            assert_eq!(read(content).unwrap_err(), expected);
        }
        assert!(read(&[0x1f, 0x8b, 8, 0]).unwrap_err().starts_with("FILE cannot be read: "));
        assert!(read(b"0 67108863").is_ok());
        let missing = ItemLists::read(Path::new("/nowhere/lists.txt")).unwrap_err();
        assert_eq!(missing.to_string(), "/nowhere/lists.txt does not exist");
    }
}
