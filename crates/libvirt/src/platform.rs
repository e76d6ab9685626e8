//! The adapter as the port's platform.

use std::fmt;
use std::sync::Arc;

use lifeboat_model::{Clock, DiskName, Entropy};
use lifeboat_platform::{
    Builder, Capture, CaptureRequest, CheckpointId, DescribingFile, Executed, Finding,
    GuestCommand, Inventory, LiveMachines, Origin, PlannedDisk, Platform, Quiescer, Result,
    Stillness, VmId,
};

use crate::access::Access;
use crate::build::{LibvirtBuilder, Promotion};
use crate::options::LibvirtOptions;
use crate::{build, capture, execute, inventory};

/// Machines of one libvirt.
pub struct Libvirt {
    access: Arc<Access>,
    builder: LibvirtBuilder,
}

impl Libvirt {
    /// Connects at the first call, and again when the connection was lost.
    pub fn new(options: LibvirtOptions, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Self {
        let access = Arc::new(Access::new(options, clock, entropy));
        Self {
            builder: LibvirtBuilder::new(Arc::clone(&access)),
            access,
        }
    }

    /// Whether the machines run on this host.
    pub fn is_here(&self) -> bool {
        self.access.host().is_ok_and(|host| host.is_here())
    }

    /// Begins to move a disk of a running machine to a place on this host, while it runs.
    ///
    /// Errors: `Exists` for a place that is taken; `Busy` if a job runs on the disk.
    pub fn promote(&self, vm: &VmId, disk: &DiskName, target: &PlannedDisk) -> Result<Promotion> {
        build::promote(&self.access, vm, disk, target)
    }

    /// The files that describe a machine as it is now, for captures by other means than ours.
    ///
    /// Errors: `NotFound`.
    pub fn describe(&self, vm: &VmId) -> Result<Vec<DescribingFile>> {
        let host = self.access.host()?;
        capture::describe(host.as_ref(), &self.access.domain(vm)?, vm)
    }
}

impl fmt::Debug for Libvirt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Libvirt")
            .field("options", &self.access.options)
            .finish_non_exhaustive()
    }
}

impl Quiescer for Libvirt {
    fn around(
        &self,
        request: &CaptureRequest,
        instant: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Stillness> {
        capture::around(&self.access, request, instant)
    }

    fn let_go(&self, vm: &VmId, origin: &Origin) -> Result<Vec<Finding>> {
        capture::sweep_runs(&self.access, vm, origin)
    }
}

impl Platform for Libvirt {
    fn kind(&self) -> &'static str {
        "libvirt"
    }

    fn place(&self) -> String {
        self.access.options.uri.clone()
    }

    fn inventory(&self) -> Result<Inventory> {
        inventory::list(&self.access.connection()?, &self.access.options.uri)
    }

    fn sweep(&self, vm: &VmId, origin: &Origin, wanted: &[CheckpointId]) -> Result<Vec<Finding>> {
        capture::sweep(&self.access, vm, origin, wanted)
    }

    fn begin_capture(&self, request: &CaptureRequest) -> Result<Box<dyn Capture>> {
        capture::begin(&self.access, request)
    }

    fn live(&self) -> Option<&dyn LiveMachines> {
        Some(&self.builder)
    }

    fn execute(&self, vm: &VmId, command: &GuestCommand) -> Result<Executed> {
        execute::execute(&self.access, vm, command)
    }

    fn builder(&self) -> Option<&dyn Builder> {
        Some(&self.builder)
    }
}
