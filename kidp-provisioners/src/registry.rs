//! Which provisioner serves a request.

use std::sync::Arc;

use kidp_core::instance::{Engine, ResourceType};

use crate::engines::mongodb::Mongodb;
use crate::engines::mysql::Mysql;
use crate::engines::postgresql::Postgresql;
use crate::engines::rabbitmq::Rabbitmq;
use crate::engines::redis::Redis;
use crate::provisioner::Provisioner;

/// Provisioners by kind and engine.
#[derive(Clone, Default)]
pub struct Registry {
    provisioners: Vec<Arc<dyn Provisioner>>,
}

impl Registry {
    /// Every engine that KIDP has, with official images and default settings.
    pub fn standard() -> Self {
        Self::default()
            .with(Arc::new(Postgresql::default()))
            .with(Arc::new(Mysql::default()))
            .with(Arc::new(Redis::database()))
            .with(Arc::new(Redis::cache()))
            .with(Arc::new(Mongodb::default()))
            .with(Arc::new(Rabbitmq::default()))
    }

    /// Adds an engine; a later one replaces an earlier one of the same kind and engine.
    #[must_use]
    pub fn with(mut self, provisioner: Arc<dyn Provisioner>) -> Self {
        self.provisioners.retain(|p| {
            (p.resource_type(), p.engine()) != (provisioner.resource_type(), provisioner.engine())
        });
        self.provisioners.push(provisioner);
        self
    }

    /// The provisioner of a kind and engine.
    pub fn get(&self, resource_type: ResourceType, engine: Engine) -> Option<&Arc<dyn Provisioner>> {
        self.provisioners
            .iter()
            .find(|p| p.resource_type() == resource_type && p.engine() == engine)
    }

    /// Every provisioner.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Provisioner>> {
        self.provisioners.iter()
    }
}
