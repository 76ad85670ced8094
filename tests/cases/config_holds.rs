//! What config/ offers beside the samples is right: rules, and what stands in front of a fleet.

use std::process::Command;

use serde::Deserialize;
use serde_json::Value;
use socketfleet_tests::{Weight, repository, scenario};

#[test]
fn prometheus_rules_fire_when_they_should() {
    for args in [
        ["check", "rules", "config/prometheus/rules.yaml"],
        ["test", "rules", "tests/prometheus/rules_test.yaml"],
    ] {
        let promtool = repository().join("tests/tools/bin/promtool");
        let done = Command::new(promtool).args(args).current_dir(repository()).output().unwrap();
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "promtool {args:?}: {said}");
    }
}

#[tokio::test]
async fn fleets_and_ingresses_of_examples_are_accepted() {
    scenario("config_examples", Weight::Light, async |s| {
        let files = ["autoscaling", "load-balancers"].map(|folder| repository().join("config").join(folder));
        let files = files.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
        let mut applied = 0;
        for path in
            files.map(|file| file.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        {
            let text = std::fs::read_to_string(&path).unwrap();
            for document in serde_yaml::Deserializer::from_str(&text) {
                let object =
                    Value::deserialize(document).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                // The other kinds are those of clouds and add-ons.
                if !["SocketFleet", "Ingress"].iter().any(|kind| object["kind"] == *kind) {
                    continue;
                }
                let dry = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"];
                let args = [&["--namespace", &s.namespace], &dry[..]].concat();
                let done = s.cluster.kubectl_with(&args, &object.to_string());
                done.unwrap_or_else(|e| panic!("{}: {e:#}", path.display()));
                applied += 1;
            }
        }
        assert!(applied >= 6, "only {applied} objects were found");
    })
    .await;
}
