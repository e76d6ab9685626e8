//! `lifeboat config generate`

mod password;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use lifeboat_backend::{FileHandle, Location};
use lifeboat_chunker::ChunkSizes;
use lifeboat_config::{SourceFile, read};
use lifeboat_control::{Job, Rule};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Inventory, Vm};
use lifeboat_repository::InitOptions;

use password::PasswordFile;

use super::import::folder_of;
use super::{print_text, wizard};
use crate::args::{ConfigGenerateArguments, PlatformArguments};
use crate::commands::doctor::{is_this_computer, unreadable};
use crate::commands::init;
use crate::configuration;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::tables::count;
use crate::whole_file;

/// A platform that answers, and its machines.
pub(super) struct Found {
    /// Its name in the configuration.
    pub(super) name: String,
    pub(super) uri: String,
    pub(super) about: &'static str,
    pub(super) machines: Vec<Vm>,
}

/// What somebody wants.
#[derive(Default)]
pub(super) struct Wish {
    pub(super) machines: Vec<String>,
    pub(super) place: Option<String>,
    pub(super) schedule: Option<String>,
}

/// Makes a configuration, a repository and its password, and tries them.
pub(super) fn run(context: &Context, arguments: &ConfigGenerateArguments) -> Result<u8> {
    let target = arguments.output.as_ref().unwrap_or(&context.global.config);
    if !arguments.force && !arguments.dry_run {
        refuse_existing(context, target)?;
    }
    let mut wish = Wish {
        machines: arguments.machines.clone(),
        place: context.written_place().ok(),
        schedule: arguments.schedule.clone(),
    };
    let is_bare = wish.place.is_none() && wish.machines.is_empty();
    let is_asking = arguments.wizard || is_bare && wizard::is_somebody_there();
    let mut found = find(context, arguments, is_asking)?;
    if is_asking {
        found = wizard::ask(context, found, &mut wish)?;
    }
    let place = wish
        .place
        .clone()
        .ok_or_else(|| Error::usage("say where backups go: --repo /srv/backup; --wizard asks"))?;
    if place.starts_with('@') {
        let message = format!("{place}: write the folder itself, no name of a configuration");
        return Err(Error::usage(message));
    }
    let place = whole_place(&place)?;
    let password = PasswordFile::of(context, target)?;
    let text = text(&wish, &place, &password.path, &found);
    check(&text, &found, &wish)?;
    if arguments.dry_run {
        return print_text(context, &text);
    }
    if is_asking && !wizard::agree(&format!("write {}, and use {place}", target.display()))? {
        context.output.tell("nothing was written")?;
        return Ok(0);
    }
    make(context, (target, &text), &place, &password)?;
    next(context, (target, &password.path), &found)
}

fn refuse_existing(context: &Context, target: &Path) -> Result<()> {
    if fs::symlink_metadata(target).is_err() {
        return Ok(());
    }
    let there = match configuration::load::<Job>(target, context.wiring.check_platform) {
        Ok(loaded) => {
            let jobs: Vec<_> = loaded.config.jobs.keys().map(String::as_str).collect();
            format!("its jobs: {}", jobs.join(", "))
        }
        Err(error) => error.to_string(),
    };
    let message = format!(
        "{} is there already ({there}): --output names another file, --force replaces it",
        target.display()
    );
    Err(Error::new(ErrorKind::Exists, message))
}

