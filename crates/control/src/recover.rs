//! A machine comes back from its snapshot: as it was, or under another name, at another place.
//!
//! Plan, show, apply: the plan is a value that says every step; applying does exactly that. What
//! fails on the way is undone, and the machine that made room is put back.

use std::collections::BTreeMap;
use std::time::Duration;

use lifeboat_engine::restore::{apply, plan};
use lifeboat_engine::{Existing, PlacedContent, RestoreTarget, compare, place};
use lifeboat_format::{DiskManifest, MachineManifest};
use lifeboat_model::{ByteCount, CancelToken, DiskName, ErrorKind, VmName};
use lifeboat_platform::{
    Build, BuildDisk, BuildPlan, BuildRequest, Builder, DescribingFile, Finding, Identity,
    LocalDisk, NetworkMapping, Occupied, Placement, Platform, VmId,
};
use lifeboat_repository::{BlobReader, Index, Repository, Snapshot};

use crate::error::Doing;
use crate::hook::{Hook, HookContext, HookRun, judge, run_and_judge};
use crate::inside::WayInside;
use crate::job::END_RECOVERY;
use crate::parent::{node_at, read_file, read_manifest};
use crate::steps::{Step, Watch};
use crate::{Error, Result};

/// What is wanted of a recovery.
#[derive(Clone, Debug)]
pub struct RecoverySettings {
    /// The new machine's name; nothing stands for its old one.
    pub name: Option<VmName>,
    /// Only these disks; none stands for all.
    pub disks: Vec<DiskName>,
    /// Where disks go that have no place of their own.
    pub placement: Placement,
    /// Places of single disks.
    pub placements: BTreeMap<DiskName, Placement>,
    /// Networks by another name.
    pub networks: Vec<NetworkMapping>,
    /// UUID and MAC addresses.
    pub identity: Identity,
    /// What happens to a machine of the same name.
    pub occupied: Occupied,
    /// Starts it at the end.
    pub is_started: bool,
    /// Reads every disk back and compares it.
    pub is_verified: bool,
    /// Before anything, inside the restored disks, and after everything.
    pub hooks: Vec<Hook>,
}

/// Where a machine comes from.
#[derive(Clone, Copy)]
pub struct RecoverySource<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its index.
    pub index: &'a Index,
    /// The snapshot.
    pub snapshot: &'a Snapshot,
}

/// What a recovery will do; nothing has been done yet.
pub struct RecoveryPlan {
    /// What the platform will do.
    pub build: BuildPlan,
    /// What the snapshot says.
    pub manifest: MachineManifest,
    disks: Vec<(DiskName, PlacedContent)>,
}

