//! Machines built anew: definitions rewritten, disks placed, promoted, undone.

mod begun;
mod edit;
mod identity;
mod interfaces;
mod live;
mod place;
mod plan;
mod promote;
mod record;
mod rewrite;

use std::sync::Arc;

use lifeboat_model::VmName;
use lifeboat_platform::{Build, BuildPlan, BuildRequest, Builder, Finding, Result};

use crate::access::Access;

pub use promote::{Promoted, Promotion};

/// The side of the adapter that makes machines.
pub(crate) struct LibvirtBuilder {
    access: Arc<Access>,
}

impl LibvirtBuilder {
    pub(crate) fn new(access: Arc<Access>) -> Self {
        Self { access }
    }
}

impl Builder for LibvirtBuilder {
    fn plan(&self, request: &BuildRequest) -> Result<BuildPlan> {
        plan::plan(&self.access, request)
    }

    fn begin(&self, plan: &BuildPlan) -> Result<Box<dyn Build>> {
        begun::begin(&self.access, plan)
    }

    fn clear(&self, name: &VmName) -> Result<Vec<Finding>> {
        record::clear(&self.access, name)
    }
}

pub(crate) use promote::promote;