/// The platforms that are meant, with their machines; where none was named, those of this host.
fn find(
    context: &Context,
    arguments: &ConfigGenerateArguments,
    is_asking: bool,
) -> Result<Vec<Found>> {
    let is_named = arguments.platform.platform.is_some();
    if is_named || std::env::var_os("LIFEBOAT_PLATFORM").is_some() {
        let uri = context.platform_uri(&arguments.platform)?;
        return Ok(vec![look(context, ("local", "the platform"), uri)?]);
    }
    let mut found = Vec::new();
    let usual = libvirt_of_this_host();
    let here = look(context, ("local", "machines of libvirt"), usual.clone());
    match here {
        Ok(here) => {
            let mut disks = here.machines.iter().flat_map(|it| &it.disks);
            let has_volumes = disks.any(|disk| disk.place.starts_with("/dev/"));
            found.push(here);
            if has_volumes {
                let about = ("volumes", "the same by snapshots of their volumes");
                match look(context, about, format!("lvm+{usual}")) {
                    Ok(volumes) => found.push(volumes),
                    Err(error) => context
                        .output
                        .warn(format!("lvm+{usual} is left out: {error}")),
                }
            }
        }
        Err(error) => context.output.warn(format!("{usual} is left out: {error}")),
    }
    // This computer itself is only protected by somebody who wants that.
    if is_asking {
        match look(
            context,
            ("self", "this computer on its volumes"),
            "self:".to_owned(),
        ) {
            Ok(this) => found.push(this),
            Err(error) => context.output.warn(format!("self: is left out: {error}")),
        }
    }
    if found.is_empty() {
        let message = "no machine was found on this host: name the platform with --platform";
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    Ok(found
        .into_iter()
        .take(if is_asking { 3 } else { 1 })
        .collect())
}

/// The daemon that libvirt's own programs would ask, if it is one of QEMU's.
fn libvirt_of_this_host() -> String {
    let named = std::env::var("LIBVIRT_DEFAULT_URI");
    let named = named.ok().filter(|uri| uri.starts_with("qemu"));
    named.unwrap_or_else(|| "qemu:///system".to_owned())
}

fn look(context: &Context, (name, about): (&str, &'static str), uri: String) -> Result<Found> {
    let named = PlatformArguments {
        platform: Some(uri.clone()),
    };
    let inventory = context.open_platform(&named)?.inventory()?;
    has_disks(context, &uri, &inventory)?;
    Ok(Found {
        name: name.to_owned(),
        uri,
        about,
        machines: inventory.vms,
    })
}

/// Refuses machines without a disk that could be backed up.
fn has_disks(context: &Context, uri: &str, inventory: &Inventory) -> Result<()> {
    let machines = &inventory.vms;
    if is_this_computer(uri) {
        for (seen, is_missing) in unreadable(machines) {
            if is_missing {
                let message = format!("{seen}: look whether its path in {uri} is right");
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            context.output.warn(seen);
        }
    }
    let mut disks = machines.iter().flat_map(|it| &it.disks);
    if machines.is_empty() || disks.any(|disk| disk.passed_over.is_none()) {
        return Ok(());
    }
    let findings = inventory.findings.iter().map(|it| it.text.as_str());
    let findings: Vec<_> = findings.collect();
    let why = match findings.is_empty() {
        true => String::new(),
        false => format!(": {}", findings.join("; ")),
    };
    let message = format!("{uri} shows no disk that could be backed up{why}");
    Err(Error::new(ErrorKind::NotFound, message))
}

/// A folder from the root on, so that it is the same from everywhere.
fn whole_place(place: &str) -> Result<String> {
    let path = place.strip_prefix("local:").unwrap_or(place);
    let whole = std::path::absolute(path).map_err(|e| {
        let message = format!("cannot tell where {place} is: {e}");
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    let whole = whole.to_str().map(str::to_owned);
    whole.ok_or_else(|| Error::usage(format!("{place} has no readable name")))
}

fn text(wish: &Wish, place: &str, password: &Path, found: &[Found]) -> String {
    let schedule = wish.schedule.as_deref().unwrap_or("daily 02:00");
    let quoted = |text: &str| toml_text(text);
    let mut text = format!(
        "# docs/operating/configuration.md says what else can be written here.\n\n\
         [repositories.main]\nplace = {}\npassword_file = {}\ncheck = \"weekly sun 05:00\"\n\
         check_data = \"1/30\"\nprune = \"weekly sat 05:00\"\n\n\
         [policies.standard]\nschedule = {}\nfull_days = 90\nkeep_daily = 7\n\
         keep_weekly = 4\nkeep_monthly = 12\nverify = \"weekly sun 06:00\"\nproof = \"8d\"\n",
        quoted(place),
        quoted(&password.to_string_lossy()),
        quoted(schedule),
    );
    if schedule.starts_with("daily") {
        text.push_str("rpo = \"26h\"\n");
    }
    let machines: Vec<_> = wish.machines.iter().map(|it| quoted(it)).collect();
    for Found { name, uri, .. } in found {
        // Writing to a text cannot fail.
        let _ = write!(
            text,
            "\n[platforms.{name}]\nuri = {}\n\n[jobs.{name}]\nplatform = \"{name}\"\n\
             repository = \"main\"\npolicy = \"standard\"\n",
            quoted(uri)
        );
        if !machines.is_empty() {
            let _ = writeln!(text, "machines = [{}]", machines.join(", "));
        }
    }
    text
}

/// A text as TOML writes it.
fn toml_text(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What was made must be sound, and name machines that are there.
fn check(text: &str, found: &[Found], wish: &Wish) -> Result<()> {
    let made = SourceFile {
        name: "the new configuration".to_owned(),
        text: text.to_owned(),
    };
    let loaded = read::<Job>(&[made]);
    if let Some(finding) = loaded.findings.first() {
        return Err(Error::new(ErrorKind::Invalid, finding.to_string()));
    }
    are_there(&wish.machines, found)
}

/// Whether there is a machine for every name; a pattern may wait for its first one.
pub(super) fn are_there(words: &[String], found: &[Found]) -> Result<()> {
    for word in words {
        let rule: Rule = word.parse()?;
        if let Rule::Name(name) = &rule
            && !name.contains(['*', '?'])
            && !found
                .iter()
                .flat_map(|it| &it.machines)
                .any(|vm| vm.name.as_str() == name)
        {
            let message = format!("no machine \"{name}\": 'lifeboat machine ls' lists them");
            return Err(Error::new(ErrorKind::NotFound, message));
        }
    }
    Ok(())
}

/// The password, the repository, a look into it, and at last the file.
fn make(
    context: &Context,
    (target, text): (&Path, &str),
    place: &str,
    password: &PasswordFile,
) -> Result<()> {
    let folder = folder_of(target)?;
    fs::create_dir_all(&folder).map_err(|e| {
        let message = format!("cannot make the folder {}: {e}", folder.display());
        Error::new(ErrorKind::of_io(&e), message)
    })?;
    let backend = lifeboat_backend::open(&Location::parse(place)?)?;
    let has_repository = || backend.size(FileHandle::CONFIG).is_ok();
    let mut global = context.global.clone();
    global.repository = Some(place.to_owned());
    let is_written = password.write(&context.with_global(global.clone()), has_repository())?;
    global.password_file = Some(password.path.clone());
    let stored = repository(&context.with_global(global), place, has_repository());
    if stored.is_err() && is_written && !has_repository() {
        // Nothing was sealed with it.
        let _ = fs::remove_file(&password.path);
    }
    stored?;
    whole_file::write(target, text.as_bytes())
}

/// Makes the repository unless it is there, and opens it.
fn repository(context: &Context, place: &str, is_there: bool) -> Result<()> {
    if !is_there {
        let options = InitOptions {
            settings: Some(init::settings(context, ChunkSizes::DEFAULT)?),
            ..InitOptions::default()
        };
        let repository = context.init(&options)?;
        context.hold_reserve(&repository);
        let made = format!("made the repository at {place}");
        context.output.tell(made)?;
    }
    context.open()?;
    let opened = format!("opened the repository at {place}");
    context.output.tell(opened)
}

fn next(context: &Context, (target, password): (&Path, &Path), found: &[Found]) -> Result<u8> {
    let machines: usize = found.iter().map(|it| it.machines.len()).sum();
    let output = context.output;
    output.tell(format!(
        "wrote {}; {} found",
        target.display(),
        count(machines, "machine")
    ))?;
    output.tell("next:")?;
    output.tell(format!(
        "  keep a copy of {} elsewhere: without it the data cannot be read",
        password.display()
    ))?;
    let option = match target == Path::new("/etc/lifeboat/lifeboat.toml") {
        true => String::new(),
        false => format!(" --config {}", target.display()),
    };
    for Found { name, .. } in found {
        output.tell(format!("  lifeboat{option} machine backup --job @{name}"))?;
    }
    output.tell(format!("  lifeboat{option} snapshots -r @main"))?;
    Ok(0)
}
