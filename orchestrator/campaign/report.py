"""What a campaign leaves in its folder: a page, JUnit, figures, and the bundle that does it again.

index.html      the verdict with pictures, for people
junit.xml       a test case for each check, for CI
verdict.json    checks and figures, for scripts
schedule.json   what was broken when: `cluster chaos run schedule.json` does it again
history.jsonl   what clients did and were told, a line for each answer
cluster.yaml    what the cluster was made of
deeds.json      what was done when, and what could not be
"""

import json
import shlex
import shutil
from dataclasses import asdict
from pathlib import Path
from xml.etree import ElementTree

from orchestrator.campaign import schedule
from orchestrator.campaign.campaign import Result
from orchestrator.campaign.figures import percentile
from orchestrator.campaign.page import write_page


def write_report(result: Result, folder: Path) -> None:
    """Write all of it into ``folder``, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    replay = shlex.join(["cluster", "chaos", "run", str(folder / "schedule.json")])
    (folder / "index.html").write_text(write_page(result, replay))
    (folder / "junit.xml").write_text(write_junit(result))
    (folder / "verdict.json").write_text(json.dumps(make_verdict(result, replay), indent=1))
    (folder / "schedule.json").write_text(schedule.write(result.schedule))
    (folder / "deeds.json").write_text(json.dumps([asdict(deed) for deed in result.deeds], indent=1))
    for source in (result.history, result.history.with_name("cluster.yaml")):
        if source.parent != folder:
            shutil.copy(source, folder / source.name)


def make_verdict(result: Result, replay: str = "") -> dict[str, object]:
    """Return verdict and figures as JSON."""
    figures = asdict(result.figures)
    figures.pop("bins")
    recovery = result.figures.recovery_s
    return {
        "is_passed": result.is_passed,
        "seed": result.schedule.seed,
        "checks": [
            {"name": name, "claim": claim, "examined": examined, "findings": list(findings)}
            for name, claim, examined, findings in result.checks
        ],
        "figures": {
            **figures,
            "acknowledged": result.figures.acknowledged,
            "recovery_p50_s": percentile(recovery, 0.5),
            "recovery_p99_s": percentile(recovery, 0.99),
        },
        "replay": replay,
    }


def write_junit(result: Result) -> str:
    """Return a test suite with a case for each check."""
    failures = sum(not check.is_passed for check in result.checks)
    suite = ElementTree.Element(
        "testsuite",
        name=f"campaign, seed {result.schedule.seed}",
        tests=str(len(result.checks)),
        failures=str(failures),
        time=f"{result.figures.lasted_s:.1f}",
    )
    for check in result.checks:
        case = ElementTree.SubElement(suite, "testcase", classname="campaign", name=f"{check.name}: {check.claim}")
        if not check.is_passed:
            failure = ElementTree.SubElement(case, "failure", message=_clean(check.findings[0]))
            failure.text = _clean("\n".join(check.findings))
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True)


def _clean(text: str) -> str:
    """Return the text without what XML cannot hold."""
    return "".join(letter for letter in text if letter.isprintable() or letter == "\n")
