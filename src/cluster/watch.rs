//! One watch: brings what it sees into the cache and says which keys changed.

use std::{collections::BTreeSet, pin::pin};

use futures::StreamExt;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event},
    },
};

use super::{Cluster, Scope, error::chain};
use crate::manifest::{Object, ObjectKey, Resource};

pub(super) async fn run(cluster: Cluster, scope: Scope) {
    let config = match &scope.name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    if scope.resource == Resource::CONFIG_MAP {
        let api: Api<PartialObjectMeta<DynamicObject>> = api(&cluster.client, &scope);
        let stream = kube::runtime::watcher(api, config).default_backoff();
        follow(cluster, scope, stream, note).await;
    } else {
        let api: Api<DynamicObject> = api(&cluster.client, &scope);
        let stream = kube::runtime::watcher(api, config).default_backoff();
        follow(cluster, scope, stream, take).await;
    }
}

fn api<K>(client: &Client, scope: &Scope) -> Api<K>
where
    K: kube::Resource<DynamicType = ApiResource>,
    K: kube::Resource<Scope = kube::core::DynamicResourceScope>,
{
    let resource = ApiResource {
        group: scope.resource.group.to_owned(),
        version: scope.resource.version.to_owned(),
        api_version: scope.resource.api_version(),
        kind: scope.resource.kind.to_owned(),
        plural: scope.resource.plural.to_owned(),
    };
    match &scope.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

async fn follow<K: serde::Serialize>(
    cluster: Cluster,
    scope: Scope,
    stream: impl futures::Stream<Item = Result<Event<K>, watcher::Error>>,
    bring: fn(&Cluster, &Object),
) {
    let mut stream = pin!(stream);
    let mut listed = BTreeSet::new();
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => {
                if let Some(object) = read(&object, scope.resource) {
                    listed.insert(object.key());
                    bring(&cluster, &object);
                }
            }
            Ok(Event::InitDone) => {
                let gone = cluster.cache().loaded(&scope, &listed);
                let news = gone.into_iter().chain(std::mem::take(&mut listed));
                news.for_each(|key| cluster.changed(key));
                cluster.changed(loaded_key(&scope));
            }
            Ok(Event::Apply(object)) => {
                if let Some(object) = read(&object, scope.resource) {
                    bring(&cluster, &object);
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some(object) = read(&object, scope.resource) {
                    cluster.cache().remove(&object.key());
                    cluster.changed(object.key());
                }
            }
            Err(error) => warn(&scope, &error),
        }
    }
}

/// A key without a name stands for "everything of this kind in this namespace was listed".
fn loaded_key(scope: &Scope) -> ObjectKey {
    ObjectKey::new(scope.resource, scope.namespace.as_deref().unwrap_or_default(), "")
}

/// What a write of ours has brought into the cache already is news to everybody else.
fn take(cluster: &Cluster, object: &Object) {
    let key = object.key();
    cluster.cache().apply(object);
    cluster.changed(key);
}

/// Only the metadata came: fetches the body, once per version.
fn note(cluster: &Cluster, object: &Object) {
    let key = object.key();
    if !cluster.cache().note(&key, object.resource_version()) {
        // The body is there: a write of ours brought it, which is news to everybody else.
        cluster.changed(key);
        return;
    }
    let cluster = cluster.clone();
    tokio::spawn(async move {
        for attempt in 0..5_u32 {
            match cluster.get(&key).await {
                Ok(Some(_)) => break,
                Ok(None) => {
                    cluster.cache().remove(&key);
                    break;
                }
                Err(error) => {
                    tracing::warn!(%key, %error, "Cannot read; trying again.");
                    tokio::time::sleep(std::time::Duration::from_secs(1 << attempt)).await;
                }
            }
        }
        cluster.changed(key);
    });
}

/// Lists leave out the kind of their items.
fn read<K: serde::Serialize>(object: &K, resource: Resource) -> Option<Object> {
    let mut value = serde_json::to_value(object).ok()?;
    let fields = value.as_object_mut()?;
    fields.insert("apiVersion".to_owned(), resource.api_version().into());
    fields.insert("kind".to_owned(), resource.kind.into());
    Some(Object::from(value))
}

fn warn(scope: &Scope, error: &watcher::Error) {
    let namespace = scope.namespace.as_deref().unwrap_or("*");
    let resource = scope.resource.plural;
    let error = chain(error);
    tracing::warn!(resource, namespace, error, "Watch failed; trying again.");
}
