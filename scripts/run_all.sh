#!/bin/sh
# The whole method, one stage a line; or one figure or table of the papers.
#
#     sh scripts/run_all.sh                       # recipe quickstart, stage by stage: offline, minutes
#     sh scripts/run_all.sh list                  # the names of the figures and tables
#     sh scripts/run_all.sh table2                # the small, offline commands of docs/paper.md for SPEED's Table 2
#     SIZE=paper sh scripts/run_all.sh table2     # those at the paper's size
#     RECIPE=speed sh scripts/run_all.sh          # another recipe, stage by stage
#
# All but the offline ones need these:
#     RUN_FLAGS="--hub https://huggingface.co --org YOUR_ORG --endpoint teacher=https://api.openai.com"
#     HUB_FLAGS="--hub https://huggingface.co --org YOUR_ORG"
#
# A finished stage is found by its tag and costs nothing, so the script can be stopped and started again at any time.
# `hub-speed run $RECIPE` does the same as the script in one line, up to the scores.
set -eu
RECIPE=${RECIPE:-quickstart}
RUN_FLAGS=${RUN_FLAGS:-}
HUB_FLAGS=${HUB_FLAGS:-}
SIZE=${SIZE:-small}           # of a figure or table: small, or paper
DRY=${DRY:-no}                # yes: print the commands of a figure or table, and run none
STUDY=${STUDY:-no}            # yes: also vary two settings, with three seeds each (about 15 more embedders)
RELEASE=${RELEASE:-}          # a tag, for example v1.0: also release the run
PAGE=$(dirname "$0")/../docs/paper.md

# The commands of one section of docs/paper.md, one a line: those in its first block, or in its second, the small one.
commands() {
  awk -v name="### \`$1\`" -v block="$2" '
    /^##/ { inside = index($0, name) == 1; blocks = 0 }
    inside && /^```bash/ { blocks++; code = 1; next }
    /^```/ { code = 0 }
    inside && code && blocks == block { if (sub(/ *\\$/, " ")) { line = line $0 } else { print line $0; line = "" } }
  ' "$PAGE"
}

section() {
  case $SIZE in small) block=2 ;; paper) block=1 ;; *) echo "SIZE is small or paper" >&2; exit 2 ;; esac
  found=$(commands "$1" "$block")
  [ -n "$found" ] || { echo "docs/paper.md has no commands for $1, SIZE=$SIZE; sh scripts/run_all.sh list" >&2; exit 2; }
  echo "$found" | while read -r line; do
    case $line in
      "hub-speed run "* | "hub-speed study "*) line="$line $RUN_FLAGS" ;;
      "hub-speed "*) line="$line $HUB_FLAGS" ;;
    esac
    echo "+ $line"
    [ "$DRY" = yes ] || eval "$line" </dev/null
  done
}

if [ "${1:-}" = list ]; then
  sed -n 's/^### `\(.*\)`: \(.*\)/\1\t\2/p' "$PAGE"
  exit
fi
if [ $# -gt 0 ]; then
  for name in "$@"; do section "$name"; done
  exit
fi

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
