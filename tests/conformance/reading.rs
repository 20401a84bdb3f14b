//! Getting and listing.

use serde_json::json;

use super::*;

pub(super) async fn lists_select_by_label_and_field(context: Context) {
    for (name, tier) in [("a", "front"), ("b", "back"), ("c", "front")] {
        context
            .create(CONFIG_MAPS, name, json!({"metadata": {"labels": {"tier": tier}}}))
            .await;
    }
    let api = context.api(CONFIG_MAPS);
    let names = async |params: ListParams| -> Vec<String> {
        let list = api.list(&params).await.unwrap();
        list.items
            .into_iter()
            .filter_map(|o| o.metadata.name)
            .filter(|n| n.len() == 1)
            .collect()
    };
    assert_eq!(
        names(ListParams::default().labels("tier=front")).await,
        ["a", "c"]
    );
    assert_eq!(
        names(ListParams::default().labels("tier notin (front),tier")).await,
        ["b"]
    );
    assert_eq!(
        names(ListParams::default().fields("metadata.name=b")).await,
        ["b"]
    );
    assert_eq!(
        names(ListParams::default().fields("metadata.name!=b").labels("tier")).await,
        ["a", "c"]
    );
    refused(
        api.list(&ListParams::default().fields("data.a=b")).await,
        400,
        "BadRequest",
    );
    refused(
        api.list(&ListParams::default().labels("a b c")).await,
        400,
        "BadRequest",
    );
}

pub(super) async fn lists_come_in_pages(context: Context) {
    for name in ["a", "b", "c"] {
        context
            .create(
                CONFIG_MAPS,
                name,
                json!({"metadata": {"labels": {"page": "yes"}}}),
            )
            .await;
    }
    let api = context.api(CONFIG_MAPS);
    let params = ListParams::default().labels("page").limit(2);
    let first = api.list(&params).await.unwrap();
    assert_eq!(first.items.len(), 2);
    let token = first.metadata.continue_.unwrap();
    context
        .create(
            CONFIG_MAPS,
            "bb",
            json!({"metadata": {"labels": {"page": "yes"}}}),
        )
        .await;
    let second = api.list(&params.continue_token(&token)).await.unwrap();
    assert_eq!(second.items.len(), 1, "a page shows the state of the first");
    assert!(second.metadata.continue_.unwrap_or_default().is_empty());
    assert_eq!(second.metadata.resource_version, first.metadata.resource_version);
}
