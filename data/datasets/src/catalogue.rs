//! The datasets that are known by name, and where their files are looked for.

use std::path::{Path, PathBuf};

use crate::{DatasetError, fetch, online_retail};

/// What is known about one public dataset.
#[derive(Debug, Clone, Copy)]
pub struct Descriptor {
    /// As on the command line.
    pub name: &'static str,
    pub title: &'static str,
    pub licence: &'static str,
    /// The page a person opens.
    pub page: &'static str,
    pub citation: &'static str,
    /// What it holds, in one line.
    pub size: &'static str,
    /// `None` where it must be got by hand.
    pub download: Option<Download>,
}

/// How a dataset is fetched and known to be the right one.
#[derive(Debug, Clone, Copy)]
pub struct Download {
    pub url: &'static str,
    /// The archive's name on disk.
    pub archive: &'static str,
    /// Lower-case hexadecimal. `None` where the publisher states none and nobody could pin one: then the digest of the
    /// first download is kept beside it and compared later, and [`check`](Self::check) looks at the content.
    pub sha256: Option<&'static str>,
    /// A longer archive is refused.
    pub max_archive_bytes: u64,
    /// The data file inside the zip archive.
    pub member: &'static str,
    /// A longer data file is refused.
    pub max_member_bytes: u64,
    /// Whether a data file holds what the publisher says, by the published counts.
    pub check: fn(&Path) -> Result<(), DatasetError>,
}

/// Every known dataset.
pub fn catalogue() -> &'static [Descriptor] {
    static CATALOGUE: [Descriptor; 1] = [Descriptor {
        name: online_retail::NAME,
        title: "Online Retail II: invoice lines of a British gift shop, 2009–2011",
        licence: "CC BY 4.0",
        page: "https://archive.ics.uci.edu/dataset/502/online+retail+ii",
        citation: "Chen, Sain, Guo: Data mining for the online retail industry, Journal of Database Marketing & Customer \
                   Strategy Management 19(3), 2012, doi:10.1057/dbm.2012.17",
        size: "1,044,847 lines, 5,852 customers, 4,619 products; archive of about 45 MB",
        download: Some(Download {
            url: "https://archive.ics.uci.edu/static/public/502/online+retail+ii.zip",
            archive: "online-retail-ii.zip",
            sha256: None,
            max_archive_bytes: 200 << 20,
            member: "online_retail_II.xlsx",
            max_member_bytes: 400 << 20,
            check: check_online_retail,
        }),
    }];
    &CATALOGUE
}

/// The dataset of a name.
///
/// # Errors
/// [`DatasetError::Unknown`] lists the known names.
pub fn descriptor(name: &str) -> Result<&'static Descriptor, DatasetError> {
    catalogue().iter().find(|d| d.name == name).ok_or_else(|| DatasetError::Unknown {
        name: name.to_owned(),
        known: catalogue().iter().map(|d| d.name).collect::<Vec<_>>().join(", "),
    })
}

/// Where the files of a dataset are: `explicit` if given, else `<data_dir>/<name>`, else what
/// [`fetch`](crate::fetch::fetch) left in `<dir>/datasets/<name>`, whose checksums are compared first.
///
/// # Errors
/// [`DatasetError::Missing`] if the explicit path does not exist, [`DatasetError::NotFound`] with all places searched,
/// [`DatasetError::Checksum`] if a fetched file has changed.
pub fn find(
    name: &str,
    explicit: Option<&Path>,
    data_dir: Option<&Path>,
    dir: &Path,
) -> Result<PathBuf, DatasetError> {
    let descriptor = descriptor(name)?;
    if let Some(path) = explicit {
        let path = path.to_owned();
        return if path.exists() { Ok(path) } else { Err(DatasetError::Missing { path }) };
    }
    let mut searched = Vec::new();
    if let Some(data_dir) = data_dir {
        let path = data_dir.join(name);
        if online_retail::has_files(&path) {
            return Ok(path);
        }
        searched.push(path);
    }
    let path = fetch::folder(descriptor, dir);
    if online_retail::has_files(&path) {
        fetch::verify_checksums(&path)?;
        return Ok(path);
    }
    searched.push(path);
    let hint = format!(
        "run `waggle data fetch {name}`, or download it from {} into one of them, or use the simulated market: --data sim",
        descriptor.page
    );
    Err(DatasetError::NotFound { name: name.to_owned(), searched, hint })
}

fn check_online_retail(path: &Path) -> Result<(), DatasetError> {
    let dataset = online_retail::read(path, &|_, _| {})?;
    online_retail::check_published_counts(&dataset.report)
        .map_err(|detail| DatasetError::Content { path: path.to_owned(), detail })
}
