//! A machine is made from its definition and its disks, or nothing is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lifeboat_disk::ImageFormat;
use lifeboat_model::{ErrorKind, VmName};
use lifeboat_platform::{
    Build, BuildDisk, BuildRequest, Builder, Identity, Occupied, Placement, PlannedDisk, Platform,
    VmState,
};
use lifeboat_testkit::libvirtd::TestMachine;
use lifeboat_testkit::tool;

use crate::session::wait_for;
use crate::session::{MIB, Machine, Session, disk_name, give_away, origin, qcow2, qemu_img, shown};

fn builder(session: &Session) -> &dyn Builder {
    session.platform.builder().unwrap()
}

/// A request to build the machine again, its one disk in a folder.
fn again(machine: &Machine<'_>, name: &str, placement: Placement) -> BuildRequest {
    let mut request = machine.request(&origin('a'));
    request.checkpoint = None;
    let capture = machine.capture(&request);
    BuildRequest {
        name: name.parse().unwrap(),
        files: capture.files().to_vec(),
        disks: vec![BuildDisk {
            name: disk_name("vda"),
            size: 4 * MIB,
            format: None,
            placement,
        }],
        networks: Vec::new(),
        identity: Identity::KeepIfFree,
        occupied: Occupied::Refuse,
    }
}

fn images(session: &Session) -> Placement {
    Placement::Folder(session.path("images"))
}

fn write(build: &mut dyn Build, byte: u8) {
    let writer = build.disk(&disk_name("vda")).unwrap().unwrap();
    writer.write_at(0, &vec![byte; 65536]).unwrap();
    writer.finish().unwrap();
}

fn content(path: &Path) -> Vec<u8> {
    let copy = path.with_extension("copy");
    qemu_img(&["convert", "-U", "-O", "raw", &shown(path), &shown(&copy)]);
    fs::read(copy).unwrap()
}

fn state(session: &Session, name: &str) -> Option<VmState> {
    let all = session.platform.inventory().unwrap().vms;
    all.into_iter()
        .find(|vm| vm.name.as_str() == name)
        .map(|vm| vm.state)
}

fn files(session: &Session) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(session.path("images"))
        .unwrap()
        .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|it| !it.ends_with(".copy"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_second_machine_gets_its_own_identity_and_disks() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let before = files(&session);
    let request = again(&web, "copy", images(&session));
    let refused = BuildRequest {
        identity: Identity::Keep,
        ..request.clone()
    };
    let error = builder(&session).plan(&refused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    let plan = builder(&session).plan(&request).unwrap();
    assert!(plan.findings.iter().any(|it| it.text.contains("new UUID")));
    assert_eq!(files(&session), before, "a plan changes nothing");
    let mut build = builder(&session).begin(&plan).unwrap();
    write(build.as_mut(), 0x55);
    let id = build.define().unwrap();
    assert_ne!(id, web.id);
    build.start().unwrap();
    assert_eq!(state(&session, "copy"), Some(VmState::Running));
    let made = session.path("images/copy-vda.qcow2");
    assert_eq!(content(&made)[..65536], [0x55; 65536]);
    // Nothing begins over it.
    let error = builder(&session).plan(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
    build.undo().unwrap();
    assert_eq!(state(&session, "copy"), None);
    assert_eq!(files(&session), before);
    assert_eq!(state(&session, "web"), Some(VmState::Running));
}

#[test]
fn a_machine_of_the_same_name_is_set_aside_and_put_back() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    web.write("vda", 1, 0, MIB);
    // Its own checkpoints do not stand in the way.
    let capture = web.capture(&web.request(&origin('a')));
    capture
        .finish(lifeboat_platform::CaptureOutcome::Committed)
        .unwrap();
    let request = BuildRequest {
        occupied: Occupied::SetAside,
        ..again(&web, "web", images(&session))
    };
    let plan = builder(&session).plan(&request).unwrap();
    let aside: VmName = plan.replaced.clone().unwrap().aside;
    assert!(plan.steps[0].contains(aside.as_str()), "{:?}", plan.steps);
    let mut build = builder(&session).begin(&plan).unwrap();
    assert_eq!(state(&session, "web"), None);
    assert_eq!(state(&session, aside.as_str()), Some(VmState::Off));
    write(build.as_mut(), 2);
    build.define().unwrap();
    build.start().unwrap();
    // The proof failed.
    drop(build);
    assert_eq!(state(&session, "web"), Some(VmState::Running));
    assert_eq!(session.virsh(&["domuuid", "web"]).trim(), web.id.as_str());
    assert_eq!(content(&web.image("vda")), web.truth["vda"]);
    // The proof succeeds.
    let plan = builder(&session).plan(&request).unwrap();
    let mut build = builder(&session).begin(&plan).unwrap();
    write(build.as_mut(), 3);
    build.define().unwrap();
    build.start().unwrap();
    let findings = build.keep().unwrap();
    assert!(
        findings.iter().any(|it| it.text.contains("was removed")),
        "{findings:?}"
    );
    assert_eq!(files(&session), ["web-vda.qcow2"]);
    assert_eq!(session.platform.inventory().unwrap().vms.len(), 1);
    assert_eq!(content(&session.path("images/web-vda.qcow2"))[0], 3);
}

#[test]
fn a_machine_that_others_have_marked_is_not_set_aside() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    session.virsh(&["checkpoint-create-as", "web", "virtnbdbackup.0"]);
    let request = BuildRequest {
        occupied: Occupied::SetAside,
        ..again(&web, "web", images(&session))
    };
    let error = builder(&session).plan(&request).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("another program"), "{error}");
}

