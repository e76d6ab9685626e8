//! Promises of the crate, one module each.

mod smoke {
    use lifeboat_backend::{Backend, FileHandle, FileKind, Local, Memory};
    use lifeboat_model::Id;

    #[test]
    fn what_was_saved_is_loaded() {
        let place = tempfile::tempdir().unwrap();
        let local = Local::open(&place.path().join("a/b")).unwrap();
        for backend in [&local as &dyn Backend, &Memory::new()] {
            let file = FileHandle::new(FileKind::Pack, Id([7; 32]));
            assert!(backend.save(file, b"x").is_err());
            backend.create().unwrap();
            backend.save(file, b"pack").unwrap();
            assert_eq!(backend.load(file).unwrap(), b"pack");
            assert_eq!(backend.list(FileKind::Pack).unwrap().len(), 1);
            backend.remove(file).unwrap();
            assert!(backend.list(FileKind::Pack).unwrap().is_empty());
        }
    }
}
