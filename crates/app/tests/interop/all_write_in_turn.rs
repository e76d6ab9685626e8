//! Four programs write to one repository and prune it in turn; nothing anybody kept is lost.

use std::path::Path;

use lifeboat_testkit::lighten_key;

use super::site::{PASSWORD, Site, Stock, Taken};

const NAMES: [&str; 3] = ["restic", "restic-new", "rustic"];

/// Snapshots of the disk by lifeboat, and of a folder by the others.
struct Shared {
    site: Site,
    stocks: Vec<Stock>,
    disks: Vec<Taken>,
    /// Id of a snapshot and the content of its one file.
    folders: Vec<(String, Vec<u8>)>,
}

impl Shared {
    fn write_all(&mut self) {
        let taken = match self.disks.is_empty() {
            true => self.site.backup(None),
            false => self.site.change_and_backup(),
        };
        self.disks.push(taken);
        let folder = self.site.path("folder");
        std::fs::create_dir_all(&folder).unwrap();
        for number in 0..self.stocks.len() {
            // A part of the disk, so that programs share what they can.
            let mut bytes = self.site.entropy.bytes(700_000);
            bytes.extend(&self.disks.last().unwrap().bytes[..2 << 20]);
            std::fs::write(folder.join("file"), &bytes).unwrap();
            let before = self.site.files("snapshots");
            let stock = &self.stocks[number];
            self.site
                .stock(stock, &["backup", folder.to_str().unwrap()]);
            let mut new = self.site.files("snapshots");
            new.retain(|path| !before.contains(path));
            assert_eq!(new.len(), 1);
            self.folders.push((name(&new[0]), bytes));
        }
    }

    /// Everybody checks everything and gives every file back.
    fn assert_whole(&self, when: &str) {
        self.assert_whole_to(&self.stocks, when);
    }

    /// Lifeboat and `stocks` check everything and give every file back.
    fn assert_whole_to(&self, stocks: &[Stock], when: &str) {
        self.site.is_read_by_lifeboat(&self.disks, when);
        let path = self.site.path("folder/file");
        let path = path.to_str().unwrap();
        // The oldest share most with what was removed.
        let oldest = &self.folders[..3];
        for (id, bytes) in oldest {
            assert!(
                self.site.lifeboat(&["dump", id, path]) == *bytes,
                "{when}: {id}"
            );
        }
        for stock in stocks {
            self.site.is_read_by(stock, &self.disks, when);
            for (id, bytes) in oldest {
                let dumped = if stock.is_rustic() {
                    self.site.stock(stock, &["dump", &format!("{id}:{path}")])
                } else {
                    self.site.stock(stock, &["dump", id, path])
                };
                assert!(dumped == *bytes, "{when}: {id}");
            }
        }
    }

    /// Takes the oldest snapshot of a disk and of a folder away.
    fn forget(&mut self, remove: impl Fn(&Site, &str)) {
        let (disk, folder) = (self.disks.remove(0), self.folders.remove(0));
        remove(&self.site, &disk.id);
        remove(&self.site, &folder.0);
    }
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn and_each_prunes_once() {
    let stocks: Vec<Stock> = NAMES.into_iter().filter_map(Stock::find).collect();
    if stocks.len() < NAMES.len() {
        return;
    }
    let mut shared = Shared {
        site: Site::new(9),
        stocks,
        disks: Vec::new(),
        folders: Vec::new(),
    };
    lighten_key(&shared.site.repository, PASSWORD);
    for _ in 0..4 {
        shared.write_all();
    }
    shared.assert_whole("written");
    for name in NAMES {
        let stock = Stock::find(name).unwrap();
        shared.forget(|site, id| drop(site.stock(&stock, &["forget", id])));
        shared.site.stock(&stock, &["prune", "--max-unused", "0%"]);
        shared.assert_whole_to(&[stock], &format!("pruned by {name}"));
        shared.write_all();
        // Marks of ours, for the next one to deal with; marks of rustic's, for us.
        shared.forget(|site, id| drop(site.lifeboat(&["forget", id])));
        shared.site.lifeboat(&["prune", "--max-unused", "0%"]);
        shared.assert_whole(&format!("marked by lifeboat after {name}"));
    }
    shared
        .site
        .lifeboat(&["prune", "--instant", "--max-unused", "0%"]);
    shared.assert_whole("pruned by lifeboat");
}
