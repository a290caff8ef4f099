#!/bin/sh
# The whole method, one stage a line, in the order in which the stages run.
#
#     sh scripts/run_all.sh                                             # recipe quickstart: offline, minutes
#     RECIPE=speed RUN_FLAGS="--hub https://huggingface.co --org YOUR_ORG --endpoint teacher=https://api.openai.com" \
#         HUB_FLAGS="--hub https://huggingface.co --org YOUR_ORG" sh scripts/run_all.sh
#
# A finished stage is found by its tag and costs nothing, so the script can be stopped and started again at any time.
# `hub-speed run $RECIPE` does the same in one line, up to the scores.
set -eu
RECIPE=${RECIPE:-quickstart}
RUN_FLAGS=${RUN_FLAGS:-}
HUB_FLAGS=${HUB_FLAGS:-}
STUDY=${STUDY:-no}            # yes: also vary two settings, with three seeds each (about 15 more embedders)
RELEASE=${RELEASE:-}          # a tag, for example v1.0: also release the run

run() { hub-speed run "$RECIPE" $RUN_FLAGS --only "$1"; }

# What it will take: calls, tokens, dollars, and what is finished already.
hub-speed plan "$RECIPE" $HUB_FLAGS

# 1. A strong teacher writes a little data.
run brainstorm     # topics → tasks, one sentence each
run seed           # tasks → examples, written by the teacher
run junior         # supervised fine-tuning on the seed: the junior generator

# 2. The junior answers each prompt several times. The teacher judges some answers and revises others.
run root           # several answers for each prompt
run preference     # the best and the worst of them
run senior         # DPO on these preferences: the senior generator
run revision       # answers, and the teacher's revisions of them
run revisor        # supervised fine-tuning on the revisions: the revisor

# 3. The small models write the data at scale. The teacher is not asked.
run synthesize     # tasks → drafts, written by the senior
run revise         # drafts → revised rows without near-duplicates: the data set

# 4. The embedder, and what it is worth.
run embedder       # contrastive training on the rows
run evaluate       # benchmarks, with the untrained base and BM25 for comparison
run audit          # how good the rows of each generator are, in the teacher's judgement
hub-speed run "$RECIPE" $RUN_FLAGS    # and the scaling law, if the recipe has one

# 5. What the rows are like, which choices matter, and the release.
hub-speed show "$RECIPE" $HUB_FLAGS
if [ "$STUDY" = yes ]; then
  hub-speed study "$RECIPE" $RUN_FLAGS --vary synthesize.generator=junior --vary embedder.data=seed,synthesize --seeds 3
fi
if [ -n "$RELEASE" ]; then
  hub-speed release "$RECIPE" $HUB_FLAGS --tag "$RELEASE"
fi
