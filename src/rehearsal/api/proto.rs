//! Bodies in Kubernetes' protobuf, which `kubectl create KIND` sends: just the messages and fields that its
//! generators fill. A field that is not known here and not empty makes the body unreadable, so that nothing is
//! dropped in silence.

use base64::Engine as _;
use serde_json::{Map, Value, json};

/// How a field is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// A text; empty means absent.
    Text,
    /// A text that may be empty.
    OptionalText,
    /// A number; zero means absent.
    Number,
    /// A number that may be zero.
    OptionalNumber,
    /// A truth; false means absent.
    Flag,
    /// A truth that may be false.
    OptionalFlag,
    /// A list of texts.
    Texts,
    /// Texts by key.
    TextMap,
    /// Bytes by key.
    ByteMap,
    /// A port as number or name.
    Port,
    /// A message.
    Message(&'static str),
    /// A message whose fields belong to the one around it.
    Inline(&'static str),
    /// A list of messages.
    Messages(&'static str),
}

use Type::{
    ByteMap, Flag, Inline, Message, Messages, Number, OptionalFlag, OptionalNumber, OptionalText, Port, Text,
    TextMap, Texts,
};

type Field = (u64, &'static str, Type);

#[rustfmt::skip]
const MESSAGES: &[(&str, &[Field])] = &[
    ("Meta", &[
        (1, "name", Text), (2, "generateName", Text), (3, "namespace", Text), (5, "uid", Text),
        (6, "resourceVersion", Text), (11, "labels", TextMap), (12, "annotations", TextMap), (14, "finalizers", Texts),
    ]),
    ("Namespace", &[(1, "metadata", Message("Meta"))]),
    ("ServiceAccount", &[(1, "metadata", Message("Meta"))]),
    ("ConfigMap", &[
        (1, "metadata", Message("Meta")), (2, "data", TextMap), (3, "binaryData", ByteMap),
        (4, "immutable", OptionalFlag),
    ]),
    ("Secret", &[
        (1, "metadata", Message("Meta")), (2, "data", ByteMap), (3, "type", Text), (4, "stringData", TextMap),
        (5, "immutable", OptionalFlag),
    ]),
    ("Service", &[(1, "metadata", Message("Meta")), (2, "spec", Message("ServiceSpec"))]),
    ("ServiceSpec", &[
        (1, "ports", Messages("ServicePort")), (2, "selector", TextMap), (3, "clusterIP", Text), (4, "type", Text),
        (5, "externalIPs", Texts), (7, "sessionAffinity", Text), (10, "externalName", Text), (18, "clusterIPs", Texts),
    ]),
    ("ServicePort", &[
        (1, "name", Text), (2, "protocol", Text), (3, "port", Number), (4, "targetPort", Port), (5, "nodePort", Number),
        (6, "appProtocol", OptionalText),
    ]),
    ("Deployment", &[(1, "metadata", Message("Meta")), (2, "spec", Message("DeploymentSpec"))]),
    ("DeploymentSpec", &[
        (1, "replicas", OptionalNumber), (2, "selector", Message("Selector")), (3, "template", Message("Template")),
        (4, "strategy", Message("Strategy")), (5, "minReadySeconds", Number), (6, "revisionHistoryLimit", OptionalNumber),
        (7, "paused", Flag), (9, "progressDeadlineSeconds", OptionalNumber),
    ]),
    ("Strategy", &[(1, "type", Text)]),
    ("Selector", &[(1, "matchLabels", TextMap)]),
    ("Template", &[(1, "metadata", Message("Meta")), (2, "spec", Message("PodSpec"))]),
    ("PodSpec", &[
        (2, "containers", Messages("Container")), (3, "restartPolicy", Text), (6, "dnsPolicy", Text),
        (8, "serviceAccountName", Text), (20, "initContainers", Messages("Container")),
    ]),
    ("Container", &[
        (1, "name", Text), (2, "image", Text), (3, "command", Texts), (4, "args", Texts), (5, "workingDir", Text),
        (6, "ports", Messages("ContainerPort")), (8, "resources", Message("Resources")), (14, "imagePullPolicy", Text),
    ]),
    ("Resources", &[]),
    ("ContainerPort", &[
        (1, "name", Text), (2, "hostPort", Number), (3, "containerPort", Number), (4, "protocol", Text),
    ]),
    ("Ingress", &[(1, "metadata", Message("Meta")), (2, "spec", Message("IngressSpec"))]),
    ("IngressSpec", &[
        (1, "defaultBackend", Message("Backend")), (2, "tls", Messages("Tls")), (3, "rules", Messages("Rule")),
        (4, "ingressClassName", OptionalText),
    ]),
    ("Tls", &[(1, "hosts", Texts), (2, "secretName", Text)]),
    ("Rule", &[(1, "host", Text), (2, "", Inline("RuleValue"))]),
    ("RuleValue", &[(1, "http", Message("Http"))]),
    ("Http", &[(1, "paths", Messages("Path"))]),
    ("Path", &[(1, "path", Text), (2, "backend", Message("Backend")), (3, "pathType", OptionalText)]),
    ("Backend", &[(4, "service", Message("BackendService"))]),
    ("BackendService", &[(1, "name", Text), (2, "port", Message("BackendPort"))]),
    ("BackendPort", &[(1, "name", Text), (2, "number", Number)]),
];

/// Reads a body: the type, then the object. None if any of it is not known here.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(b"k8s\0")?)?;
    let bytes = |number: u64| {
        envelope
            .iter()
            .find(|(n, _)| *n == number)
            .and_then(|(_, w)| w.bytes())
    };
    let types = fields(bytes(1)?)?;
    let text = |number: u64| {
        let found = types
            .iter()
            .find(|(n, _)| *n == number)
            .and_then(|(_, w)| w.bytes())?;
        String::from_utf8(found.to_vec()).ok()
    };
    let (api_version, kind) = (text(1)?, text(2)?);
    let mut object = message(&kind, bytes(2)?)?;
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    Some(Value::Object(object))
}

/// A value on the wire.
#[derive(Clone, Copy, Debug)]
enum Wire<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed width, which none of our fields has.
    Other,
}

impl<'a> Wire<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Varint(_) | Self::Other => None,
        }
    }

    /// Whether this is a zero value: nothing is lost without it.
    fn is_empty(self, depth: u8) -> bool {
        match self {
            Self::Varint(number) => number == 0,
            Self::Bytes([]) => true,
            Self::Bytes(bytes) if depth > 0 => {
                fields(bytes).is_some_and(|f| f.iter().all(|(_, w)| w.is_empty(depth - 1)))
            }
            Self::Bytes(_) | Self::Other => false,
        }
    }

    fn text(self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn number(self) -> Option<i64> {
        match self {
            // Negative numbers are written as their two's complement.
            Self::Varint(number) => Some(number.cast_signed()),
            Self::Bytes(_) | Self::Other => None,
        }
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let wire = match tag & 7 {
            0 => Wire::Varint(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                let (value, rest) = bytes.split_at_checked(length)?;
                bytes = rest;
                Wire::Bytes(value)
            }
            width @ (1 | 5) => {
                bytes = bytes.get(if width == 1 { 8 } else { 4 }..)?;
                Wire::Other
            }
            _ => return None,
        };
        found.push((tag >> 3, wire));
    }
    Some(found)
}

