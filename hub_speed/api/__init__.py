"""The functions of the command line for Python and notebooks: open a Hub, plan and run a recipe, make and read rows,
ask where a version comes from and whether a release holds.

Import Hugging Face libraries (`datasets`, `transformers`, …) after `open_hub`: they read their settings once, when they
are imported. For the same reason the functions import what they need inside.
"""

from hub_speed.api.archives import check_hub, collect_garbage, export_org, import_org
from hub_speed.api.data import load_rows, quality
from hub_speed.api.hubs import OpenHub, default_home, hub_environment, open_hub, serve_hub
from hub_speed.api.previews import preview
from hub_speed.api.ranks import open_ranks, run_rank, run_ranks, show_ranks
from hub_speed.api.runs import Plan, finished, load_recipe, plan, plan_study, release, run, run_study
from hub_speed.api.sessions import DEFAULT_ORG, open_session
from hub_speed.api.versions import lineage, verify
from hub_speed.api.writing import Generated, generate

__all__ = [
    "DEFAULT_ORG",
    "Generated",
    "OpenHub",
    "Plan",
    "check_hub",
    "collect_garbage",
    "default_home",
    "export_org",
    "finished",
    "generate",
    "hub_environment",
    "import_org",
    "lineage",
    "load_recipe",
    "load_rows",
    "open_hub",
    "open_ranks",
    "open_session",
    "plan",
    "plan_study",
    "preview",
    "quality",
    "release",
    "run",
    "run_rank",
    "run_ranks",
    "run_study",
    "serve_hub",
    "show_ranks",
    "verify",
]
