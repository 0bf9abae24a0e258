"""Debian's Prometheus for tests: its alerts on scraped texts, and a server that scrapes."""

import contextlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.patience import wait_limit
from tests.postgres import free_port

ROOT = Path(__file__).parents[1]
RULES = ROOT / "ops/prometheus-rules.yml"
MISSING = "no Prometheus: Debian's package prometheus has the programs prometheus and promtool"
_FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def program(name: str) -> str | None:
    return shutil.which(name, path="/usr/bin:/usr/local/bin")


def unexpected(
    before: str, after: str, *, at: float, expected: set[str], hours: int, up: bool, folder: Path
) -> str:
    """promtool's words when other alerts fire than expected, else nothing.

    Each metric is as `after` says for so many hours; a counter grows each minute by as much as
    between the two texts, which were scraped at `at`, in seconds since the epoch.
    """
    file = folder / "alerts.json"  # JSON is YAML, too
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(expected)]
    ends = hours * 3600
    reach = 'up{job="paydue", instance="one"}'
    series = [
        {"series": reach, "values": f"{int(up)}x{hours * 60}"},
        *_series(_samples(before), after, ends - at, hours * 60),
    ]
    question = {"expr": _FIRING, "eval_time": f"{hours}h", "exp_samples": samples}
    test = {"interval": "1m", "input_series": series, "promql_expr_test": [question]}
    file.write_text(
        json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(
        [program("promtool") or "promtool", "test", "rules", str(file)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode == 0 else done.stdout + done.stderr


def _series(
    before: Mapping[str, float], after: str, shift: float, minutes: int
) -> Iterator[dict[str, str]]:
    for family in text_string_to_metric_families(after):
        if not family.name.startswith("paydue_"):
            continue
        for sample in family.samples:
            name = _name(sample)
            if family.type in ("counter", "histogram"):
                grown = sample.value - before.get(name, 0)
                yield {"series": name, "values": f"0+{grown:g}x{minutes}"}
            else:
                moved = shift if family.name.endswith("_timestamp_seconds") else 0
                yield {"series": name, "values": f"{sample.value + moved:.0f}x{minutes}"}


def _samples(text: str) -> dict[str, float]:
    families = text_string_to_metric_families(text)
    return {_name(one): one.value for family in families for one in family.samples}


def _name(sample: Any) -> str:
    labels = ", ".join(f"{name}={json.dumps(value)}" for name, value in sample.labels.items())
    return f"{sample.name}{{{labels}}}"


@contextlib.contextmanager
def scraping(target: str, folder: Path) -> Iterator[str]:
    """The URL of a Prometheus that scrapes a `host:port` each second, by the rules of `ops`."""
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "paydue", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.json").write_text(json.dumps(config))
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus") or "prometheus",
                f"--config.file={folder / 'prometheus.json'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def ask(url: str, expression: str) -> list[Any]:
    """The samples that Prometheus answers, once it is up; an empty list for none."""
    question = urllib.parse.urlencode({"query": expression})
    deadline = time.monotonic() + wait_limit(20)
    while True:
        try:
            with urllib.request.urlopen(f"{url}/api/v1/query?{question}") as answer:
                found: list[Any] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            if error.code != 503:  # it reads its files at first
                raise AssertionError(f"{expression}: {error.read().decode()}") from None
        except urllib.error.URLError:
            pass
        assert time.monotonic() < deadline, "Prometheus did not start"
        time.sleep(0.2)
