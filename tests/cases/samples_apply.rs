//! Every sample is accepted as it stands.

use socketfleet_tests::{Weight, repository, scenario};

#[tokio::test]
async fn every_sample_is_accepted() {
    scenario("samples_apply", Weight::Light, async |s| {
        let mut samples: Vec<_> = std::fs::read_dir(repository().join("config/samples"))
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
            .collect();
        samples.sort();
        assert!(samples.len() >= 6, "{samples:?}");
        for sample in samples {
            let file = sample.to_string_lossy();
            let applied =
                s.kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", &file]);
            assert!(applied.contains("socketfleet.socketfleet.io/"), "{file}: {applied}");
        }
    })
    .await;
}
