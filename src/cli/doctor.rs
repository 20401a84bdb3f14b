//! `serin doctor`: what in this cluster will fight with a rollout, with the exact fix.

mod rights;

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use rights::Sidecar;

use super::{
    Failure, Output,
    args::{DoctorArgs, Format},
};
use crate::{
    canary::Defaults,
    cluster::{self, Cluster},
    manifest::{Resource, kustomize::Files as _},
    plan::{
        self, Cache, Settings, TreeFiles,
        doctor::{self, Definitions, Denied, Ward},
    },
    repo::{Checkout, Options},
};

/// What is listed where the canaries are.
const BESIDE: [Resource; 4] = [
    Resource::DEPLOYMENT,
    Resource::SERVICE,
    Resource::INGRESS,
    Resource::AUTOSCALER,
];

/// What is listed everywhere: Flux keeps its objects in namespaces of their own.
const EVERYWHERE: [Resource; 4] = [
    Resource::GIT_REPOSITORY,
    Resource::OCI_REPOSITORY,
    Resource::KUSTOMIZATION,
    Resource::HELM_RELEASE,
];

/// Exit codes: 0 nothing will fight, 1 something will.
pub(super) fn run(args: &DoctorArgs, output: &mut Output) -> Result<ExitCode, Failure> {
    let ward = super::runtime()?.block_on(admit(args))?;
    let found = doctor::examine(&ward);
    match args.output {
        Format::Human => output.data(&doctor::render(&found)),
        Format::Json => {
            let document = serde_json::json!({"findings": found});
            output.line(&serde_json::to_string_pretty(&document).unwrap_or_default());
        }
    }
    Ok(if doctor::is_sick(&found) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

async fn admit(args: &DoctorArgs) -> Result<Ward, Failure> {
    let connection = args.cluster.connection.connection();
    let (client, _, _) = cluster::connect(&connection).await?;
    let limit = args.cluster.namespace.as_deref();
    let (cluster, _changes) = Cluster::new(client, args.cluster.namespace.clone());
    let mut ward = Ward {
        defaults: Defaults {
            mesh_provider: args.targets.router.mesh_provider.clone(),
            selector_labels: args.targets.selector_labels.clone(),
            track_configs: args.targets.enable_config_tracking,
            ..Defaults::default()
        },
        ..Ward::default()
    };
    ward.admit(cluster.survey(Resource::CANARY, limit).await?.unwrap_or_default());
    let namespaces: BTreeSet<String> = ward.objects.keys().map(|key| key.namespace.clone()).collect();
    for resource in EVERYWHERE {
        ward.admit(cluster.survey(resource, None).await?.unwrap_or_default());
    }
    // A Flagger is looked for everywhere, where that is allowed.
    ward.admit(
        cluster
            .survey(Resource::DEPLOYMENT, None)
            .await?
            .unwrap_or_default(),
    );
    for namespace in &namespaces {
        for resource in BESIDE {
            ward.admit(
                cluster
                    .survey(resource, Some(namespace))
                    .await?
                    .unwrap_or_default(),
            );
        }
    }
    ward.denied = denied(&cluster, &ward, args).await?;
    if let Some(canary) = cluster.definition(Resource::CANARY).await? {
        ward.definitions = Some(Definitions {
            canary,
            kustomization: cluster.definition(Resource::KUSTOMIZATION).await?.flatten(),
        });
    }
    if let Some(checkout) = &args.checkout {
        read(checkout, args, &mut ward)?;
    }
    Ok(ward)
}

async fn denied(cluster: &Cluster, ward: &Ward, args: &DoctorArgs) -> Result<Vec<Denied>, Failure> {
    let mut denied = Vec::new();
    for access in Sidecar::of(args).needs(ward) {
        let allowed = cluster.allows(&access, args.service_account.as_deref()).await?;
        if allowed == Some(false) {
            let resource = match access.subresource {
                "" => access.resource.plural.to_owned(),
                part => format!("{}/{part}", access.resource.plural),
            };
            denied.push(Denied {
                namespace: access.namespace,
                group: access.resource.group.to_owned(),
                resource,
                name: access.name,
                verb: access.verb.to_owned(),
            });
        }
    }
    Ok(denied)
}

/// Reads what the checkout declares, and the files that tell where that is written.
fn read(dir: &Path, args: &DoctorArgs, ward: &mut Ward) -> Result<(), Failure> {
    let options = Options {
        branch: None,
        path: args.path.clone(),
    };
    let checkout = Checkout::open(dir, options)?;
    let settings = Settings {
        namespace: args
            .cluster
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        defaults: ward.defaults.clone(),
        ..Settings::default()
    };
    let newest = checkout.newest()?;
    let cache = Cache::default();
    ward.manifests = Some(plan::manifests(&checkout, &cache, &settings, &newest.id)?);
    let tree = checkout.tree(&newest.id)?;
    let files = TreeFiles::new(&checkout, &cache, &tree);
    for path in doctor::files_of_interest(ward) {
        if let Ok(Some(file)) = files.file(&path) {
            let text = String::from_utf8_lossy(file.bytes());
            ward.sources.insert(path, doctor::read_source(&text));
        }
    }
    Ok(files.check()?)
}
