"""The advice of a report as tables: the evidence, the blocks, and the answer with the command to run next."""

from msgspec import UNSET
from rich.console import RenderableType
from rich.text import Text

from ftcli.console.cells import Layout, interval, percent, set_name, text
from ftcli.explain.advise.rule import regains
from ftcli.explain.advise.types import Advice, BlockEvidence, Evidence, LabelShift, Regained, Separability
from ftcli.report.types import Report

MEANING = {
    "none": "nothing hurts: tune nothing",
    "label": "other class shares: correct the logits, tune nothing",
    "input": "other images, the same content: tune the first blocks",
    "feature": "other content in the same classes: tune a block in the middle",
    "output": "other labels for the same features: tune the head",
    "mixed": "no single kind: compare the blocks",
}
TESTS = {"images": "features", "predicted class": "by_prediction", "class": "by_class"}  # by column
MEASURED_BY_LEE = (
    "Lee et al. 2022 measured as best: input, first block (CIFAR-C, ImageNet-C); feature, a middle one (Living-17, "
    "Entity-30); output, the last layer (flipped labels, Waterbirds, CelebA); Camelyon17, embedding; FMoW, last "
    "three blocks"
)


def tables(report: Report, width: int) -> list[RenderableType]:
    """Evidence, blocks, and the answer."""
    advice: Advice = report["advice"]
    shown: list[RenderableType] = [evidence_table(advice.evidence), *block_tables(advice.evidence, width)]
    return [*shown, *answer(advice)]


def answer(advice: Advice) -> list[Text]:
    """What the advice is, why, and what to type next."""
    blocks = f" ({', '.join(advice.blocks)})" if advice.blocks else ""
    return [
        text(f"{advice.shift} shift, {advice.sure}: {MEANING[advice.shift]}{blocks}", style="bold")
        if advice.shift != "none"
        else text(f"no shift that hurts, {advice.sure}: tune nothing", style="bold"),
        text(f"rule {advice.rule}: {advice.reason}"),
        text(MEASURED_BY_LEE, style="dim"),
        text("next:"),
        text(f"  {advice.command}"),
    ]


def evidence_table(evidence: Evidence) -> RenderableType:
    """A row for each signal: its value, its p value or interval, and what it says."""
    rows = [*accuracy_rows(evidence), *label_rows(evidence.label_shift, evidence.alpha), *regained_rows(evidence)]
    n = ", ".join(f"{set_name(name)} {count:,}" for name, count in evidence.n.items())
    cost = evidence.cost
    passes = ", ".join(f"{set_name(name)} {count}" for name, count in cost.passes.items())
    seconds = ", ".join(f"{work} {value:.1f}" for work, value in cost.seconds.items())
    caption = (
        f"images: {n}; significant: p ≤ {evidence.alpha:g}; forward passes: {passes}; batches of gradients: "
        f"{cost.gradient_batches}; seconds: {seconds}"
    )
    heads = ["signal", "value", "p or interval", "says"]
    return Layout(heads, [[text(cell) for cell in row] for row in rows]).table("Evidence", caption, ("signal", "says"))


def accuracy_rows(evidence: Evidence) -> list[list[str]]:
    """The loss of accuracy."""
    if (loss := evidence.accuracy) is UNSET:
        return [["loss of accuracy", "-", "-", "unknown without labels"]]
    says = "accuracy falls" if loss.p <= evidence.alpha else f"not seen; {percent(loss.detectable)} points would be"
    rows = [
        ["accuracy on ID-val", percent(loss.id_val), "", ""],
        ["accuracy on the target", percent(loss.target), "", ""],
        ["loss, in points", signed(loss.loss), p_value(loss.p), says],
    ]
    if loss.worst_group is not UNSET:
        group = loss.worst_group
        rows.append(["loss in the worst group", signed(group.loss), "", f"{group.name}, {group.n:,} images"])
    return rows


def label_rows(labels: LabelShift, alpha: float) -> list[list[str]]:
    """Shares of classes."""
    differ = "class shares differ" if labels.p <= alpha else "class shares do not differ"
    rows = [["predicted classes, chi²", f"{labels.chi2:.1f}", p_value(labels.p), differ]]
    by_method = {"BBSE": labels.bbse, "RLLS": labels.rlls, "EM": labels.em}
    for name, shares in by_method.items():
        if shares is UNSET:
            rows.append([f"class shares by {name}", "-", "", "the confusion matrix cannot be inverted"])
            continue
        moved = sum(abs(q - labels.source[k]) for k, q in shares.items()) / 2
        most = max(shares, key=lambda k: abs(shares[k] - labels.source[k]))
        change = f"{most}: {percent(labels.source[most])} to {percent(shares[most])} %"
        rows.append([f"class shares by {name}, moved", percent(moved), "", change])
    if labels.expected is not UNSET:
        expected = labels.expected
        says = "the class shares can explain it" if expected.explained else "more than the class shares changed"
        rows.append(["expected of the class shares", percent(expected.accuracy), "", ""])
        rows.append(["  minus the target's", signed(expected.difference), interval(expected.ci99), says])
    return rows


def regained_rows(evidence: Evidence) -> list[list[str]]:
    """Interventions."""
    loss = 0.0 if evidence.accuracy is UNSET else evidence.accuracy.loss
    rows = []
    for name, found in (("fresh head", evidence.fresh_head), ("BatchNorm of the target", evidence.batch_norm)):
        if isinstance(found, Regained):
            says = regains(found.gain, loss) if loss > 0 else ""
            rows.append([f"{name}, gain", signed(found.gain), interval(found.ci95), says])
    return rows


def block_tables(evidence: Evidence, width: int) -> list[RenderableType]:
    """A row for each block."""
    used = {head: kind for head, kind in TESTS.items() if kind in evidence.pairs}
    heads = ["block", *used, "divergence", "RGN", "signs"]
    rows = [
        [text(name), *(separability(block.get(kind)) for kind in used.values()), *number_cells(block)]
        for name, block in evidence.blocks.items()
    ]
    pairs = ", ".join(f"{name} {evidence.pairs[kind]:,}" for name, kind in used.items())
    caption = (
        "AUC with which held-out images of ID-val and the target are told apart, and its p over all blocks together: "
        "as they are (images), with equally many of each predicted class, within classes; images of each side: "
        f"{pairs}; divergence: of the channels' distributions, less that between halves of ID-val; RGN: norm of the "
        "gradient over that of the weights; signs: agreement over batches"
    )
    return list(Layout(heads, rows).tables(width, "Blocks", caption, ("block",)))


def separability(found: Separability | None) -> Text:
    """An AUC and its p value; a dash for the head."""
    return Text(f"{found.auc:.2f}  {found.p:.3f}" if found else "-")


def number_cells(block: BlockEvidence) -> list[Text]:
    numbers = (block.divergence, block.gradient, block.sign_agreement)
    return [Text(f"{value:.3g}" if isinstance(value, float) else "-") for value in numbers]


def signed(fraction: float) -> str:
    return f"{100 * fraction:+z.1f}"


def p_value(p: float) -> str:
    return "p < 1e-4" if p < 1e-4 else f"p = {p:.2g}"