/// What a recovery has done.
#[derive(Debug)]
pub struct Recovered {
    /// The new machine.
    pub vm: VmId,
    /// Data and zeros written to disks.
    pub written: u64,
    /// How long the disks took.
    pub duration: Duration,
    /// Whether every disk was read back and found equal.
    pub is_verified: bool,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Takes back what a recovery of the same machine left that was killed.
///
/// Errors: `Busy` if it lives; what could not be taken back; a snapshot that is no machine's.
pub fn clear_recovery(
    builder: &dyn Builder,
    source: RecoverySource<'_>,
    settings: &RecoverySettings,
) -> Result<Vec<Finding>> {
    let mut reader = BlobReader::new(source.repository, source.index);
    let name = name_of(&read_manifest(&mut reader, source.snapshot)?, settings)?;
    let cleared = builder.clear(&name);
    cleared.doing(|| format!("cannot clear what an earlier recovery of {name} left"))
}

/// What the new machine is called.
fn name_of(manifest: &MachineManifest, settings: &RecoverySettings) -> Result<VmName> {
    let old = || manifest.machine.name.parse();
    let name = settings.name.clone().map_or_else(old, Ok);
    name.map_err(|error| wrong_name(&error))
}

/// Says what bringing a machine back would do.
///
/// Errors: what the platform's side refuses; a snapshot that is no machine's or lacks data.
pub fn plan_recovery(
    builder: &dyn Builder,
    source: RecoverySource<'_>,
    settings: &RecoverySettings,
) -> Result<RecoveryPlan> {
    let mut reader = BlobReader::new(source.repository, source.index);
    let manifest = read_manifest(&mut reader, source.snapshot)?;
    let name = name_of(&manifest, settings)?;
    let mut disks = Vec::new();
    let mut wanted = Vec::new();
    for disk in chosen(&manifest, settings)? {
        let disk_name: DiskName = disk.name.parse().map_err(|error| wrong_name(&error))?;
        let node = node_at(&mut reader, &source.snapshot.file.tree, &disk.path)?;
        let content = place(source.index, &node);
        let content = content.doing(|| format!("cannot plan the disk {disk_name}"))?;
        let own = settings.placements.get(&disk_name);
        wanted.push(BuildDisk {
            name: disk_name.clone(),
            size: content.size,
            format: None,
            placement: own.unwrap_or(&settings.placement).clone(),
        });
        disks.push((disk_name, content));
    }
    let files = read_files(&mut reader, source, &manifest)?;
    let request = BuildRequest {
        name: name.clone(),
        files,
        disks: wanted,
        networks: settings.networks.clone(),
        identity: settings.identity,
        occupied: settings.occupied,
    };
    let build = builder.plan(&request);
    Ok(RecoveryPlan {
        build: build.doing(|| format!("cannot plan the machine {name}"))?,
        manifest,
        disks,
    })
}

/// What describes the machine of a snapshot.
pub(crate) fn describing_files(source: RecoverySource<'_>) -> Result<Vec<DescribingFile>> {
    let mut reader = BlobReader::new(source.repository, source.index);
    let manifest = read_manifest(&mut reader, source.snapshot)?;
    read_files(&mut reader, source, &manifest)
}

fn read_files(
    reader: &mut BlobReader<'_>,
    source: RecoverySource<'_>,
    manifest: &MachineManifest,
) -> Result<Vec<DescribingFile>> {
    let files = manifest.files.iter().map(|name| {
        let content = read_file(reader, &source.snapshot.file.tree, name)?;
        Ok(DescribingFile {
            name: name.clone(),
            content,
        })
    });
    files.collect()
}

fn wrong_name(error: &lifeboat_model::ParseError) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!("the snapshot's manifest: {error}"),
    )
}

fn chosen<'a>(
    manifest: &'a MachineManifest,
    settings: &RecoverySettings,
) -> Result<Vec<&'a DiskManifest>> {
    let has = |name: &DiskName| manifest.disks.iter().any(|disk| disk.name == name.as_str());
    let named = settings.disks.iter().chain(settings.placements.keys());
    if let Some(missing) = named.into_iter().find(|name| !has(name)) {
        let names: Vec<&str> = manifest
            .disks
            .iter()
            .map(|disk| disk.name.as_str())
            .collect();
        let message = format!(
            "the snapshot has no disk {missing}: it has {}",
            names.join(", ")
        );
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let is_wanted = |disk: &&DiskManifest| {
        settings.disks.is_empty() || settings.disks.iter().any(|name| name.as_str() == disk.name)
    };
    Ok(manifest.disks.iter().filter(is_wanted).collect())
}

