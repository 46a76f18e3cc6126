//! The choice of a broker among a hundred, with all that bears on it: jurisdiction, prices, neighbours and load.

use std::sync::Arc;

use kidp_core::crd::{AntiAffinity, Broker, Target};
use kidp_core::instance::{Engine, ResourceType};
use kidp_operator::select::{Apart, Candidate, PlacementRequest, select_broker};

/// A request, and the brokers that it may be given to.
#[derive(Debug)]
pub struct Choice {
    request: PlacementRequest,
    candidates: Vec<Candidate>,
}

impl Choice {
    /// Ten regions of ten brokers, three prices, and neighbours at the first ten.
    pub fn standard() -> Result<Self, serde_json::Error> {
        let candidates = (0..100).map(candidate).collect::<Result<Vec<_>, _>>()?;
        let neighbours = candidates.iter().take(10).map(Candidate::key);
        let prices = [10.0, 20.0, 30.0].into_iter().cycle();
        let request = PlacementRequest {
            resource_type: ResourceType::Database,
            engine: Engine::Postgresql,
            target: Some(Target {
                cost_weight: Some(50),
                ..Target::default()
            }),
            tenant_residency: Some("EU".into()),
            apart: vec![Apart {
                term: AntiAffinity {
                    weight: Some(50),
                    ..AntiAffinity::default()
                },
                at: neighbours.collect(),
            }],
            monthly: candidates.iter().map(Candidate::key).zip(prices).collect(),
        };
        Ok(Self { request, candidates })
    }

    /// The brokers, for a yardstick.
    pub fn brokers(&self) -> Vec<&Broker> {
        self.candidates.iter().map(|c| c.broker.as_ref()).collect()
    }

    /// Chooses; whether there is one.
    pub fn make(&self) -> bool {
        select_broker(
            &self.request,
            self.candidates.clone(),
            jiff::Timestamp::UNIX_EPOCH,
        )
        .chosen
        .is_some()
    }
}

fn candidate(index: u32) -> Result<Candidate, serde_json::Error> {
    let broker: Broker = serde_json::from_value(serde_json::json!({
        "apiVersion": "platform.company.com/v1", "kind": "Broker",
        "metadata": {"name": format!("broker-{}", index * 37 % 100), "namespace": "kidp-system"},
        "spec": {
            "endpoint": "https://broker.example:8082", "region": format!("region-{}", index % 10), "cloudProvider": "metal",
            "dataResidency": ["EU"], "capabilities": [{"resourceType": "Database"}],
        },
        "status": {"phase": "Ready"},
    }))?;
    Ok(Candidate {
        broker: Arc::new(broker),
        active: index % 10,
    })
}
