//! What the operator makes of each sample, against `operator/tests/golden`. `UPDATE_GOLDEN=1 cargo test -p
//! socketfleet-operator --test golden` writes the files anew: read the difference before you commit it.

use std::path::Path;

use clap::Parser;
use socketfleet_operator::{offline, settings::Platform};

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    platform: Platform,
}

/// What the operator has by default, whatever the environment of the test says.
fn platform() -> Platform {
    Platform {
        server_image: "example.com/socket-server:1".into(),
        redis_image: "example.com/redis:8".into(),
        ..Flags::parse_from(["test"]).platform
    }
}

fn compare(path: &Path, actual: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, actual).expect("the golden file is written");
        return;
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if let Some((number, (old, new))) =
        expected.lines().zip(actual.lines()).enumerate().find(|(_, (old, new))| old != new)
    {
        panic!("{}:{}:\n- {old}\n+ {new}\n(UPDATE_GOLDEN=1 writes it anew)", path.display(), number + 1);
    }
    assert_eq!(expected.lines().count(), actual.lines().count(), "{}", path.display());
}

#[test]
fn samples_become_these_objects() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut samples = 0;
    for entry in std::fs::read_dir(root.join("../config/samples")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let plan = offline::plan(&text, &platform()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        compare(&root.join("tests/golden").join(path.file_name().unwrap()), &plan);
        samples += 1;
    }
    assert_eq!(samples, std::fs::read_dir(root.join("tests/golden")).unwrap().count());
}

#[test]
fn the_committed_crd_is_the_one_of_the_types() {
    use kube::CustomResourceExt;
    let crd = serde_yaml::to_string(&socketfleet_api::SocketFleet::crd()).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds/socketfleets.yaml");
    compare(&path, &crd);
}

#[test]
fn what_cannot_be_planned_is_named() {
    let refused = |spec: &str| {
        let text = format!(
            "apiVersion: socketfleet.io/v1alpha1\nkind: SocketFleet\nmetadata: {{name: chat}}\nspec: {{{spec}}}\n"
        );
        offline::plan(&text, &platform()).expect_err(spec).to_string()
    };
    for (spec, field, remedy) in [
        ("replica: 4", "spec.replica", "there are"),
        ("replicas: -1", "spec.replicas", "at least 0"),
        ("replicas: many", "many", "i32"),
        ("autoscaling: {minReplicas: 5, maxReplicas: 4}", "minReplicas", "raise maxReplicas"),
        ("server: {resources: {limits: {memory: 2GB}}}", "spec.server.resources.limits.memory", "1Gi"),
        ("server: {volumeMounts: [{name: x, mountPath: /x}]}", "spec.server.volumeMounts", "add the volume"),
        ("pod: {volumes: [{name: socketfleet-tmp}]}", "spec.pod.volumes", "another name"),
    ] {
        let message = refused(spec);
        assert!(message.contains(field) && message.contains(remedy), "{spec}: {message}");
    }
    let named = |name: &str| {
        let text = format!(
            "apiVersion: socketfleet.io/v1alpha1\nkind: SocketFleet\nmetadata: {{name: {name}}}\nspec: {{}}\n"
        );
        offline::plan(&text, &platform())
    };
    assert!(named("1st").unwrap_err().to_string().contains("begin with a letter"));
    assert!(named("first").is_ok());
    assert!(offline::plan("kind: Pod", &platform()).unwrap_err().to_string().contains("document 1"));
}