#[test]
fn places_that_do_not_fit_are_refused_in_the_plan() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let kind = |placement| {
        let request = again(&web, "copy", placement);
        builder(&session).plan(&request).unwrap_err().kind()
    };
    let taken = Placement::Exact(web.image("vda"));
    assert_eq!(kind(taken), ErrorKind::Exists);
    let nowhere = Placement::Folder(session.path("nowhere"));
    assert_eq!(kind(nowhere), ErrorKind::NotFound);
    assert_eq!(kind(Placement::Pool("none".into())), ErrorKind::NotFound);
    assert_eq!(
        kind(Placement::Remote("http://x".into())),
        ErrorKind::Invalid
    );
}

#[test]
fn a_storage_pool_takes_the_disks() {
    let Some(session) = Session::begin() else {
        return;
    };
    fs::create_dir(session.path("pool")).unwrap();
    give_away(&session.path("pool"));
    let target = shown(&session.path("pool"));
    session.virsh(&["pool-create-as", "lab", "dir", "--target", &target]);
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let request = again(&web, "copy", Placement::Pool("lab".into()));
    let plan = builder(&session).plan(&request).unwrap();
    let mut build = builder(&session).begin(&plan).unwrap();
    write(build.as_mut(), 4);
    build.define().unwrap();
    assert!(
        session
            .virsh(&["vol-list", "lab"])
            .contains("copy-vda.qcow2")
    );
    build.start().unwrap();
    assert_eq!(build.keep().unwrap(), []);
    assert_eq!(state(&session, "copy"), Some(VmState::Running));
}

/// Serves a raw file; ends when it is dropped.
struct Export(Child);

impl Drop for Export {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn export(session: &Session, content: &[u8]) -> Export {
    let (file, socket) = (session.path("remote.raw"), session.path("r.sock"));
    fs::write(&file, content).unwrap();
    let mut command = Command::new(tool("qemu-nbd").unwrap());
    command.args(["-t", "-e", "8", "-f", "raw", "-x", "vda", "-k"]);
    let child = command.arg(&socket).arg(&file).stdin(Stdio::null());
    let export = Export(child.spawn().unwrap());
    wait_for(|| socket.exists());
    // QEMU may run as another user than the one of this test.
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    export
}

#[test]
fn a_machine_runs_from_an_export_and_moves_home_while_it_runs() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let mut truth = vec![7; 4 << 20];
    let export = export(&session, &truth);
    let uri = format!("nbd+unix:///vda?socket={}", shown(&session.path("r.sock")));
    let plan = builder(&session)
        .plan(&again(&web, "quick", Placement::Remote(uri)))
        .unwrap();
    let mut build = builder(&session).begin(&plan).unwrap();
    assert!(build.disk(&disk_name("vda")).unwrap().is_none());
    let id = build.define().unwrap();
    build.start().unwrap();
    build.keep().unwrap();
    let mut quick = TestMachine {
        daemon: &session,
        name: "quick".into(),
        id: id.clone(),
        disks: Vec::new(),
        truth: [("vda", truth.clone())].into(),
    };
    quick.write("vda", 8, MIB, 65536);
    let target = PlannedDisk {
        name: disk_name("vda"),
        size: 4 * MIB,
        format: ImageFormat::Qcow2,
        placement: images(&session),
        place: String::new(),
    };
    let abandoned = session
        .platform
        .promote(&id, &disk_name("vda"), &target)
        .unwrap();
    abandoned.give_up().unwrap();
    assert_eq!(files(&session), ["web-vda"]);
    let promotion = session
        .platform
        .promote(&id, &disk_name("vda"), &target)
        .unwrap();
    quick.write("vda", 9, 2 * MIB, 65536);
    wait_for(|| promotion.progress().unwrap().is_ready());
    promotion.finish().unwrap();
    drop(export);
    quick.write("vda", 10, 3 * MIB, 65536);
    truth.clone_from(&quick.truth["vda"]);
    let home = session.path("images/quick-vda.qcow2");
    for kind in ["", "--inactive"] {
        let words = ["dumpxml", "quick", kind];
        let xml = session.virsh(
            words
                .split_last()
                .filter(|it| it.0.is_empty())
                .map_or(&words, |it| it.1),
        );
        assert!(
            xml.contains(&shown(&home)) && !xml.contains("nbd"),
            "{kind}: {xml}"
        );
    }
    quick.stop();
    assert!(content(&home) == truth);
}