/// Does what the plan says; `hooks` keeps what ran, also when the recovery failed.
///
/// Errors: whatever failed, after it was undone; what could not be undone is told with it.
pub fn apply_recovery(
    platform: &dyn Platform,
    builder: &dyn Builder,
    source: RecoverySource<'_>,
    plan: &RecoveryPlan,
    settings: &RecoverySettings,
    (way, hooks, watch): (&dyn WayInside, &mut Vec<HookRun>, &dyn Watch),
) -> Result<Recovered> {
    let mut recovered = Recovered {
        vm: VmId::new(""),
        written: 0,
        duration: Duration::ZERO,
        is_verified: settings.is_verified,
        findings: plan.build.findings.clone(),
    };
    let name = &plan.build.name;
    if settings.is_started && !builder.makes_machines() {
        let message = format!(
            "{} makes disks only: start {name} where it is defined",
            platform.place()
        );
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let mut work = Work {
        platform,
        source,
        plan,
        settings,
        way,
        hooks,
        watch,
    };
    work.hooks("pre_recovery", &mut recovered)?;
    watch.step(name, Step::Build);
    let build = builder.begin(&plan.build);
    let mut build = build.doing(|| format!("cannot begin the machine {name}"))?;
    match work.build(&mut *build, &mut recovered) {
        Ok(()) => {
            watch.step(name, Step::Keep);
            let kept = build.keep();
            let kept = kept.doing(|| format!("{name} is back, but"))?;
            recovered.findings.extend(kept);
            Ok(recovered)
        }
        Err(error) => Err(undone(build, error)),
    }
}

/// The failure, with what could not be put back as it was.
fn undone(build: Box<dyn Build>, error: Error) -> Error {
    match build.undo() {
        Ok(_) => error,
        Err(left) => {
            let kind = error.kind();
            let text = format!(
                "{error}; and undoing it failed too: {}",
                crate::chain(&left)
            );
            Error::new(kind, text).with_source(error)
        }
    }
}

struct Work<'a> {
    platform: &'a dyn Platform,
    source: RecoverySource<'a>,
    plan: &'a RecoveryPlan,
    settings: &'a RecoverySettings,
    way: &'a dyn WayInside,
    hooks: &'a mut Vec<HookRun>,
    watch: &'a dyn Watch,
}

impl<'a> Work<'a> {
    fn build(&mut self, build: &mut dyn Build, recovered: &mut Recovered) -> Result<()> {
        let name = &self.plan.build.name;
        let local = match self.hooks_at(END_RECOVERY).next() {
            Some(_) => self.local_disks(build)?,
            None => Vec::new(),
        };
        for (disk, content) in &self.plan.disks {
            self.disk(build, disk, content, recovered)?;
        }
        if !local.is_empty() {
            self.inside(&local, recovered)?;
        }
        self.step(Step::Define);
        let vm = build.define();
        recovered.vm = vm.doing(|| format!("cannot define the machine {name}"))?;
        if self.settings.is_started {
            self.step(Step::Start);
            let started = build.start();
            started.doing(|| format!("cannot start the machine {name}"))?;
        }
        self.hooks("post_recovery", recovered)
    }

    fn step(&self, step: Step) {
        self.watch.step(&self.plan.build.name, step);
    }

    /// Where the disks are, for hooks inside them: asked before anything is written.
    fn local_disks(&self, build: &dyn Build) -> Result<Vec<(DiskName, LocalDisk)>> {
        let disks = self.plan.disks.iter().map(|(name, _)| {
            let disk = build.local(name).ok_or_else(|| {
                let message = format!(
                    "the disk {name} is not on this computer: leave the {END_RECOVERY} hooks out, \
                     or recover it to a file or device here"
                );
                Error::new(ErrorKind::Unsupported, message)
            })?;
            Ok((name.clone(), disk))
        });
        disks.collect()
    }

    /// Runs the hooks inside the restored disks, before the machine is defined.
    fn inside(&mut self, disks: &[(DiskName, LocalDisk)], into: &mut Recovered) -> Result<()> {
        self.step(Step::EndRecovery);
        let mut facts = self.facts(END_RECOVERY, into).to_vec();
        let names: Vec<&str> = disks.iter().map(|(name, _)| name.as_str()).collect();
        facts.push(("LIFEBOAT_DISKS".to_owned(), names.join(" ")));
        let mut inside = self.way.enter(disks)?;
        for hook in self.hooks_at(END_RECOVERY) {
            let run = inside.run(hook, &facts);
            if let Some(warning) = judge(run, hook.on_failure, self.hooks)? {
                into.findings.push(Finding::warning(warning));
            }
        }
        inside.leave()
    }

