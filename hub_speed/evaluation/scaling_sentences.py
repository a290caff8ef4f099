"""What the fits of a scaling law show, in sentences that claim no more than the runs support."""

from typing import Any

from hub_speed.evaluation.scaling_law import AHEAD, FAR, PARAMETERS

FORM_NAMES: dict[str, str] = {"log-linear": "log-linear line", "power law": "power law"}


def describe(measure: str, found: dict[str, Any]) -> list[str]:
    """Sentences on one measure, from the result of `compare`; they claim no more than it supports."""
    span = "" if found["low"] is None else f" (95% interval {found['low']:+.3f} to {found['high']:+.3f})"
    said = [
        f"**{measure}**: {found['slope']:+.3f} per tenfold data{span}, R² {found['r_squared']:.2f}, {found['n']} runs."
    ]
    if found["lacks_fit"]:
        p = "p < 0.001" if found["p"] < 0.001 else f"p = {found['p']:.3f}"
        said.append(
            f"Lack of fit: the means of the sizes are further from a straight line than the noise of the runs explains"
            f" (F = {found['f']:,.1f}, {p}), so this is an average over these sizes:"
            " the gain is not the same everywhere."
        )
    forms, largest = found["forms"], found["largest"]
    if "power law" not in forms:
        said.append(f"No saturating power law fits: {_why_no_law(found)}.")
    said += [_prediction_sentence(name, form, largest) for name, form in forms.items() if form["predicted"] is not None]
    if found["best"] and found["distinguishable"]:
        said.append(f"The {FORM_NAMES[found['best']]} predicts the held-out size better.")
    elif found["best"]:
        said.append(f"The {FORM_NAMES[found['best']]} came closer, but these runs do not distinguish the two forms.")
    used = [found["best"]] if found["best"] and found["distinguishable"] else list(forms)
    return said + [_forecast_sentence(name, forms[name], largest, found["least_gain"]) for name in used]


def _why_no_law(found: dict[str, Any]) -> str:
    if found["sizes"] < PARAMETERS["power law"]:
        return "too few sizes"
    if found["slope"] <= 0:
        return "the scores do not grow"
    return "the scores do not level off within these sizes, or they do so right after the smallest"


def _prediction_sentence(name: str, form: dict[str, Any], largest: int) -> str:
    """What the smaller sizes predict for the largest, and whether the error is within noise."""
    text = f"From the smaller sizes, the {FORM_NAMES[name]} predicts {form['predicted']:.3f} for {largest:,} rows"
    text += f"; the error is {form['missed']:+.3f}"
    if form["missed_span"] is None:
        return f"{text}, and the noise is unknown."
    low, high = form["missed_span"]
    noise = "within noise" if low <= 0 <= high else "more than noise"
    return f"{text} (95% interval {low:+.3f} to {high:+.3f}), {noise}."


def _forecast_sentence(name: str, form: dict[str, Any], largest: int, least_gain: float) -> str:
    if form["holdout_rejected"]:
        return f"The {FORM_NAMES[name]} mispredicts the largest size, so it gives no forecast for more rows."
    span = form["forecast_span"]
    interval = f" (95% interval {span[0]:.3f} to {span[1]:.3f})" if span else " (no interval: too few sizes)"
    text = f"At {AHEAD * largest:,} rows the {FORM_NAMES[name]} predicts {form['forecast']:.3f}{interval}"
    if name == "log-linear":
        less = "less" if form["curve"]["slope"] < least_gain else "no less"
        return f"{text}; a line gains the same from every tenfold increase, {less} than {least_gain:g}."
    ends = form["saturation_span"]
    bounds = f" (95% interval {_size(ends[0], largest)} to {_size(ends[1], largest)})" if ends else ""
    size = _size(form["saturation_rows"], largest)
    return f"{text}; tenfold data gains less than {least_gain:g} from {size} on{bounds}."


def _size(rows: float | None, largest: int) -> str:
    if rows is None:
        return f"more than {FAR * largest:,} rows"
    return f"{float(f'{rows:.2g}'):,.0f} rows" if rows >= 1 else "any size"
