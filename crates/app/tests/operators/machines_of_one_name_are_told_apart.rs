//! Two platforms with a machine of one name, in one repository: commands name each, and none takes
//! the one for the other.

use std::process::Output;

use jiff::Timestamp;

use super::site::Site;

/// The computer of the test once by each of two disks, each backed up by a job of its own.
fn backed_up() -> (Site, String) {
    let site = Site::new();
    let disk = site.path("far.img");
    site.write("far.img", "another disk", 0o600);
    site.configure(&format!(
        "[platforms.far]\nuri = \"plain:{}\"\n[policies.nightly]\nschedule = \"daily 02:00\"\n\
         keep_last = 3\n[jobs.far-web]\nplatform = \"far\"\nrepository = \"main\"\n\
         policy = \"nightly\"\n",
        disk.display()
    ));
    site.init();
    for job in ["web", "far-web"] {
        let done = site.run(&["run", job]);
        assert!(done.status.success(), "{done:?}");
    }
    let shown = site.json(&["machine", "ls", "-P", "@far"]).remove(0);
    let name = shown[0]["name"].as_str().unwrap().to_owned();
    (site, name)
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn each_is_named_and_none_is_taken_for_the_other() {
    let (site, name) = backed_up();
    let (far, here) = (format!("far/{name}"), format!("here/{name}"));
    let (_, status) = site.told(&["status"]);
    for machine in [&far, &here] {
        assert!(status.contains(machine.as_str()), "{status}");
    }
    for machine in site.json(&["status"])[0]["machines"].as_array().unwrap() {
        assert_eq!(machine["points"], 1, "{machine}");
    }

    let month = Timestamp::now().strftime("%Y-%m").to_string();
    let report = |machine: &str| site.run(&["report", "--month", &month, "-m", machine]);
    let refused = complaint(&report(&name));
    assert!(
        refused.contains(&format!("-m {far} or -m {here}")),
        "{refused}"
    );
    assert!(complaint(&report("moon/x")).contains("status"));
    let told = String::from_utf8(report(&far).stdout).unwrap();
    assert!(told.contains("100.0 % of 1: 1 succeeded"), "{told}");
    assert!(told.contains(&far) && !told.contains(&here), "{told}");

    let played = site.json(&["schedule", "simulate", "@far-web", "--machine", &name]);
    let there = played.iter().filter(|point| point["planned"].is_null());
    assert_eq!(there.count(), 1, "{played:?}");

    for words in [["ls", "latest", "--machine"], ["files", "ls", "--"]] {
        let words = [&["-r", "@main"], &words[..], &[&name]].concat();
        let refused = complaint(&site.run(&words));
        assert!(refused.contains("is the newest of @here"), "{refused}");
        assert!(refused.contains("is the newest of @far"), "{refused}");
    }
    // What is named by a job, or by a snapshot, is clear.
    let of_job = ["--machine", &name, "--tag", "job=far-web"];
    let (code, listed) = site.told(&[&["-r", "@main", "ls", "latest"], &of_job[..]].concat());
    assert_eq!(code, 0);
    assert!(listed.contains("far.img"), "{listed}");
}
