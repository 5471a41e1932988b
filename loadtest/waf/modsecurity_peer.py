"""Measures libmodsecurity on the requests of `mcsp-waf workload`; prints JSON. Needs PyPI's `libmodsecurity`.

    modsecurity_peer.py WORKLOAD.json RULES_FOLDER REQUESTS

The binding's own cost is part of the figures; `binding` says how much it is: the same calls on an engine without rules.
"""

import json
import pathlib
import re
import shutil
import sys
import tempfile
import time

import libmodsecurity


def resident_kib():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4


def request(engine, rules, client, sample):
    transaction = libmodsecurity.Transaction(engine, rules)
    transaction.process_connection(client, 50000, client, 443)
    transaction.process_uri(sample["target"], sample["method"], "1.1")
    for name, value in sample["headers"]:
        transaction.add_request_header(name, value)
    transaction.process_request_headers()
    if sample["body"]:
        transaction.append_request_body(sample["body"].encode())
    transaction.process_request_body()
    transaction.add_response_header("Content-Type", sample["answered_type"])
    transaction.process_response_headers(200, "HTTP/1.1")
    transaction.process_response_body()
    stopped = transaction.intervention()
    transaction.process_logging()
    if stopped is not None and stopped.disruptive:
        sys.exit(f"{sample['name']} was refused: {stopped.log}")


def measure(engine, rules, client, sample, requests):
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        for _ in range(requests):
            request(engine, rules, client, sample)
        best = min(best, (time.process_time() - start) * 1e6 / requests)
    return best


def readable(folder, copy):
    """A copy of the rules without what this engine's build does not take: target removals that name XML attributes (none of
    the requests has XML), and lookups of countries."""
    shutil.copytree(folder, copy)
    for path in copy.glob("*.conf"):
        text = path.read_text()
        if "@geoLookup" in text:
            path.unlink()
            continue
        path.write_text(re.sub(r"ctl:ruleRemoveTarget\w+=[^;,]+;XML://@\*", "nolog", text))


def load(setup, folder):
    rules = libmodsecurity.RulesSet()
    head = "SecRuleEngine On\nSecRequestBodyAccess On\nSecResponseBodyAccess On\nSecAuditEngine Off\n"
    # What ModSecurity's recommended configuration has for JSON.
    head += 'SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"\n'
    texts = [head + setup] + [f"Include {path}\n" for path in sorted(folder.glob("*.conf"))]
    count = 0
    for text in texts:
        loaded = rules.load(text)
        if loaded < 0:
            sys.exit(rules.get_parser_error())
        count += loaded
    return rules, count


def main():
    workload = json.loads(pathlib.Path(sys.argv[1]).read_text())
    requests = int(sys.argv[3])
    engine = libmodsecurity.ModSecurity()
    client = workload["client"]
    empty = libmodsecurity.RulesSet()
    empty.load("SecRuleEngine On\n")
    binding = measure(engine, empty, client, workload["samples"][0], requests)
    before = resident_kib()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary) / "rules"
        readable(sys.argv[2], folder)
        rules, count = load(workload["setup"], folder)
    memory = resident_kib() - before
    cases = [[sample["name"], measure(engine, rules, client, sample, requests)] for sample in workload["samples"]]
    print(json.dumps({
        "engine": engine.who_am_i(),
        "rules": count,
        "resident_kib": memory,
        "binding_us": binding,
        "cases": cases,
    }))


main()
