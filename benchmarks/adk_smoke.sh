#!/bin/bash
# Adenylate kinase end to end, as small as it can be on a CPU: a few frames of MD, a tiny operator
# of the backbone, three refined windows. It shows that the chain holds and what each part costs;
# an operator trained on twenty windows predicts nothing. Run from the project's root:
#     bash benchmarks/adk_smoke.sh OUT
# About ten minutes of one core that is free.
set -e
out=$1
run="${PYTHON:-python} -m egno_md"
split="--set split.validation=0.25 --set split.test=0.25"
tiny="--set network.layers=2 --set network.hidden=16 --set network.cutoff='0.6 nm'"
window="--set window.length='200 fs'"
eval "$run generate adk --protocol protein-300k --set equilibration='100 fs' \
    --set sampling.length='1200 fs' --set sampling.frame_spacing='40 fs' --out $out/data"
for kind in ${KINDS:-egno eghno}; do
    eval "$run train $out/data --protocol protein-$kind-1ps $window $split $tiny \
        --set optimisation.max_steps=10 --set optimisation.validate_every=5 \
        --set optimisation.batch_size=2 --set optimisation.max_time='2 min' --out $out/$kind"
done
for kind in ${KINDS:-egno eghno}; do
    eval "$run propagate adk --operator $out/$kind/bundle --protocol protein-300k --windows 3 \
        --refine every=1 --start $out/data --out $out/rollout-$kind"
done
