//! Objects, their versions and their owners of fields.

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Status;
use serde_json::json;

pub(super) async fn absence(client: Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let status = refusal(maps.get("absent").await)?;
    ensure!(
        (status.code, status.reason.as_str()) == (404, "NotFound"),
        "{status:?}"
    );
    ensure!(status.message == "configmaps \"absent\" not found", "{status:?}");
    Ok(())
}

pub(super) async fn creation(client: Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let made = maps.create(&PostParams::default(), &map("created", "a")?).await?;
    ensure!(made.metadata.uid.is_some_and(|uid| uid.len() == 36), "no uid");
    ensure!(made.metadata.creation_timestamp.is_some(), "no time of creation");
    let status = refusal(maps.create(&PostParams::default(), &map("created", "b")?).await)?;
    ensure!(
        (status.code, status.reason.as_str()) == (409, "AlreadyExists"),
        "{status:?}"
    );
    Ok(())
}

pub(super) async fn stale_update(client: Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let stale = maps.create(&PostParams::default(), &map("stale", "a")?).await?;
    let mut fresh = stale.clone();
    fresh.data = map("stale", "b")?.data;
    let fresh = maps.replace("stale", &PostParams::default(), &fresh).await?;
    ensure!(
        fresh.metadata.resource_version != stale.metadata.resource_version,
        "the version stayed"
    );
    let same = maps.replace("stale", &PostParams::default(), &fresh).await?;
    ensure!(
        same.metadata.resource_version == fresh.metadata.resource_version,
        "a write that changes nothing made a version"
    );
    let status = refusal(maps.replace("stale", &PostParams::default(), &stale).await)?;
    ensure!(
        (status.code, status.reason.as_str()) == (409, "Conflict"),
        "{status:?}"
    );
    Ok(())
}

pub(super) async fn apply_conflict(client: Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    let apply = async |manager: &str, value: &str, force: bool| {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": {"key": value}});
        let parameters = PatchParams {
            force,
            ..PatchParams::apply(manager)
        };
        maps.patch("shared", &parameters, &Patch::Apply(body)).await
    };
    apply("first", "a", false).await?;
    let status = refusal(apply("second", "b", false).await)?;
    ensure!(
        (status.code, status.reason.as_str()) == (409, "Conflict"),
        "{status:?}"
    );
    ensure!(
        status.message.contains("conflict with \"first\": .data.key"),
        "{status:?}"
    );
    let forced = apply("second", "b", true).await?;
    let value = forced.data.and_then(|mut data| data.remove("key"));
    ensure!(value.as_deref() == Some("b"), "force did not win: {value:?}");
    Ok(())
}

pub(super) async fn patch_test(client: Client, namespace: &str) -> anyhow::Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(client, namespace);
    maps.create(&PostParams::default(), &map("fenced", "a")?).await?;
    let patch = |expected: &str| -> anyhow::Result<Patch<ConfigMap>> {
        Ok(Patch::Json(serde_json::from_value(json!([
            {"op": "test", "path": "/data/key", "value": expected},
            {"op": "replace", "path": "/data/key", "value": "b"},
        ]))?))
    };
    let status = refusal(
        maps.patch("fenced", &PatchParams::default(), &patch("other")?)
            .await,
    )?;
    ensure!(
        (status.code, status.reason.as_str()) == (422, "Invalid"),
        "{status:?}"
    );
    let patched = maps
        .patch("fenced", &PatchParams::default(), &patch("a")?)
        .await?;
    let value = patched.data.and_then(|mut data| data.remove("key"));
    ensure!(
        value.as_deref() == Some("b"),
        "the patch had no effect: {value:?}"
    );
    Ok(())
}

fn refusal<T: std::fmt::Debug>(answer: kube::Result<T>) -> anyhow::Result<Status> {
    match answer {
        Err(kube::Error::Api(status)) => Ok(*status),
        Err(error) => Err(error).context("no answer of the API server"),
        Ok(object) => bail!("it was accepted: {object:?}"),
    }
}

fn map(name: &str, value: &str) -> anyhow::Result<ConfigMap> {
    Ok(serde_json::from_value(
        json!({"metadata": {"name": name}, "data": {"key": value}}),
    )?)
}
