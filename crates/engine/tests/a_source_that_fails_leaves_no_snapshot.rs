//! A read error ends a backup with that error, whatever the other threads do.

use std::sync::Arc;

use lifeboat_engine::backup::Change;
use lifeboat_model::ErrorKind;
use lifeboat_repository::snapshots;
use lifeboat_testkit::{DiskPattern, MappedDisk, Mapping};

use crate::world::{World, environment, init_options, password, small_sizes};

#[test]
fn with_many_threads_and_errors_anywhere() {
    let size = 24 << 20;
    for seed in 0..40 {
        let clock = Arc::default();
        let mut environment = environment(&clock, seed);
        environment.threads = 6;
        let memory = Arc::new(lifeboat_backend::Memory::new());
        let repository = lifeboat_repository::Repository::init(
            memory,
            &password(),
            &init_options(),
            environment,
        );
        let world = World::of(repository.unwrap(), clock, small_sizes());
        let disk = DiskPattern {
            hole_percent: 0,
            area_grains_max: 8,
            ..DiskPattern::new(seed, size)
        };
        let offset = seed * 600_000;
        let source = MappedDisk::new(disk.disk(), Mapping::AllData).failing_at(offset);
        let failed = world.backup(Arc::new(source), Change::Unknown).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Io);
        assert!(snapshots::list(&world.repository).unwrap().is_empty());
    }
}