fn message(name: &str, bytes: &[u8]) -> Option<Map<String, Value>> {
    let (_, known) = MESSAGES.iter().find(|(n, _)| *n == name)?;
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        match known.iter().find(|(n, _, _)| *n == number) {
            Some((_, field, kind)) => set(&mut object, field, *kind, wire)?,
            None if wire.is_empty(6) => {}
            None => return None,
        }
    }
    Some(object)
}

fn set(object: &mut Map<String, Value>, field: &str, kind: Type, wire: Wire<'_>) -> Option<()> {
    let value: Value = match kind {
        Text | OptionalText => wire.text()?.into(),
        Number | OptionalNumber => wire.number()?.into(),
        Flag | OptionalFlag => (wire.number()? != 0).into(),
        Port => port(wire)?,
        Message(name) => message(name, wire.bytes()?)?.into(),
        Inline(name) => {
            object.append(&mut message(name, wire.bytes()?)?);
            return Some(());
        }
        Texts | Messages(_) => {
            let entry = match kind {
                Messages(name) => message(name, wire.bytes()?)?.into(),
                _ => wire.text()?.into(),
            };
            let list = object.entry(field.to_owned()).or_insert_with(|| json!([]));
            list.as_array_mut()?.push(entry);
            return Some(());
        }
        TextMap | ByteMap => {
            let (key, value) = pair(wire, kind == ByteMap)?;
            let map = object.entry(field.to_owned()).or_insert_with(|| json!({}));
            map.as_object_mut()?.insert(key, value);
            return Some(());
        }
    };
    let absent = match kind {
        Text | Number | Flag => wire.is_empty(0),
        Port => value == json!(0),
        _ => false,
    };
    if !absent {
        object.insert(field.to_owned(), value);
    }
    Some(())
}

fn pair(wire: Wire<'_>, bytes: bool) -> Option<(String, Value)> {
    let (mut key, mut value) = (String::new(), json!(""));
    for (number, wire) in fields(wire.bytes()?)? {
        match number {
            1 => key = wire.text()?,
            2 if bytes => {
                let encoded = base64::engine::general_purpose::STANDARD.encode(wire.bytes()?);
                value = encoded.into();
            }
            2 => value = wire.text()?.into(),
            _ => return None,
        }
    }
    Some((key, value))
}

fn port(wire: Wire<'_>) -> Option<Value> {
    let parts = fields(wire.bytes()?)?;
    let part = |number: u64| parts.iter().find(|(n, _)| *n == number).map(|(_, w)| *w);
    let is_text = part(1).and_then(Wire::number) == Some(1);
    if is_text {
        return part(3)?.text().map(Value::from);
    }
    Some(part(2).and_then(Wire::number).unwrap_or_default().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u8::try_from(content.len()).unwrap();
        [&[number << 3 | 2, length], content].concat()
    }

    fn body(kind: &str, object: &[u8]) -> Vec<u8> {
        let types = [block(1, b"v1"), block(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), block(1, &types), block(2, object)].concat()
    }

    #[test]
    fn what_kubectl_creates_is_read() {
        let meta = block(1, &[block(1, b"settings"), block(3, b"")].concat());
        let data = block(2, &[block(1, b"key"), block(2, b"value")].concat());
        let object = read(&body("ConfigMap", &[meta, data].concat())).unwrap();
        let expected = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"key": "value"},
        });
        assert_eq!(object, expected);
    }

    #[test]
    fn what_is_not_known_is_refused_unless_it_is_empty() {
        let meta = block(1, &block(1, b"x"));
        assert!(read(&body("Namespace", &[meta.clone(), block(9, b"")].concat())).is_some());
        assert!(read(&body("Namespace", &[meta.clone(), block(9, b"?")].concat())).is_none());
        assert!(read(&body("Unheard", &meta)).is_none());
        assert!(read(b"k8s\0\xff").is_none() && read(b"{}").is_none());
    }
}
