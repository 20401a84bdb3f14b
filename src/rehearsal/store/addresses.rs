//! Addresses and node ports of Services.

use serde_json::{Value, json};

use super::{
    Kind,
    json::{self as j},
    state::State,
};

impl State {
    /// Gives a Service its address.
    pub(super) fn allocate(&mut self, kind: &Kind, old: Option<&Value>, value: &mut Value) {
        if kind.kind != "Service" {
            return;
        }
        if j::text(value, &["spec", "type"]) == "ExternalName" {
            let external = [
                "clusterIP",
                "clusterIPs",
                "ipFamilies",
                "ipFamilyPolicy",
                "internalTrafficPolicy",
            ];
            if old.is_some_and(|o| j::text(o, &["spec", "type"]) != "ExternalName") {
                for field in external {
                    j::remove(value, &["spec", field]);
                }
            }
            return;
        }
        let kept = old.map_or("", |o| j::text(o, &["spec", "clusterIP"])).to_owned();
        if j::text(value, &["spec", "clusterIP"]).is_empty() {
            let address = if kept.is_empty() {
                self.new_cluster_ip()
            } else {
                Some(kept)
            };
            j::set(value, &["spec", "clusterIP"], address.unwrap_or_default());
        }
        if matches!(j::text(value, &["spec", "type"]), "NodePort" | "LoadBalancer") {
            self.allocate_ports(old, value);
        }
        let address = j::text(value, &["spec", "clusterIP"]).to_owned();
        j::default(value, &["spec", "clusterIPs"], json!([address]));
        j::default(value, &["spec", "ipFamilies"], json!(["IPv4"]));
        j::default(value, &["spec", "ipFamilyPolicy"], "SingleStack");
    }

    /// Gives the ports of a Service that is reached through nodes their numbers; they keep them.
    fn allocate_ports(&self, old: Option<&Value>, value: &mut Value) {
        let mut used = self.node_ports();
        let kept = |port: &Value| {
            let of = |p: &Value| (p.get("port").cloned(), p.get("protocol").cloned());
            let ports = j::items(old?, &["spec", "ports"]);
            ports
                .iter()
                .find(|p| of(p) == of(port))?
                .get("nodePort")
                .and_then(Value::as_i64)
        };
        let ports = j::entry(value, &["spec", "ports"]).as_array_mut();
        for port in ports.into_iter().flatten() {
            let wanted = port.get("nodePort").and_then(Value::as_i64).filter(|p| *p != 0);
            let free = || (30_000..32_768).find(|p| !used.contains(p));
            if let Some(number) = wanted.or_else(|| kept(port)).or_else(free) {
                used.insert(number);
                j::set(port, &["nodePort"], number);
            }
        }
    }
}
