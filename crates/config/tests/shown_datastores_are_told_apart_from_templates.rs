//! Datastores of OpenNebula: templates as people write them, and what its command shows.

use lifeboat_config::ImportKind;

use crate::trial::{imported, loaded, notes, refused};

const TEMPLATE: &str = r#"
# backups of the second site
NAME   = "RBackups"
type   = "BACKUP_DS"

DS_MAD = "restic"   # needs no TM
TM_MAD = "-"

RESTIC_PASSWORD    = "geh eim"
RESTIC_SFTP_SERVER = backup.example.org
RESTIC_IONICE = "" RESTIC_MAXPROC = "-1"
RESTIC_COMPRESSION = MAX
LABELS = [
  A = "b ] c",   # one
  PASSWORD = "geheim2",
  C = d ]
"#;

const XML: &str = "<?xml version=\"1.0\"?>
<DATASTORE>
  <ID>100</ID>
  <UID>0</UID><GID>0</GID><UNAME>oneadmin</UNAME><GNAME>oneadmin</GNAME>
  <NAME>RBackups</NAME>
  <PERMISSIONS><OWNER_U>1</OWNER_U><OWNER_M>1</OWNER_M></PERMISSIONS>
  <DS_MAD><![CDATA[restic]]></DS_MAD>
  <TM_MAD><![CDATA[-]]></TM_MAD>
  <BASE_PATH><![CDATA[/var/lib/one//datastores/100]]></BASE_PATH>
  <TYPE>3</TYPE>
  <DISK_TYPE>0</DISK_TYPE>
  <STATE>0</STATE>
  <CLUSTERS><ID>0</ID><ID>101</ID></CLUSTERS>
  <TOTAL_MB>40118</TOTAL_MB>
  <IMAGES><ID>4</ID><ID>7</ID></IMAGES>
  <TEMPLATE>
    <DS_MAD><![CDATA[restic]]></DS_MAD>
    <RESTIC_COMPRESSION><![CDATA[max]]></RESTIC_COMPRESSION>
    <RESTIC_PASSWORD><![CDATA[geh eim]]></RESTIC_PASSWORD>
    <RESTIC_SFTP_SERVER><![CDATA[backup.example.org]]></RESTIC_SFTP_SERVER>
    <TM_MAD><![CDATA[-]]></TM_MAD>
    <TYPE><![CDATA[BACKUP_DS]]></TYPE>
  </TEMPLATE>
</DATASTORE>
";

const JSON: &str = r#"{
  "DATASTORE": {
    "ID": "100", "UID": "0", "NAME": "RBackups",
    "PERMISSIONS": {"OWNER_U": "1", "OWNER_M": "1"},
    "DS_MAD": "restic", "TM_MAD": "-", "BASE_PATH": "/var/lib/one//datastores/100",
    "TYPE": "3", "CLUSTERS": {"ID": ["0", "101"]}, "IMAGES": {},
    "TEMPLATE": {
      "DS_MAD": "restic", "RESTIC_COMPRESSION": "max", "RESTIC_PASSWORD": "geh eim",
      "RESTIC_SFTP_SERVER": "backup.example.org", "TM_MAD": "-", "TYPE": "BACKUP_DS"
    }
  }
}"#;

#[test]
fn templates_and_what_is_shown_become_the_same_repository() {
    for (text, number) in [(TEMPLATE, "DATASTORE"), (XML, "100"), (JSON, "100")] {
        let imported = imported(text).unwrap_or_else(|wrong| panic!("{text}\n{wrong:#?}"));
        assert!(!imported.text.contains("geh"), "{}", imported.text);
        assert_eq!(
            imported.secrets.last().unwrap().secret.expose().first(),
            Some(&b'g')
        );
        let config = loaded(&imported).config;
        let repository = &config.repositories["RBackups"];
        let base = format!("/var/lib/one/datastores/{number}");
        assert_eq!(
            repository.place,
            format!("sftp:oneadmin@backup.example.org:{base}")
        );
        assert_eq!(repository.compression.as_deref(), Some("max"));
        assert_eq!(repository.threads, None);
        let why = repository.carried_over.as_deref().unwrap();
        assert!(
            why.contains("(PLACE/VM_ID) and backup job (PLACE/job_ID)"),
            "{why}"
        );
        assert!(!config.jobs["RBackups"].is_enabled);
        let notes = notes(&imported);
        assert!(
            notes.contains(&format!("where it is mounted: place = \"{base}/VM_ID\"")),
            "{notes}"
        );
        let may_be_encrypted = notes.contains("RESTIC_PASSWORD: OpenNebula may show it encrypted");
        assert_eq!(may_be_encrypted, number == "100", "{notes}");
    }
}

#[test]
fn every_attribute_is_kept_also_those_that_come_twice() {
    for (text, kept) in [
        (
            TEMPLATE,
            [
                r#""LABELS/A" = "b ] c""#,
                r#""LABELS/PASSWORD_file""#,
                r#""LABELS/C" = "d""#,
            ],
        ),
        (
            XML,
            [
                r#""TEMPLATE/TYPE" = "BACKUP_DS""#,
                r#""CLUSTERS/ID_2" = "101""#,
                r#"TYPE = "3""#,
            ],
        ),
        (
            JSON,
            [
                r#""TEMPLATE/TYPE" = "BACKUP_DS""#,
                r#""CLUSTERS/ID_2" = "101""#,
                r#"TYPE = "3""#,
            ],
        ),
    ] {
        let text = imported(text).unwrap().text;
        for kept in kept {
            assert!(text.contains(kept), "{kept}\n{text}");
        }
    }
}

#[test]
fn what_is_no_single_datastore_of_restic_is_refused_with_a_next_step() {
    let next = "write one with: onedatastore show -x ID";
    let deep = format!(
        "<DATASTORE>{}{}</DATASTORE>",
        "<A>".repeat(40),
        "</A>".repeat(40)
    );
    let unending = "RESTIC_NICE = \"1\"\nX = [ A = \"b\" # ]";
    refused(
        ImportKind::OpenNebula,
        &[
            ("<DATASTORE_POOL><DATASTORE/></DATASTORE_POOL>", next),
            ("{\"DATASTORE_POOL\": {}}", next),
            ("{\"DATASTORE\": ", next),
            ("<DATASTORE><A>", next),
            (&deep, "nested too deep"),
            (unending, ":2:5: error: X: its value does not end"),
            (
                "RESTIC_NICE = \"20\"\n",
                "RESTIC_NICE: \"20\" is no number that can be used; write 0 to 19",
            ),
            ("RESTIC_IONICE = \"8\"\n", "write 0 to 7"),
            (
                "RESTIC_NICE = 1\nRESTIC_NICE = 1\n",
                ":2:1: error: RESTIC_NICE: it stands there twice",
            ),
        ],
    );
}
