use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::{ApiResource, DynamicObject, DynamicResourceScope};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// An object as the caches keep it: what it is found by, and the rest as text. A tree of JSON values takes twenty times the
/// memory of its text: the Deployment of one revision 60 KB, and there are thousands of objects.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Packed {
    metadata: ObjectMeta,
    rest: Box<str>,
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let DynamicObject { types: _, mut metadata, data } = DynamicObject::deserialize(deserializer)?;
        metadata.managed_fields = None;
        Ok(Self { metadata, rest: data.to_string().into_boxed_str() })
    }
}

impl Packed {
    /// The whole object.
    pub fn unpack(&self) -> DynamicObject {
        // The text was JSON when it was packed.
        let data = serde_json::from_str(&self.rest).unwrap_or(Value::Null);
        DynamicObject { types: None, metadata: self.metadata.clone(), data }
    }

    /// Forgets the status.
    pub fn drop_status(&mut self) {
        let mut data: Value = serde_json::from_str(&self.rest).unwrap_or(Value::Null);
        if data.as_object_mut().is_some_and(|fields| fields.remove("status").is_some()) {
            self.rest = data.to_string().into_boxed_str();
        }
    }

    /// Whether all but the metadata is the same.
    pub fn same_rest(&self, other: &Self) -> bool {
        self.rest == other.rest
    }
}

impl Resource for Packed {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(kind)
    }
    fn version(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(kind)
    }
    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(kind)
    }
    fn api_version(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::api_version(kind)
    }
    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(kind)
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_packed_comes_out_again() {
        let object = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "chat", "managedFields": [{"manager": "x"}]},
            "spec": {"ports": [{"port": 80}]},
            "status": {"loadBalancer": {}},
        });
        let mut packed: Packed = serde_json::from_value(object.clone()).unwrap();
        let unpacked = packed.unpack();
        assert_eq!(unpacked.data["spec"], object["spec"]);
        assert_eq!(unpacked.metadata.name.as_deref(), Some("chat"));
        assert_eq!(unpacked.metadata.managed_fields, None);
        let before = packed.clone();
        packed.drop_status();
        assert!(packed.unpack().data.get("status").is_none());
        assert!(!packed.same_rest(&before));
    }
}
