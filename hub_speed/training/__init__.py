"""Training: thin calls into TRL and sentence-transformers, each in a process of its own.

    python -m hub_speed.training.generator.sft SETTINGS.json     (or under `accelerate launch` for several GPUs)

Only the modules that run in such a process import torch; `launch` starts them.
"""
