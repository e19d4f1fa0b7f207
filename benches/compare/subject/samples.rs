//! A job that leaves many samples: what it takes until the gateway has them.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::read::generate;
use super::{curl, text};
use crate::figures::{Figures, Table};
use crate::harness::{Pushgateway, Version, server};
use crate::measure::{Case, used_in_turn};
use crate::page::Page;
use crate::peers;

/// Makes as many series of as many labels with the client library, and replaces the same group.
const CLIENT: &str = "import sys
from prometheus_client import CollectorRegistry, Gauge, push_to_gateway
registry, number = CollectorRegistry(), int(sys.argv[2])
for family in range(number // 500):
    gauge = Gauge('bench_%d' % family, 'A gauge.', ['method', 'path', 'status', 'zone'], registry=registry)
    for series in range(500):
        gauge.labels('GET', '/api/v1/items/%d' % series, '200', 'eu-central-%d' % (series % 7)).set(series * 1234.567)
push_to_gateway(sys.argv[1], job='samples', registry=registry, timeout=300)";

pub(crate) fn measure(_: &Page) -> Result<Figures> {
    let mut figures = Figures::default();
    for (samples, rounds) in [(10_000, 15), (1_000_000, 3)] {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("made.prom");
        fs::write(&file, generate(samples))?;
        // A new one for each size: an earlier push makes the next one dearer.
        let gateway = Pushgateway::start(Version::Newest);
        let heading = format!("{} samples, {:.1} MB", crate::figures::grouped(samples as u64), megabytes(&file)?);
        let mut table = Table::new([&heading, "median", "CPU of the client", "peak RSS of the client"]);
        let (rows, failed) = used_in_turn(&cases(&gateway.url(), &file, samples), rounds);
        for row in &rows {
            table.row(row.cells());
        }
        figures.tables.push(table);
        figures.remarks.extend(failed);
        ensure!(gateway.metrics().contains("bench_"), "the gateway has the samples");
    }
    figures.remarks.push(
        "The job copies a file that was made before; the Python script makes the series itself. All replace the same group."
            .to_owned(),
    );
    Ok(figures)
}

fn megabytes(file: &Path) -> Result<f64> {
    Ok(fs::metadata(file)?.len() as f64 / 1e6)
}

fn cases(url: &str, file: &Path, samples: usize) -> Vec<Case> {
    let (made, copy) = (text(file), text(&file.with_extension("copy")));
    let send = format!("{} -sSf -X PUT --data-binary '@{copy}' {url}/metrics/job/samples", curl());
    let promtool = text(&server::program("promtool"));
    let write = format!("cat '{made}' >\"$PUSHWRAP_TEXTFILE\"");
    let gateway = ["--url", url, "--job", "samples", "--instance", "none", "--replace", "--require-push"];
    let limits = ["--push-timeout", "300", "--textfile-max", "1GiB", "--", "sh", "-c", &write];
    let own: Vec<&str> = gateway.into_iter().chain(limits).collect();
    let mut cases = vec![
        Case::new("**pushwrap**", crate::harness::pushwrap::binary(), own),
        Case::shell("`curl`, nothing checked", &format!("cat '{made}' >'{copy}'; {send}")),
        Case::shell(
            "`promtool check metrics`, then `curl`",
            &format!("cat '{made}' >'{copy}'; '{promtool}' check metrics <'{copy}'; {send}"),
        ),
    ];
    let number = samples.to_string();
    cases.extend(peers::python().map(|python| python.case("Python's `prometheus_client`", CLIENT, &[url, &number])));
    cases
}
