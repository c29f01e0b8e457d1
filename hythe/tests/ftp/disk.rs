//! Disks that are full or can't be written to: each is mounted by the test that
//! needs it, in a mount namespace of its own.

use super::common::mounts::with_mounts;

#[test]
fn a_full_disk_is_told_of_and_what_came_stays() {
    with_mounts("disk::mounted::full");
}

#[test]
fn a_disk_that_can_only_be_read_is_told_of() {
    with_mounts("disk::mounted::read_only");
}

/// Run by [`with_mounts`] only.
mod mounted {
    use std::fs;

    use hythe::share::Access;

    use super::super::Running;
    use super::super::common::content;
    use super::super::common::mounts::mount;

    const MIB: usize = 1024 * 1024;

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn full() {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=4m", "small"], folder.path());
        let server = Running::allowing(Access::Write, folder.path());
        let mut client = server.log_in();
        let much = content(6 * MIB);
        client.store("STOR new", &much, 452);
        let kept = fs::read(folder.path().join("new")).unwrap();
        assert!(!kept.is_empty() && much.starts_with(&kept));
        client.store("STOR other", b"more", 452);
        client.command("MKD folder", 257);
        assert!(client.fetch("RETR new") == kept, "others may still read");

        fs::write(folder.path().join("new"), b"").unwrap();
        client.store("STOR other", b"more", 226);
    }

    #[test]
    #[ignore = "run by the test that gives it mounts of its own"]
    fn read_only() {
        let folder = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", "size=4m", "small"], folder.path());
        fs::write(folder.path().join("there"), b"there").unwrap();
        mount(&["-o", "remount,ro"], folder.path());
        let server = Running::allowing(Access::Write, folder.path());
        let mut client = server.log_in();
        for name in ["new", "there"] {
            client.store(format!("STOR {name}"), b"more", 550);
        }
        for command in ["MKD folder", "DELE there", "SITE CHMOD 600 there"] {
            client.command(command, 550);
        }
        assert_eq!(client.fetch("RETR there"), b"there");
    }
}