    fn hooks_at(&self, when: &'static str) -> impl Iterator<Item = &'a Hook> + use<'a> {
        let settings = self.settings;
        settings.hooks.iter().filter(move |hook| hook.when == when)
    }

    fn disk(
        &self,
        build: &mut dyn Build,
        name: &DiskName,
        content: &PlacedContent,
        recovered: &mut Recovered,
    ) -> Result<()> {
        let (repository, index) = (self.source.repository, self.source.index);
        let writer = build.disk(name);
        let Some(writer) = writer.doing(|| format!("cannot open the disk {name}"))? else {
            recovered.is_verified = false;
            return Ok(());
        };
        let to = RestoreTarget {
            writer: &*writer,
            existing: Existing::Ignore,
        };
        self.step(Step::Restore);
        let planned = plan(repository, content.clone(), to);
        let planned = planned.doing(|| format!("cannot plan the disk {name}"))?;
        let done = apply(repository, index, &planned, to);
        let done = done.doing(|| format!("cannot restore the disk {name}"))?;
        recovered.written += done.written + done.zeros;
        recovered.duration += done.duration;
        drop(writer);
        if self.settings.is_verified {
            self.verify(build, name, content, recovered)?;
        }
        Ok(())
    }

    fn verify(
        &self,
        build: &mut dyn Build,
        name: &DiskName,
        content: &PlacedContent,
        recovered: &mut Recovered,
    ) -> Result<()> {
        self.step(Step::Verify);
        let reader = build.read_back(name);
        let Some(reader) = reader.doing(|| format!("cannot read the disk {name} back"))? else {
            recovered.is_verified = false;
            let text = format!("the disk {name} cannot be read back here: not compared");
            recovered.findings.push(Finding::warning(text));
            return Ok(());
        };
        let environment = self.source.repository.environment();
        let differing = compare(environment, content, &*reader);
        let differing = differing.doing(|| format!("cannot read the disk {name} back"))?;
        match differing.iter().next() {
            None => Ok(()),
            Some(first) => {
                let message = format!(
                    "the disk {name} differs from the snapshot in {} ranges, the first at {}: its \
                     storage does not keep what is written to it",
                    differing.count(),
                    first.start()
                );
                Err(Error::new(ErrorKind::Corrupt, message))
            }
        }
    }

    fn facts(&self, when: &'static str, recovered: &Recovered) -> [(String, String); 6] {
        [
            ("LIFEBOAT_HOOK", when.to_owned()),
            ("LIFEBOAT_MACHINE", self.plan.build.name.to_string()),
            ("LIFEBOAT_MACHINE_ID", recovered.vm.to_string()),
            ("LIFEBOAT_SNAPSHOT", self.source.snapshot.id.to_string()),
            ("LIFEBOAT_PLATFORM", self.platform.kind().to_owned()),
            ("LIFEBOAT_PLACE", self.platform.place()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    fn hooks(&mut self, when: &'static str, recovered: &mut Recovered) -> Result<()> {
        let facts = self.facts(when, recovered);
        let cancel: &CancelToken = &self.source.repository.environment().cancel;
        let context = HookContext {
            platform: self.platform,
            vm: &recovered.vm.clone(),
            facts: &facts,
            cancel,
        };
        for hook in self.hooks_at(when) {
            self.step(match when {
                "pre_recovery" => Step::PreRecovery,
                _ => Step::PostRecovery,
            });
            if let Some(warning) = run_and_judge(hook, &context, self.hooks)? {
                recovered.findings.push(Finding::warning(warning));
            }
        }
        Ok(())
    }
}

impl RecoveryPlan {
    /// Bytes of all disks.
    pub fn size(&self) -> ByteCount {
        ByteCount(self.disks.iter().map(|(_, content)| content.size).sum())
    }
}
