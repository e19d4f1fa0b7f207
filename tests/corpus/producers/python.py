"""What PyPI's prometheus-client writes, with every type it has: `python.py text` or `python.py openmetrics`."""
import sys

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from prometheus_client import GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR, exposition, openmetrics

registry = CollectorRegistry()
for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR, PROCESS_COLLECTOR):
    registry.register(collector)
rows = Counter("loader_rows", 'Rows "loaded" from C:\\new\nand elsewhere.', ["table"], registry=registry)
rows.labels("stock").inc(5, exemplar={"trace_id": "ab12"})
rows.labels('odd "\\\n ä').inc()
Gauge("loader_depth", "Depth.", registry=registry).set(float("nan"))
Gauge("loader_limit", "Limit.", registry=registry).set(float("-inf"))
Histogram("loader_seconds", "Seconds.", ["step"], registry=registry).labels("read").observe(0.3)
Histogram("loader_idle_seconds", "A metric without samples.", ["step"], registry=registry)
Summary("loader_wait_seconds", "Wait.", registry=registry).observe(2)
Info("loader_build", "Build.", registry=registry).info({"version": "1.2", "branch": "main"})
Enum("loader_state", "State.", states=["idle", "busy"], registry=registry).state("busy")
if sys.argv[1:] == ["openmetrics"]:
    sys.stdout.buffer.write(openmetrics.exposition.generate_latest(registry))
else:
    sys.stdout.buffer.write(exposition.generate_latest(registry))
