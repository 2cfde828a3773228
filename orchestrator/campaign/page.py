"""The report's page: one file of HTML that needs nothing else, to be read by people and kept with the bundle."""

from collections.abc import Iterable
from html import escape
from string import Template

from orchestrator.campaign.campaign import Result
from orchestrator.campaign.charts import draw_outcomes, draw_recoveries, draw_timeline
from orchestrator.campaign.figures import Figures, percentile
from orchestrator.campaign.judge import Check

_STYLE = """
:root{--ink:#1c2024;--soft:#60646c;--line:#e2e4e8;--paper:#fff;--card:#f7f8fa;--good:#18794e;--bad:#ce2c31;
--blue:#0d74ce;--amber:#d97706;--violet:#6e56cf;--shade:#ce2c3110}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--soft:#a0a4ac;--line:#33363b;--paper:#111113;--card:#1b1c1f;
--good:#3dd68c;--bad:#ff9592;--blue:#70b8ff;--amber:#ffb454;--violet:#baa7ff;--shade:#ff959214}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1128px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:26px;margin:0}h2{font-size:17px;margin:40px 0 10px}
p{margin:6px 0}.soft{color:var(--soft)}.good{color:var(--good)}.bad{color:var(--bad)}
code{font:13px/1.5 ui-monospace,"SF Mono",Menlo,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px;overflow-x:auto;
margin:8px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:22px 0 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.card b{display:block;font-size:24px;font-weight:600;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:13px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:7px 10px 7px 0;
border-top:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:500;font-size:13px;border-top:0}
td.num{text-align:right;font-variant-numeric:tabular-nums;padding-right:28px}
ul{margin:4px 0;padding-left:18px}
svg{display:block;width:100%;height:auto;font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
svg .grid{stroke:var(--line)}svg .axis{stroke:var(--soft)}svg text{fill:var(--ink)}
svg .tick,svg .mark{fill:var(--soft);font-size:11px}svg .title{font-weight:600;font-size:13px}
svg .end{text-anchor:end}svg .mid{text-anchor:middle}
svg .area{fill:var(--blue);opacity:.16}svg .line{fill:none;stroke:var(--blue);stroke-width:1.8}
svg .p50{fill:var(--blue)}svg .p99{fill:var(--amber)}
svg .shade{fill:var(--shade)}svg .killed{fill:var(--bad)}svg .frozen{fill:var(--violet)}
svg .link{fill:var(--amber)}
svg .undone{fill:none;stroke:var(--soft)}svg .dot{fill:var(--bad)}svg .faint{opacity:.35}
svg .committed{fill:var(--good)}svg .declined{fill:var(--amber)}svg .lost{fill:var(--bad)}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 5px 0 14px}
.key:first-child{margin-left:0}
"""

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>$verdict - campaign, seed $seed</title><style>$style</style></head><body><main>
<h1><span class="$tone">$verdict</span></h1>
<p class="soft">$summary</p>
<div class="cards">$cards</div>
<h2>What happened</h2>
$timeline
<p class="soft"><span class="key" style="background:var(--bad)"></span>killed or restarted
<span class="key" style="background:var(--violet)"></span>frozen, or its disk full
<span class="key" style="background:var(--amber)"></span>a link broken: A-&gt;B is what A sends to B</p>
<h2>How payments ended, as clients were told</h2>
$outcomes
<p>$outcome_words</p>
<h2>How long after a kill until a payment with its victim was sent and committed</h2>
$recoveries
<p class="soft">$recovery_words</p>
<h2>What was judged, by the database files of the stopped nodes</h2>
<table><tr><th>check</th><th>claim</th><th>looked at</th><th>found</th></tr>$checks</table>
<h2>Do it again</h2>
<p>The same seed breaks the same things at the same times; how messages interleave is the machine's affair.</p>
<pre><code>$replay</code></pre>
</main></body></html>
""")


def write_page(result: Result, replay: str) -> str:
    """Return the page of a campaign; ``replay`` is the command that does it again."""
    figures, schedule = result.figures, result.schedule
    found = sum(not check.is_passed for check in result.checks)
    recovery = figures.recovery_s
    return _PAGE.substitute(
        verdict="Passed" if result.is_passed else f"Failed: {found} of {len(result.checks)} checks",
        tone="good" if result.is_passed else "bad",
        seed=schedule.seed,
        style=_STYLE,
        summary=escape(
            f"Seed {schedule.seed}, {figures.lasted_s:.0f} s, banks {', '.join(schedule.banks)}. "
            f"{len(result.deeds) - figures.undone} faults: "
            + ", ".join(f"{count} {kind}" for kind, count in figures.deeds.items())
            + (f"; {figures.undone} could not be done" if figures.undone else "")
            + "."
        ),
        cards=_write_cards(figures),
        timeline=draw_timeline(figures, result.deeds),
        outcomes=draw_outcomes(
            [("committed", figures.committed, "committed"), ("declined", figures.declined, "declined")]
        ),
        outcome_words=_describe_outcomes(figures),
        recoveries=draw_recoveries(figures.recoveries),
        recovery_words=(
            f"{len(recovery)} with no other fault active: p50 {percentile(recovery, 0.5):.2f} s, "
            f"p99 {percentile(recovery, 0.99):.2f} s. Faint dots: something else was broken, too."
            if recovery
            else "Nothing was killed, or nothing while all else was whole."
        ),
        checks="".join(map(_write_check, result.checks)),
        replay=escape(replay),
    )


def _write_cards(figures: Figures) -> str:
    recovery = figures.recovery_s
    cards = [
        (f"{figures.acknowledged:,}", "payments acknowledged"),
        (f"{figures.committed / max(figures.lasted_s, 1):,.0f}/s", "committed, faults included"),
        (f"{figures.settled:,}", "unknown for a while, then settled"),
        (f"{figures.p50_ms:.0f} / {figures.p99_ms:,.0f}", "latency p50 / p99, ms"),
        (f"{percentile(recovery, 0.5):.2f} s" if recovery else "-", "recovery after a kill, p50"),
    ]
    return "".join(f'<div class="card"><b>{number}</b><span>{name}</span></div>' for number, name in cards)


def _describe_outcomes(figures: Figures) -> str:
    reasons = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in figures.declines.items())
    return (
        f'<span class="key" style="background:var(--good)"></span>{figures.committed:,} committed'
        f'<span class="key" style="background:var(--amber)"></span>{figures.declined:,} declined'
        f"{f' ({escape(reasons)})' if reasons else ''}. "
        f"{figures.unknown:,} sends brought no answer; their payments were sent again under the same id. "
        f"{figures.replayed:,} answers repeated an outcome that was on record."
    )


def _write_check(check: Check) -> str:
    tone, word = ("good", "nothing") if check.is_passed else ("bad", _write_list(check.findings))
    return (
        f"<tr><td>{escape(check.name)}</td><td>{escape(check.claim)}</td>"
        f'<td class="num">{check.examined:,}</td><td class="{tone}">{word}</td></tr>'
    )


def _write_list(findings: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in findings) + "</ul>"
