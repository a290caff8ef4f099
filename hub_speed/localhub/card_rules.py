"""What the Hub takes in the metadata of a card (POST /api/validate-yaml), as far as it is known in public.

A publisher learns here what the real Hub would refuse. The sentences are the Hub's where they are known, because people
search for them. Sources:

- licences: the Hub's own message, in huggingface_hub issue 4218 (May 2026)
- languages, base models: the Hub's messages, in huggingface_hub issue 3862 and in many repositories
- tasks: packages/tasks/src/pipelines.ts of huggingface.js
- sizes: datasets/utils/resources/size_categories.json of datasets 5.2.0
- relations to a base model: https://huggingface.co/docs/hub/model-cards#specifying-a-base-model
- model-index: modelcard.md of hub-docs, which marks the required fields
- Spaces: https://huggingface.co/docs/hub/spaces-config-reference, and the Hub's messages for colours and length
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from hub_speed.localhub import cards

LICENCES = (
    "apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m "
    "afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 "
    "cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 "
    "cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 "
    "cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl "
    "gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr "
    "mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr "
    "deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 "
    "grok2-community gemma unknown other"
).split()
TASKS = (
    "text-classification token-classification table-question-answering question-answering zero-shot-classification "
    "translation summarization feature-extraction text-generation text2text-generation fill-mask sentence-similarity "
    "text-to-speech text-to-audio automatic-speech-recognition audio-to-audio audio-classification audio-text-to-text "
    "voice-activity-detection depth-estimation image-classification object-detection image-segmentation text-to-image "
    "image-to-text image-to-image image-to-video unconditional-image-generation video-classification "
    "reinforcement-learning robotics tabular-classification tabular-regression tabular-to-text table-to-text "
    "multiple-choice text-ranking text-retrieval time-series-forecasting text-to-video image-text-to-text "
    "visual-question-answering document-question-answering zero-shot-image-classification graph-ml mask-generation "
    "zero-shot-object-detection text-to-3d image-to-3d image-feature-extraction video-text-to-text keypoint-detection "
    "visual-document-retrieval any-to-any biology other"
).split()
SIZES = (
    "unknown n<1K 1K<n<10K 10K<n<100K 100K<n<1M 1M<n<10M 10M<n<100M 100M<n<1B 1B<n<10B 10B<n<100B 100B<n<1T n>1T"
).split()
RELATIONS = ("adapter", "merge", "quantized", "finetune")
COLOURS = ("red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray")
DESCRIPTION_MAX = 60  # characters of a Space's short_description
TEXTS = ("language", "tags", "datasets", "license", "base_model", "metrics", "task_categories", "size_categories")
LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
REPO_ID = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)?")
REQUIRED = (("task", "type"), ("dataset", "type"), ("dataset", "name"))  # in each result of a model-index


class Verdict(NamedTuple):
    """What is wrong with a card: errors, for which the Hub refuses it, and warnings, which it shows."""

    errors: list[str]
    warnings: list[str]


def check(text: str, repo_type: str) -> Verdict:
    """What the Hub says about a card of a model, dataset or space."""
    try:
        data, _ = cards.parse(text)
    except cards.CardError as error:
        return Verdict([str(error)], [])
    if not data:
        return Verdict([], ["empty or missing yaml metadata in repo card"])
    rules = [_texts, _licences, _languages, _ids, _model_index, *([_space] if repo_type == "space" else [])]
    return Verdict([error for rule in rules for error in rule(data)], list(_warnings(data)))


def _items(data: dict[str, Any], key: str) -> Iterator[tuple[str, Any]]:
    """(label, value) of each value of a field, which may be one or a list."""
    value = data.get(key)
    if isinstance(value, list):
        yield from ((f'"{key}[{number}]"', item) for number, item in enumerate(value))
    elif value is not None:
        yield f'"{key}"', value


def _strings(data: dict[str, Any], key: str) -> Iterator[tuple[str, str]]:
    """The same, without what is not a string; `no`, which YAML 1.1 reads as false, is Norwegian."""
    for label, item in _items(data, key):
        if isinstance(item, str) or item is False:
            yield label, item or "no"


def _texts(data: dict[str, Any]) -> Iterator[str]:
    for key in TEXTS:
        for label, item in _items(data, key):
            if not isinstance(item, str) and not (key == "language" and item is False):
                yield f"{label} must be a string, got {json.dumps(item)[:100]}"


def _licences(data: dict[str, Any]) -> Iterator[str]:
    for label, item in _strings(data, "license"):
        if item not in LICENCES:
            yield f"{label} must be one of [{', '.join(LICENCES)}]"


def _languages(data: dict[str, Any]) -> Iterator[str]:
    for label, item in _strings(data, "language"):
        if not LANGUAGE.fullmatch(item):
            yield (
                f'{label} with value "{item}" is not valid. It must be an ISO 639-1, 639-2 or 639-3 code '
                '(two/three letters), or a special value like "code", "multilingual".'
            )


def _ids(data: dict[str, Any]) -> Iterator[str]:
    for key, kind in (("base_model", "model"), ("datasets", "dataset")):
        for label, item in _strings(data, key):
            if not REPO_ID.fullmatch(item):
                yield f'{label} with value "{item}" is not valid. Use a {kind} id from https://hf.co/{kind}s.'
    if data.get("base_model_relation") not in (None, *RELATIONS):
        yield f'"base_model_relation" must be one of [{", ".join(RELATIONS)}]'


def _model_index(data: dict[str, Any]) -> Iterator[str]:
    index = data.get("model-index", [])
    if not isinstance(index, list):
        yield '"model-index" must be an array'
        return
    for label, model in _items(data, "model-index"):
        place = label.strip('"')
        if not isinstance(model, dict) or not isinstance(model.get("name"), str):
            yield f'"{place}.name" is required'
        elif not isinstance(model.get("results"), list):
            yield f'"{place}.results" must be an array'
        else:
            for number, result in enumerate(model["results"]):
                yield from _result(f"{place}.results[{number}]", result)


def _result(place: str, result: Any) -> Iterator[str]:
    """What a result of a model-index lacks; `place` says which one it is."""
    if not isinstance(result, dict):
        yield f'"{place}" must be of type object'
        return
    for outer, inner in REQUIRED:
        if not isinstance(result.get(outer), dict) or inner not in result[outer]:
            yield f'"{place}.{outer}.{inner}" is required'
    if not isinstance(result.get("metrics"), list):
        yield f'"{place}.metrics" must be an array'
        return
    for number, metric in enumerate(result["metrics"]):
        for name in ("type", "value"):
            if not isinstance(metric, dict) or name not in metric:
                yield f'"{place}.metrics[{number}].{name}" is required'


def _space(data: dict[str, Any]) -> Iterator[str]:
    if data.get("sdk") not in cards.SPACE_SDKS:
        yield f'"sdk" must be one of [{", ".join(cards.SPACE_SDKS)}]'
    for key in ("colorFrom", "colorTo"):
        if data.get(key) not in (None, *COLOURS):
            yield f'"{key}" must be one of [{", ".join(COLOURS)}]'
    if len(str(data.get("short_description") or "")) > DESCRIPTION_MAX:
        yield f'"short_description" length must be less than or equal to {DESCRIPTION_MAX} characters long'


def _warnings(data: dict[str, Any]) -> Iterator[str]:
    for key, name, known in (
        ("task_categories", "task_categories", TASKS),
        ("pipeline_tag", "pipeline tag", TASKS),
        ("size_categories", "size_categories", SIZES),
    ):
        for _, item in _strings(data, key):
            if item not in known:
                yield f'The {name} "{item}" is not in the official list: {", ".join(known)}'
    if data.get("license_name") and "other" not in cards.as_list(data.get("license")):
        yield '"license_name" is the name of another licence: it is read where "license" is "other"'
